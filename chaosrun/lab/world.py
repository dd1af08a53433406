"""What a lab consists of: its parts, their ports, and where its files are.

Law: everything follows from the directory and the first port; nobody keeps a second list.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from chaosrun.codec import from_json

FIRST_PORT: Final = 8800
REPLICAS: Final = ("replica-1", "replica-2", "replica-3")
MARK: Final = "CHAOSRUN_LAB"
"""The environment variable that every process of a lab carries: the lab's directory."""

_OFFSETS: Final = {
    "front": 0,
    "replica-1": 1,
    "replica-2": 2,
    "replica-3": 3,
    "backend": 4,
    "proxy": 5,
    "traffic": 6,
}
_TELLS: Final = {
    "front": "balances over the replicas; retries a read on another one",
    "replica-1": "/checkout /catalog /orders, each calling the backend its own way",
    "replica-2": "the same",
    "replica-3": "the same",
    "backend": "prices, products and reservations",
    "proxy": "between replicas and backend; host.tcp-proxy puts faults here",
    "traffic": "a few requests a second; what users see is at /metrics",
}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a lab. `title` is in its command line, so that `ps` and faults find it."""

    name: str
    port: int
    tells: str

    @property
    def title(self) -> str:
        return f"chaosrun-lab-{self.name}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class World(msgspec.Struct, frozen=True, kw_only=True):
    """A lab: where its files are, its first port, and when it ends by itself (UTC seconds)."""

    directory: str
    first_port: int
    ends_at: float

    def port(self, name: str) -> int:
        return self.first_port + _OFFSETS[name]

    @property
    def ports(self) -> tuple[int, ...]:
        return tuple(self.first_port + offset for offset in _OFFSETS.values())

    @property
    def prefix(self) -> str:
        """All digits but the last of every port: the parameter `lab` of the lab's experiments."""
        return str(self.first_port // 10)

    @property
    def proxied(self) -> str:
        """The address at which replicas reach the backend."""
        return f"127.0.0.1:{self.port('proxy')}"

    @property
    def parts(self) -> tuple[Part, ...]:
        """In the order in which they start: whoever is called comes before its caller."""
        return tuple(
            self.part(name) for name in ("backend", "proxy", *REPLICAS, "front", "traffic")
        )

    def part(self, name: str) -> Part:
        return Part(name=name, port=self.port(name), tells=_TELLS[name])

    def file(self, name: str) -> Path:
        return Path(self.directory) / name

    def log(self, name: str) -> Path:
        return self.file(f"{name}.log")


def write_world(world: World) -> None:
    world.file("lab.json").write_bytes(msgspec.json.encode(world))


def read_world(directory: Path) -> World | None:
    """The lab last started in that directory, or None."""
    try:
        return from_json((directory / "lab.json").read_bytes(), World)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
