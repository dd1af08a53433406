"""Answers name lookups wrongly for chosen names, and passes all others on unchanged.

A program: `python resolver.py ARGUMENTS` with one JSON object: `lies` (see `Lie`), `mark`, and
`upstreams`, the addresses of the real name servers. For each it opens one UDP and one TCP
socket on the loopback of the same family, says their ports as one line of JSON, and serves until
it is killed. What it passes on bears `mark`, so that the rule that brings lookups here lets it
go. Law: an answer that we do not harm is the real one, byte for byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from typing import Any, cast

from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSError, DNSRecord

SO_MARK = 36  # socket(7); Python 3.11 has no name for it
_WITHIN = 5.0
_MOST = 512
"""How many lookups may wait at once: more are dropped, as a busy name server would."""

_MOST_UNUSED = 256

Lie = dict[str, Any]
"""`names`, `kind` (answer, nxdomain, servfail, silent or real), `addresses`, `ttl`, `delay`."""


def matches(name: str, patterns: list[str]) -> bool:
    """Whether a name is one of these: `db.example`, `*.example` (all below it), or `*`."""
    name = name.rstrip(".").lower()
    return any(
        pattern == "*" or name == pattern or (pattern[0] == "*" and name.endswith(pattern[1:]))
        for pattern in patterns
    )


def lie_about(question: DNSRecord, lie: Lie) -> bytes | None:
    """The wrong answer to a question; None for silence."""
    if lie["kind"] == "silent":
        return None
    answer = question.reply(aa=0, ra=1)
    match lie["kind"]:
        case "nxdomain":
            answer.header.rcode = RCODE.NXDOMAIN
        case "servfail":
            answer.header.rcode = RCODE.SERVFAIL
        case _:
            asked = QTYPE[question.q.qtype]
            for text in lie["addresses"]:
                version = ipaddress.ip_address(text).version
                if asked in ("ANY", {4: "A", 6: "AAAA"}[version]):
                    data = A(text) if version == 4 else AAAA(text)
                    kind = QTYPE.A if version == 4 else QTYPE.AAAA
                    answer.add_answer(RR(question.q.qname, kind, ttl=lie["ttl"], rdata=data))
    return bytes(answer.pack())


def question(name: str) -> bytes:
    """A lookup of the IPv4 addresses of a name."""
    return bytes(DNSRecord.question(name, "A").pack())


def in_words(answer: bytes) -> str:
    """What an answer says: addresses in their order, or why there is none."""
    try:
        read = DNSRecord.parse(answer)
    except (DNSError, struct.error, ValueError, IndexError):
        return "nonsense"
    if read.header.rcode != RCODE.NOERROR:
        return str(RCODE.get(read.header.rcode)).lower()
    addresses = sorted(str(each.rdata) for each in read.rr if each.rtype == QTYPE.A)
    return ", ".join(addresses) or "no address"


class Resolver:
    """What serves the lookups that were meant for one real name server."""

    def __init__(self, upstream: str, lies: list[Lie], mark: int) -> None:
        self._upstream, self._lies, self._mark = upstream, lies, mark
        self.family = socket.AF_INET6 if ":" in upstream else socket.AF_INET
        self._waiting: set[asyncio.Task[None]] = set()
        self._unused: list[socket.socket] = []

    async def answer(
        self, asked: bytes, ask: Callable[[bytes], Awaitable[bytes | None]]
    ) -> bytes | None:
        """What to answer, after the delay; `ask` asks the real name server."""
        try:
            question = DNSRecord.parse(asked)
            name = str(question.q.qname)
        except (DNSError, struct.error, ValueError, IndexError):
            return await ask(asked)  # not for us to judge
        lie = next((each for each in self._lies if matches(name, each["names"])), None)
        if lie is None:
            return await ask(asked)
        await asyncio.sleep(lie["delay"])
        return await ask(asked) if lie["kind"] == "real" else lie_about(question, lie)

    def later(self, work: Awaitable[None]) -> None:
        """Do it beside the rest."""
        if len(self._waiting) < _MOST:
            task = asyncio.ensure_future(work)
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)
        elif asyncio.iscoroutine(work):
            work.close()

    def _socket(self, kind: socket.SocketKind) -> socket.socket:
        sock = socket.socket(self.family, kind)
        sock.setblocking(False)
        if self._mark:
            sock.setsockopt(socket.SOL_SOCKET, SO_MARK, self._mark)
        return sock

    async def ask_by_udp(self, asked: bytes) -> bytes | None:
        loop = asyncio.get_running_loop()
        sock = None
        try:
            sock = self._unused.pop() if self._unused else self._connected()
            _empty(sock)
            async with asyncio.timeout(_WITHIN):
                await loop.sock_sendall(sock, asked)
                while (said := await loop.sock_recv(sock, 65535))[:2] != asked[:2]:
                    pass  # late, and for one who has given up
                return said
        except TimeoutError:
            return None
        except OSError:
            if sock is not None:
                sock.close()
                sock = None
            return None
        finally:
            if sock is not None:
                self._keep(sock)

    def _connected(self) -> socket.socket:
        sock = self._socket(socket.SOCK_DGRAM)
        try:
            sock.connect((self._upstream, 53))  # of datagrams: nothing is sent, nothing waits
        except OSError:
            sock.close()
            raise
        return sock

    def _keep(self, sock: socket.socket) -> None:
        """For the next lookup, so that nobody else gets its port.

        The kernel decides once for a flow whether it is brought to us, and remembers a flow by
        its ports: a lookup from a port that was ours a moment ago would go its own way.
        """
        if len(self._unused) < _MOST_UNUSED:
            self._unused.append(sock)
        else:
            sock.close()

    async def ask_by_tcp(self, asked: bytes) -> bytes | None:
        loop = asyncio.get_running_loop()
        sock = self._socket(socket.SOCK_STREAM)
        try:
            async with asyncio.timeout(_WITHIN):
                await loop.sock_connect(sock, (self._upstream, 53))
                reader, writer = await asyncio.open_connection(sock=sock)
                try:
                    writer.write(struct.pack("!H", len(asked)) + asked)
                    return await _message(reader)
                finally:
                    writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            sock.close()
            return None

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                said = await self.answer(await _message(reader), self.ask_by_tcp)
                if said is None:
                    break
                writer.write(struct.pack("!H", len(said)) + said)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Asyncio's own is not an instance of what it is documented to be, in Python 3.11.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._resolver.later(self._answer(data, addr))

    async def _answer(self, data: bytes, addr: Any) -> None:
        said = await self._resolver.answer(data, self._resolver.ask_by_udp)
        if said is not None:
            self._transport.sendto(said, addr)


def _empty(sock: socket.socket) -> None:
    """Throw away what came too late for the one who asked."""
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.recv(65535)


async def _message(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    return await reader.readexactly(length)


async def _serve(resolver: Resolver) -> tuple[int, int]:
    """Open both sockets; their ports."""
    own = "::1" if resolver.family == socket.AF_INET6 else "127.0.0.1"
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Udp(resolver), local_addr=(own, 0), family=resolver.family
    )
    server = await asyncio.start_server(resolver.serve_tcp, own, 0, family=resolver.family)
    _servers.append(server)
    udp = transport.get_extra_info("sockname")[1]
    return int(udp), int(server.sockets[0].getsockname()[1])


_servers: list[asyncio.Server] = []


async def main(arguments: dict[str, Any]) -> None:
    """Serve for ever."""
    ports = {}
    for upstream in arguments["upstreams"]:
        resolver = Resolver(upstream, arguments["lies"], arguments["mark"])
        ports[upstream] = await _serve(resolver)
    os.write(1, json.dumps(ports).encode() + b"\n")
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main(json.loads(sys.argv[1])))
    except OSError as failure:
        os.write(1, (failure.strerror or str(failure)).encode() + b"\n")
        sys.exit(1)
