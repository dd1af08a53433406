"""The process behind our TUN devices: takes each packet, impairs it, and gives it on in its time.

Law: it holds at most so many packets, and never more than it was told of. When its parent was
killed it lets go of the traffic and ends.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import NoReturn

from chaosrun.codec import from_json
from chaosrun.errors import ChaosrunError
from chaosrun.mechanisms.harm import Here
from chaosrun.mechanisms.impairment import Distribution, Impairment
from chaosrun.mechanisms.inside import Inside
from chaosrun.mechanisms.tun import Told

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_IPV6_HDRINCL = 36
_LARGEST = 65_536
_MOST_HELD = 50_000
_AT_ONCE = 64


class Line:
    """One direction: decides about each packet, and remembers what the last one met."""

    def __init__(self, impairment: Impairment, rng: random.Random) -> None:
        self._it, self._rng = impairment, rng
        self._bad = False
        self._free_at = 0.0
        self._last_delay = rng.random()
        self._last_loss = rng.random()

    def pass_on(self, packet: bytes, now: float) -> list[tuple[float, bytes]]:
        """When and as what the packet goes on: not at all, once or twice."""
        it, rng = self._it, self._rng
        if self._lost():
            return []
        if it.corrupt and rng.random() < it.corrupt:
            packet = corrupted(packet, rng)
        due = now
        if not (it.reorder and rng.random() < it.reorder):
            due += self._delay()
        if it.rate:
            self._free_at = max(self._free_at, now) + len(packet) / it.rate
            due = max(due, self._free_at + it.delay)
        copies = 2 if it.duplicate and rng.random() < it.duplicate else 1
        return [(due, packet)] * copies

    def _lost(self) -> bool:
        it, rng = self._it, self._rng
        if it.bursts:
            self._bad = rng.random() >= it.bursts.better if self._bad else (
                rng.random() < it.bursts.worse
            )  # fmt: skip
            share = it.bursts.lost_when_bad if self._bad else it.bursts.lost_when_good
            return rng.random() < share
        if not it.loss:
            return False
        self._last_loss = _correlated(self._last_loss, it.loss_correlation, rng)
        return self._last_loss < it.loss

    def _delay(self) -> float:
        it = self._it
        if not it.jitter:
            return it.delay
        self._last_delay = _correlated(self._last_delay, it.correlation, self._rng)
        return max(0.0, it.delay + it.jitter * spread(it.distribution, self._last_delay, self._rng))


def _correlated(last: float, correlation: float, rng: random.Random) -> float:
    """Between 0 and 1, and as near to the last as the correlation says (as netem has it)."""
    return rng.random() * (1 - correlation) + last * correlation


def spread(distribution: Distribution, uniform: float, rng: random.Random) -> float:
    """How many times the jitter a delay is off: from -1 to 1 for uniform, else around 0."""
    if distribution == "uniform":
        return 2 * uniform - 1
    normal = rng.gauss(0.0, 1.0)
    if distribution == "normal":
        return normal
    pareto = (rng.paretovariate(3.0) - 1.5) / 0.866  # mean 0, deviation 1
    return pareto if distribution == "pareto" else 0.25 * normal + 0.75 * pareto


def corrupted(packet: bytes, rng: random.Random) -> bytes:
    """The packet with one bit turned over, behind its IP header: it arrives, and is wrong."""
    header = (packet[0] & 0x0F) * 4 if packet[0] >> 4 == 4 else 40
    if len(packet) <= header:
        return packet
    bit = rng.randrange(header * 8, len(packet) * 8)
    changed = bytearray(packet)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


class Shaper:
    """The devices, and what waits to go on."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._waiting: list[tuple[float, int, bool, bytes]] = []
        self._count = 0
        self._devices: dict[int, bool] = {}
        for name, goes_out in ((told.out, True), (told.incoming, False)):
            if name:
                self._devices[open_tun(name)] = goes_out
        rng = random.Random()
        self._lines = {file: Line(told.impairment, rng) for file in self._devices}
        self._sockets = raw_sockets(told.interface) if told.out else {}
        self._incoming = next((file for file, out in self._devices.items() if not out), -1)

    def work(self) -> NoReturn:
        """For ever, or until a signal."""
        while True:
            pause = max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None
            for file in select.select(list(self._devices), [], [], pause)[0]:
                self._take(file)
            now = time.monotonic()
            while self._waiting and self._waiting[0][0] <= now:
                _, _, goes_out, packet = heapq.heappop(self._waiting)
                self._give(goes_out, packet)

    def _take(self, file: int) -> None:
        for _ in range(_AT_ONCE):
            try:
                packet = os.read(file, _LARGEST)
            except BlockingIOError:
                return
            version = packet[0] >> 4 if packet else 0
            if version not in (4, 6) or len(self._waiting) >= _MOST_HELD:
                continue
            for due, changed in self._lines[file].pass_on(packet, time.monotonic()):
                self._count += 1
                entry = (due, self._count, self._devices[file], changed)
                heapq.heappush(self._waiting, entry)

    def _give(self, goes_out: bool, packet: bytes) -> None:
        with suppress(OSError):  # no route, no room: as on any network, it is lost
            if not goes_out:
                os.write(self._incoming, packet)
            elif packet[0] >> 4 == 4:
                self._sockets[4].sendto(
                    packet, (socket.inet_ntop(socket.AF_INET, packet[16:20]), 0)
                )
            else:
                address = socket.inet_ntop(socket.AF_INET6, packet[24:40])
                self._sockets[6].sendto(packet, (address, 0))


def open_tun(name: str) -> int:
    """A device that lives as long as this process. Its packets have no header of the device."""
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    request = struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(file, _TUNSETIFF, request)
    return file


def raw_sockets(interface: str) -> dict[int, socket.socket]:
    """Sockets that send whole packets out of that interface, past our own rules."""
    found = {}
    for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        with suppress(OSError):  # a machine without IPv6
            raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
            if version == 4:
                raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
            else:
                raw.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 2**20)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            raw.setblocking(False)
            found[version] = raw
    return found


class _Ended(Exception):
    pass


def _end(*_: object) -> None:
    raise _Ended


def main(text: str) -> int:
    """Work until a signal; then let go of the traffic, in case that nobody else is left to."""
    told = from_json(text, Told)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        shaper = Shaper(told)
    except OSError as error:
        print(f"/dev/net/tun: {error.strerror}", flush=True)
        return 1
    print("ready", flush=True)
    with suppress(_Ended):
        shaper.work()
    with suppress(ChaosrunError):
        told.harm.remove(Here(told.mark, 0.0, "", Inside()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
