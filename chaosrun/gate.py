"""The contract of a gate: may the experiment start now?

Law (L4): unknown means closed. A gate that raises or does not answer is closed, and a
closed gate says what it measured, the rule, and what would open it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from chaosrun.rights import Need, Permission
from chaosrun.units import JSON, Duration

ClientT = TypeVar("ClientT")


class Measured(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a gate saw. `rule` is the condition in words; `hint` says what would open it."""

    open: bool
    measured: str
    rule: str
    hint: str = ""


class Gate(
    msgspec.Struct,
    Generic[ClientT],
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """A precondition. Its fields are what a person writes under the gate's name."""

    name: ClassVar[str]
    permissions: ClassVar[tuple[Permission, ...]] = ()
    example: ClassVar[dict[str, JSON]] = {}

    def measure(self, client: ClientT) -> Measured:
        """Look once; reads only."""
        raise NotImplementedError

    asks_rights: ClassVar[bool] = False
    """Whether it is told every right that the experiment needs, by `measure_rights`."""

    def measure_rights(self, client: ClientT, needs: tuple[Need, ...]) -> Measured:
        """Look once whether we have these rights, those of other systems left aside."""
        raise NotImplementedError

    def needs(self) -> tuple[Permission, ...]:
        """The rights that this gate needs with exactly these arguments."""
        return self.permissions

    @property
    def time_needed(self) -> Duration:
        """The longest that one measurement may take; past it the gate is closed."""
        timeout = getattr(self, "timeout", None)
        seconds = timeout.seconds if isinstance(timeout, Duration) else 10.0
        return Duration(seconds + 0.25)


AnyGate = Gate[Any]
