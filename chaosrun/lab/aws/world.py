"""Where a world of AWS is: its address, its end, and what its experiments must be told."""

from __future__ import annotations

from pathlib import Path

import msgspec

from chaosrun.codec import from_json

FILE = "aws.json"


class AwsWorld(msgspec.Struct, frozen=True, kw_only=True):
    """A world that is up. `parameters` are those of experiments/aws that have no default."""

    pid: int
    port: int
    ends_at: float
    region: str
    parameters: dict[str, str]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What leads chaosrun, and AWS' own tools, there and nowhere else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "lab",
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def write(directory: Path, world: AwsWorld) -> None:
    """Replaces the file at once: a reader never sees half of it."""
    fresh = directory / f"{FILE}.new"
    fresh.write_bytes(msgspec.json.encode(world))
    fresh.replace(directory / FILE)


def read(directory: Path) -> AwsWorld | None:
    """The world last started in that directory, or None."""
    try:
        return from_json((directory / FILE).read_bytes(), AwsWorld)
    except (OSError, msgspec.MsgspecError):
        return None
