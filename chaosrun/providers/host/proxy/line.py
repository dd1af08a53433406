"""One direction of one connection: bytes in at one socket, held, out at the other.

Law: bytes keep their order and none is lost or made up, whatever the toxics do meanwhile.
What is held is bounded, in each line and in all together: past that nothing is read, and
the sender feels it as the pressure of a slow network.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable

from chaosrun.providers.host.proxy.toxics import Link

_MOST_HELD = 4 * 2**20
_MOST_HELD_BY_ALL = 256 * 2**20
_MOST_CHUNKS = 16384
_CHUNK = 64 * 1024
_TICK = 0.01  # how finely a bandwidth is dosed, in seconds

# One buffer for all lines: there is one thread, and what is not sent at once is copied.
_BUFFER = memoryview(bytearray(256 * 1024))


class Chunk:
    """Bytes that arrived together; none means that the sender closed its side."""

    __slots__ = ("arrived", "due", "view")

    def __init__(self, view: memoryview, arrived: float, due: float) -> None:
        self.view = view
        self.arrived = arrived
        self.due = due


class Held:
    """How many bytes all lines hold together."""

    def __init__(self) -> None:
        self.bytes = 0


class Line:
    """Carries bytes from `source` to `sink` under the conditions of `link`.

    Calls `ended(False)` when the close has been passed on, and `ended(True)` when either
    side broke.
    """

    def __init__(
        self,
        link: Link,
        held: Held,
        source: socket.socket,
        sink: socket.socket,
        ended: Callable[[bool], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._link, self._all, self._ended = link, held, ended
        self._source, self._sink = source, sink
        self._held: deque[Chunk] = deque()
        self._bytes = 0
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._reading = self._writing = self._source_ended = self._stopped = False
        self._read_if_room()

    def changed(self) -> None:
        """The toxics changed: what is held is due as if they had always been these."""
        if self._stopped:
            return
        self._free_at = previous = 0.0
        for chunk in self._held:
            chunk.due = previous = max(previous, self._due(chunk.view, chunk.arrived))
        if not self._writing:
            self._deliver()

    def stop(self) -> None:
        """Let go of both sockets, which somebody else closes."""
        self._stopped = True
        self._all.bytes -= self._bytes
        self._bytes = 0
        self._held.clear()
        self._read(False)
        self._write(False)
        if self._timer:
            self._timer.cancel()

    @property
    def waiting(self) -> int:
        """Bytes that are held now."""
        return self._bytes

    def _readable(self) -> None:
        straight = self._link.clear and not self._held
        try:
            if straight:
                size = self._source.recv_into(_BUFFER)
                data = _BUFFER[:size]
            else:
                data = memoryview(self._source.recv(self._most_at_once()))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._end(broken=True)
            return
        if not data:
            self._source_ended = True
        elif straight:
            data = self._send(data)
            if self._stopped or not data:
                return
            data = memoryview(bytes(data))
        self._hold(data)

    def _hold(self, data: memoryview) -> None:
        now = self._loop.time()
        due = self._due(data, now)
        if self._held:
            due = max(due, self._held[-1].due)
        self._held.append(Chunk(data, now, due))
        self._bytes += len(data)
        self._all.bytes += len(data)
        if not self._writing and len(self._held) == 1:
            self._deliver()
        else:
            self._read_if_room()

    def _due(self, data: memoryview, arrived: float) -> float:
        link = self._link
        if link.clear:
            return arrived
        due = arrived + link.delay() + (0 if data else link.slow_close)
        if link.rate:
            due = self._free_at = max(due, self._free_at) + len(data) / link.rate
        return due

    def _deliver(self) -> None:
        """Send what is due, and wait for the time or the room that the rest needs."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._held and not self._link.blackhole:
            chunk, now = self._held[0], self._loop.time()
            if chunk.due > now:
                self._timer = self._loop.call_at(chunk.due, self._deliver)
                break
            if not chunk.view:
                self._end(broken=False)
                return
            before = len(chunk.view)
            chunk.view = self._send(chunk.view)
            if self._stopped:
                return
            self._bytes -= before - len(chunk.view)
            self._all.bytes -= before - len(chunk.view)
            if chunk.view:
                self._write(True)
                break
            self._held.popleft()
            if not self._link.clear:
                self._link.passed(before, now - chunk.arrived)
        self._read_if_room()

    def _writable(self) -> None:
        self._write(False)
        self._deliver()

    def _send(self, data: memoryview) -> memoryview:
        """What is left of it."""
        try:
            return data[self._sink.send(data) :]
        except (BlockingIOError, InterruptedError):
            return data
        except OSError:
            self._end(broken=True)
            return data[:0]

    def _end(self, *, broken: bool) -> None:
        self.stop()
        if not broken:
            with contextlib.suppress(OSError):  # the other side may have gone already
                self._sink.shutdown(socket.SHUT_WR)
        self._ended(broken)

    def _most_at_once(self) -> int:
        rate = self._link.rate
        return max(1, min(_CHUNK, int(rate * _TICK))) if rate else _CHUNK

    def _read_if_room(self) -> None:
        link = self._link
        most = _MOST_HELD
        if link.rate:  # hold what is on the way, no more: the rest waits at the sender
            most = min(most, int(link.rate * (link.latency + 5 * _TICK)))
        room = not self._held or (
            not link.clear
            and self._bytes < most
            and len(self._held) < _MOST_CHUNKS
            and self._all.bytes < _MOST_HELD_BY_ALL
        )
        self._read(room and not link.blackhole and not self._source_ended)

    def _read(self, on: bool) -> None:
        if on and not self._reading:
            self._loop.add_reader(self._source.fileno(), self._readable)
        elif self._reading and not on:
            self._loop.remove_reader(self._source.fileno())
        self._reading = on

    def _write(self, on: bool) -> None:
        if on and not self._writing:
            self._loop.add_writer(self._sink.fileno(), self._writable)
        elif self._writing and not on:
            self._loop.remove_writer(self._sink.fileno())
        self._writing = on
