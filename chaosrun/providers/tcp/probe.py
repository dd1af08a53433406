"""The probe `tcp`: whether a port takes a connection, and what it says."""

from __future__ import annotations

import socket
import time
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.network import connect, failure, has_reference, parse_address, remaining
from chaosrun.probe import Probe
from chaosrun.units import JSON, Duration
from chaosrun.web import check_timeout

_KEPT = 64 * 1024


class Reply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a port did. `error` is empty exactly when all that was asked for happened."""

    open: Annotated[bool, Meta(description="Whether the connection was made")]
    latency: Annotated[
        Duration,
        Meta(description="Until the connection was made, or until what was awaited had come"),
    ]
    received: Annotated[str, Meta(description="What was received, at most 64 KiB of it")]
    error: Annotated[
        str,
        Meta(
            description="What went wrong: `timeout`, `connection refused`, `connection reset`, "
            "`connection closed`, `name not found`, `unreachable`"
        ),
    ]


class TcpProbe(Probe[None, Reply], frozen=True, kw_only=True):
    """Makes a new TCP connection, sends a text if there is one, and reads what is awaited.

    Nothing is read unless `send` or `until` is given.
    """

    name: ClassVar[str] = "tcp"
    Result = Reply
    example: ClassVar[dict[str, JSON]] = {
        "with": {"address": "cache.shop.svc:6379", "send": "PING\r\n", "until": "\n"},
        "expect": 'open && received.startsWith("+PONG")',
    }

    address: Annotated[
        str, Meta(description="Host and port", examples=["db.shop.svc:5432", "[::1]:5432"])
    ]
    send: Annotated[str, Meta(description="Text to send once connected")] = ""
    until: Annotated[
        str,
        Meta(
            description="Read until this text has come; without it, what comes first",
            examples=["\n"],
        ),
    ] = ""
    timeout: Annotated[
        Duration, Meta(description="For the whole of it: name lookup, connecting, reading")
    ] = Duration(2)

    def __post_init__(self) -> None:
        check_timeout(self.timeout)
        if not has_reference(self.address):
            parse_address(self.address)

    def observe(self, client: None) -> Reply:  # noqa: ARG002 - the contract has one
        """Connect once."""
        began = time.monotonic()
        deadline = began + self.timeout.seconds
        received, opened, error = bytearray(), False, ""
        try:
            with connect(*parse_address(self.address), deadline, socket.socket) as sock:
                opened = True
                if self.send or self.until:
                    error = self._talk(sock, received, deadline)
        except OSError as caught:
            error = failure(caught)
        return Reply(
            open=opened,
            latency=Duration(time.monotonic() - began),
            received=received.decode("utf-8", "replace"),
            error=error,
        )

    def _talk(self, sock: socket.socket, received: bytearray, deadline: float) -> str:
        """Send, and read into `received` what was awaited; the error, if it did not come."""
        wanted = self.until.encode()
        sock.settimeout(remaining(deadline))
        sock.sendall(self.send.encode())
        while len(received) < _KEPT:
            sock.settimeout(remaining(deadline))
            some = sock.recv(_KEPT - len(received))
            received += some
            if some and wanted in received:
                return ""
            if not some:
                return "connection closed"
        return f"{self.until!r} did not come within {_KEPT} bytes"
