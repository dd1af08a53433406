"""A saved plan: an experiment, a seed, and the exact targets that running it may touch.

Law (L8): what was seen is what runs. A plan that was edited is rejected; targets that are no
longer as they were seen, or would be harmed by another mechanism, are refused by the engine.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from chaosrun.codec import from_json, to_json
from chaosrun.errors import Rejected
from chaosrun.fault import Hold
from chaosrun.spec import Experiment
from chaosrun.units import JSON


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What `chaosrun plan --out` writes and `chaosrun run` executes as seen.

    `digest` is that of the experiment's file; `checksum` that of all else in the plan.
    """

    api_version: Literal["chaosrun.dev/v1"] = "chaosrun.dev/v1"
    kind: Literal["Plan"] = "Plan"
    version: str
    created_at: float
    source: str
    digest: str
    seed: int
    parameters: dict[str, JSON]
    experiment: Experiment
    holds: dict[str, Hold]
    checksum: str = ""

    @property
    def targets(self) -> dict[str, tuple[str, ...]]:
        """For each step the keys of its targets."""
        return {step: tuple(t.key for t in hold.targets) for step, hold in self.holds.items()}

    @property
    def mechanisms(self) -> dict[str, str]:
        """For each step by what it would be done."""
        return {step: hold.mechanism for step, hold in self.holds.items()}


def save(plan: Plan, path: Path) -> None:
    """Write the plan, whole or not at all. Raises Rejected when it cannot be written."""
    text = msgspec.json.format(to_json(replace(plan, checksum=_checksum(plan))), indent=2)
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(text + b"\n")
        temporary.replace(path)
    except OSError as error:
        raise Rejected(f"cannot write {path}: {error.strerror}") from None


def load(path: str) -> Plan | None:
    """The plan in that file, or None when the file is something else (an experiment).

    Raises Rejected for a plan that was changed by hand or is of another version.
    """
    found = _peek(path)
    if found is None:
        return None
    try:
        plan = from_json(found, Plan)
    except msgspec.ValidationError as error:
        raise Rejected(f"{path} is not a plan of this version: {error}") from None
    if plan.checksum != _checksum(plan):
        raise Rejected(
            f"{path} was changed after it was planned",
            hint=f"plan again: chaosrun plan {plan.source} --out {path}",
        )
    return plan


def _peek(path: str) -> bytes | None:
    """The file's content, when it is JSON of kind Plan."""
    try:
        with Path(path).open("rb") as file:
            if file.read(1) != b"{":
                return None
            content = b"{" + file.read()
        document: Any = from_json(content, Any)
    except (OSError, msgspec.DecodeError):  # the loader says what is wrong with it
        return None
    return content if isinstance(document, dict) and document.get("kind") == "Plan" else None


def _checksum(plan: Plan) -> str:
    return sha256(to_json(replace(plan, checksum=""))).hexdigest()
