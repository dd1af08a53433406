"""A command as a person writes it.

Law (L6): a command that could not be run says nothing about the system, so it is refused and
never taken for an exit code.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from chaosrun import commands
from chaosrun.errors import Refused
from chaosrun.units import CommandLine, Duration

_NOT_RUN = (126, 127)
"""What a shell, env and ssh exit with when they cannot run the command. POSIX, XCU 2.8.2."""


class Command(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """A command, and what it is given."""

    command: Annotated[
        CommandLine,
        Meta(
            description="A line for `sh -c`, or a list: the program and its arguments",
            examples=["redis-cli ping", ["redis-cli", "ping"]],
        ),
    ]
    env: Annotated[
        dict[str, str],
        Meta(
            description="Environment variables to add; the place for secrets, since arguments "
            "are seen in lists of processes",
            examples=[{"TOKEN": "${secrets.token}"}],
        ),
    ] = {}
    cwd: Annotated[str, Meta(description="The directory to run in")] = ""
    stdin: Annotated[str, Meta(description="Text for its standard input")] = ""
    timeout: Annotated[
        Duration, Meta(description="It is killed, with all that it started, when it takes longer")
    ] = Duration(10)

    def __post_init__(self) -> None:
        words = [self.command] if isinstance(self.command, str) else self.command
        if not words or not words[0].strip():
            raise ValueError("`command` is empty")
        if any("\0" in word for word in words):
            raise ValueError("`command` has a NUL character")
        if any(not name or "=" in name or "\0" in name for name in self.env):
            raise ValueError("`env` has a name that is empty or has a `=`")
        if not self.timeout:
            raise ValueError("`timeout` must be longer than 0s")

    def run(self) -> commands.Completed:
        """Run it to its end. Raises Refused when it cannot be run.

        Raises Indeterminate when it was killed, past its timeout or by a cancellation.
        """
        done = commands.run(
            self.command, timeout=self.timeout.seconds, env=self.env, cwd=self.cwd or None,
            stdin=self.stdin,
        )  # fmt: skip
        if done.code in _NOT_RUN:
            said = done.stderr.strip().splitlines()
            raise Refused(
                f"the command could not be run: {said[-1] if said else f'exit code {done.code}'}",
                hint="is it installed here, and may it be executed?",
            )
        return done
