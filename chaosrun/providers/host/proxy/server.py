"""Connections between the two addresses of a proxy.

Law: a toxic reaches every connection, those that were open before it too. What breaks on one
side is broken on the other; a half close stays a half close.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import select
import selectors
import socket
import struct
import time

from chaosrun.providers.host.proxy.line import Held, Line
from chaosrun.providers.host.proxy.toxics import Active, Toxic, Toxics

Address = tuple[str, int]
_CONNECT_WITHIN = 10.0
_LOOK_AT_CLOCK = 1.0
_AT_ONCE = 64
_NOT_SLEPT = 0.0002
_FULL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class PreciseSelector(selectors.EpollSelector):
    """Wakes in time for a timer: epoll alone rounds up to the next millisecond.

    A sleeping processor takes a while to wake, so the last bit is not slept.
    """

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        until = time.monotonic() + timeout
        if timeout > _NOT_SLEPT:
            select.select((self.fileno(),), (), (), timeout - _NOT_SLEPT)
        while True:
            ready = super().select(0)
            if ready or time.monotonic() >= until:
                return ready


class Connection:
    """A client, its upstream, and the two lines between them."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._sockets = [client]
        self._lines: list[Line] = []
        self._open_lines = 2
        self._task = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(_CONNECT_WITHIN):
                upstream = await self._proxy.dial()
        except OSError:  # also TimeoutError: nobody there is what the client must see
            self.abort()
            return
        self._sockets.append(upstream)
        client, links, held = self._sockets[0], self._proxy.toxics.links, self._proxy.held
        self._lines = [
            Line(links["upstream"], held, client, upstream, self._ended),
            Line(links["downstream"], held, upstream, client, self._ended),
        ]

    def changed(self) -> None:
        for line in self._lines:
            line.changed()

    @property
    def waiting(self) -> int:
        return sum(line.waiting for line in self._lines)

    def abort(self) -> None:
        """Reset both sides."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self._task.cancel()
        for line in self._lines:
            line.stop()
        for each in self._sockets:
            each.close()
        self._proxy.connections.discard(self)

    def _ended(self, broken: bool) -> None:
        self._open_lines -= 1
        if broken:
            self.abort()
        elif self._open_lines == 0:
            self.close()


class Proxy:
    """Listens, dials, and lets the toxics of its table be felt."""

    def __init__(self, listen: Address, upstream: Address) -> None:
        self.toxics = Toxics()
        self.held = Held()
        self.connections: set[Connection] = set()
        self.accepted = 0
        self.upstream = upstream
        self._loop = asyncio.get_running_loop()
        self._next_look: asyncio.TimerHandle | None = None
        family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
        self._socket = socket.create_server(listen, family=family, backlog=1024)
        self._socket.setblocking(False)
        self._accept_on()

    @property
    def listen(self) -> Address:
        """The address really listened on."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    def set(self, toxic: Toxic) -> bool:
        """Turn a toxic on, for open connections too. False when its deadline has passed."""
        active = self.toxics.set(toxic)
        if active is not None:
            if active.left <= 0:
                self.toxics.clear(toxic.mark)
                return False
            self._changed()
            for connection in tuple(self.connections):
                self._reset_maybe(connection, active)
        return True

    def clear(self, mark: str) -> bool:
        """Turn a toxic off. False when there was none of that mark."""
        known = self.toxics.clear(mark)
        self._changed()
        return known

    async def dial(self) -> socket.socket:
        """A new connection to the upstream. Raises OSError."""
        error: OSError = OSError("the name of the upstream has no address")
        for family, address in await self._addresses():
            upstream = socket.socket(family, socket.SOCK_STREAM)
            try:
                upstream.setblocking(False)
                await self._loop.sock_connect(upstream, address)
                upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return upstream
            except OSError as failed:
                upstream.close()
                error = failed
            except BaseException:  # cancelled
                upstream.close()
                raise
        raise error

    def close(self) -> None:
        """Stop listening and reset every connection."""
        self._accept_off()
        self._socket.close()
        if self._next_look:
            self._next_look.cancel()
        for connection in tuple(self.connections):
            connection.abort()

    async def _addresses(self) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
        host, port = self.upstream
        with contextlib.suppress(ValueError):
            version = ipaddress.ip_address(host).version
            return [(socket.AF_INET if version == 4 else socket.AF_INET6, (host, port))]
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(family, (str(address[0]), port)) for family, _, _, _, address in found]

    def _accept_on(self) -> None:
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def _accept_off(self) -> None:
        self._loop.remove_reader(self._socket.fileno())

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self._accept_off()  # it would be readable, and fail, again and again
                self._loop.call_later(0.1, self._accept_again)
                return
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, client)
            self.accepted += 1
            self.connections.add(connection)
            for active in self.toxics:
                self._reset_maybe(connection, active)

    def _accept_again(self) -> None:
        if self._socket.fileno() >= 0:
            self._accept_on()

    def _reset_maybe(self, connection: Connection, active: Active) -> None:
        if not active.toxic.reset_share or not active.strikes():
            return

        def reset() -> None:
            if connection in self.connections and active in self.toxics:
                active.seen.resets += 1
                connection.abort()

        if active.toxic.reset_after:
            self._loop.call_later(active.toxic.reset_after, reset)
        else:
            reset()

    def _changed(self) -> None:
        for connection in tuple(self.connections):
            connection.changed()
        self._look_at_clock()

    def _look_at_clock(self) -> None:
        """End what is past its deadline, and come back: in time, and when a clock was set."""
        if self._next_look:
            self._next_look.cancel()
            self._next_look = None
        if self.toxics.expire():
            for connection in tuple(self.connections):
                connection.changed()
        left = self.toxics.left
        if left is not None:
            self._next_look = self._loop.call_later(
                max(0.0, min(left, _LOOK_AT_CLOCK)), self._look_at_clock
            )
