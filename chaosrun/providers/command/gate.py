"""The gate `command`: may the experiment start, says a person's command."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.gate import Gate, Measured
from chaosrun.providers.command.command import Command
from chaosrun.units import JSON, Duration

_LONGEST = 200


class CommandGate(Command, Gate[None], frozen=True, kw_only=True):
    """Open when the command ends with exit code 0; the first line it writes is what it measured."""

    name: ClassVar[str] = "command"
    example: ClassVar[dict[str, JSON]] = {
        "command": "./no-open-incident.sh",
        "timeout": "5s",
        "hint": "wait until the incident is closed",
    }

    hint: Annotated[str, Meta(description="What would open the gate, for who finds it closed")] = ""

    @property
    def time_needed(self) -> Duration:
        return Duration(self.timeout.seconds + 2)  # the killed one is waited for

    def measure(self, client: None) -> Measured:  # noqa: ARG002 - the contract has one
        """Run it once."""
        done = self.run()
        wrote = (done.stdout.strip() or done.stderr.strip()).splitlines()
        said = f": {wrote[0][:_LONGEST]}" if wrote else ""
        return Measured(
            open=done.code == 0,
            measured=f"exit code {done.code}{said}",
            rule="the command must end with exit code 0",
            hint=self.hint,
        )
