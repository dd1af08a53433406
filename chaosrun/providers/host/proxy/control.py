"""The control socket of a proxy: one line of JSON asks, one line answers.

Law: only the proxy's own user and root may ask; the answer tells what is, not what was asked.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from pathlib import Path

import msgspec

from chaosrun.codec import from_json
from chaosrun.providers.host.proxy.messages import Answer, On, Request, Status
from chaosrun.providers.host.proxy.server import Proxy
from chaosrun.providers.host.proxy.toxics import Active

_LONGEST = 64 * 1024
_ANSWER_WITHIN = 10.0


def written(address: tuple[str, int]) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def status_of(proxy: Proxy) -> Status:
    """The proxy as it is now."""

    def on(active: Active) -> On:
        return On(toxic=active.toxic, since=active.since, left=active.left, seen=active.seen)

    return Status(
        pid=os.getpid(),
        listen=written(proxy.listen),
        upstream=written(proxy.upstream),
        connections=len(proxy.connections),
        accepted=proxy.accepted,
        held=proxy.held.bytes,
        toxics=tuple(on(active) for active in proxy.toxics),
    )


def answer(proxy: Proxy, line: bytes) -> Answer:
    """Do what one line asks."""
    try:
        request = from_json(line, Request)
    except msgspec.DecodeError as error:
        return Answer(error=str(error))
    if request.do == "set":
        if request.toxic is None:
            return Answer(error="nothing to set")
        if not proxy.set(request.toxic):
            return Answer(error="the deadline has passed")
    elif request.do == "clear":
        proxy.clear(request.mark)
    return Answer(status=status_of(proxy))


async def serve(proxy: Proxy, path: Path) -> asyncio.AbstractServer:
    """Answer at that socket. Raises OSError, among them when another proxy answers there."""
    if path.exists():
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()  # of a proxy that was killed
            else:
                raise FileExistsError(f"another proxy answers at {path}")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _allowed(writer):
                async with asyncio.timeout(_ANSWER_WITHIN):
                    while line := await reader.readline():
                        writer.write(msgspec.json.encode(answer(proxy, line)) + b"\n")
                        await writer.drain()
        except (OSError, ValueError):  # it left, took too long, or wrote too long a line
            pass
        finally:
            writer.close()

    mask = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(talk, str(path), limit=_LONGEST)
    finally:
        os.umask(mask)


def _allowed(writer: asyncio.StreamWriter) -> bool:
    """Whether the peer is our user or root: what the file's mode says, said by the kernel."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    peer = writer.get_extra_info("socket")
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", credentials)[1] in (0, os.geteuid())
