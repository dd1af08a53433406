"""The probe `command`: what a person's command says."""

from __future__ import annotations

import time
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from chaosrun import commands
from chaosrun.codec import from_json
from chaosrun.errors import Indeterminate
from chaosrun.probe import Probe
from chaosrun.providers.command.command import Command
from chaosrun.units import JSON, Duration

_KILLED = -9


class Output(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a command said."""

    code: Annotated[
        int, Meta(description="Its exit code; -N when signal N ended it, -9 past its timeout")
    ]
    stdout: Annotated[
        str, Meta(description="Its standard output without line breaks at the end, up to 256 KiB")
    ]
    stderr: Annotated[str, Meta(description="Its standard error, in the same way")]
    latency: Annotated[Duration, Meta(description="How long it took")]
    json: Annotated[JSON, Meta(description="Its standard output as JSON; null when it is not")]
    timed_out: Annotated[bool, Meta(description="Whether it was killed past its timeout")] = False


class CommandProbe(Command, Probe[None, Output], frozen=True, kw_only=True):
    """Runs a command on this machine, and gives its exit code and what it wrote.

    A command that does not end in time is killed, with all that it started, and that is a
    result; one that cannot be run makes the sample unknown.
    """

    name: ClassVar[str] = "command"
    Result = Output
    example: ClassVar[dict[str, JSON]] = {
        "with": {"command": "pg_isready --host db.shop.svc", "timeout": "3s"},
        "expect": "code == 0",
    }

    @property
    def time_needed(self) -> Duration:
        return Duration(self.timeout.seconds + 2)  # the killed one is waited for

    def observe(self, client: None) -> Output:  # noqa: ARG002 - the contract has one
        """Run it once."""
        began = time.monotonic()
        try:
            done = self.run()
        except Indeterminate:
            cancellation = commands.current.get()
            if cancellation and cancellation.cancelled:
                raise
            return Output(
                code=_KILLED, stdout="", stderr="", json=None, timed_out=True,
                latency=Duration(time.monotonic() - began),
            )  # fmt: skip
        return Output(
            code=done.code,
            stdout=done.stdout.rstrip("\r\n"),
            stderr=done.stderr.rstrip("\r\n"),
            latency=Duration(done.seconds),
            json=_json(done.stdout),
        )


def _json(text: str) -> JSON:
    try:
        return from_json(text, Any)
    except (msgspec.DecodeError, RecursionError):
        return None
