"""Requests and lookups that are redirected: is a delay what was asked for, and what the way costs.

Two hosts on one wire; the server, a process of its own on the far one, does no more than it must,
so that what is measured is the way. A delay is that of one request or lookup, less the median on
the bare path at the same pace: the redirect's own cost counts as off. A rate is that of requests
or lookups that the fault does not mean, one after another, against the bare path in turns.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from bench.measure import percentile
from bench.network import injected, need_hosts
from bench.results import Aim, Figure
from tests.two_hosts import Program
from tests.wire import TwoHosts

ASKED = 0.02
ROUND_TRIPS = 300
TURNS = 5
_RATED_FOR = 0.5
_AT_ONCE = 50
_BODY = 256 * 2**20
_WITHIN = 20.0
_MOST_OFF = 0.002  # timers of Envoy and of asyncio know whole milliseconds only, and round up
_REQUESTS_LEAST, _BODY_LEAST, _LOOKUPS_LEAST = 0.05, 0.25, 0.05

_NO_MATCH = {"status": 503, "paths": ["/never"]}
_OTHER = {"names": ["never.example"], "answer": "nxdomain"}
_TO = "10.77.0.2"

_WEB = """
import socket, threading
CHUNK = bytes(1024 * 1024)
def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    read = b""
    while got := connection.recv(65536):
        read += got
        while b"\\r\\n\\r\\n" in read:
            head, _, read = read.partition(b"\\r\\n\\r\\n")
            size = int(head.split()[1][1:])
            said = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % size
            while said or size:
                more = min(size, len(CHUNK) - len(said))
                connection.sendall(said + CHUNK[:more])
                said, size = b"", size - more
listener = socket.create_server(("10.77.0.2", 80))
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
"""
"""`GET /N` is answered by N bytes."""

_NAMES = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("10.77.0.2", 53))
print("ready", flush=True)
while True:
    asked, asker = server.recvfrom(512)
    said = asked[:2] + b"\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0" + asked[12:]
    server.sendto(said + b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\xc0\\0\\2\\1", asker)
"""
"""Every name is 192.0.2.1."""

_LOOKUP = b"\xca\xfe\1\0\0\1\0\0\0\0\0\0\2db\4shop\7example\0\0\1\0\1"


@contextmanager
def _served(by: str) -> Iterator[TwoHosts]:
    """Two hosts, with a server on b; a is the one that is harmed. Raises Absent."""
    need_hosts()
    with TwoHosts() as hosts:
        server = Program(hosts.names["b"], by)
        try:
            yield hosts
        finally:
            server.end()


@contextmanager
def _harmed(hosts: TwoHosts, fault: str, **with_: Any) -> Iterator[dict[str, Any]]:
    target: dict[str, Any] = {"namespace": hosts.names["a"]}
    if fault == "host.http":
        target["ports"] = [80]
    else:
        with_["servers"] = [_TO]
    with injected(fault, target, **with_) as measured:
        yield measured


class Browser:
    """A connection of the near host to the web server."""

    def __init__(self, hosts: TwoHosts) -> None:
        with hosts.on("a"):
            self._socket = socket.create_connection((_TO, 80), timeout=_WITHIN)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(1024 * 1024))

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def get(self, size: int = 2) -> None:
        """One request for as many bytes."""
        self._socket.sendall(b"GET /%d HTTP/1.1\r\nHost: shop.example\r\n\r\n" % size)
        head = b""
        while b"\r\n\r\n" not in head:
            if not (got := self._socket.recv(4096)):
                raise ConnectionError("the answer ended early")
            head += got
        head, _, body = head.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"an answer that nobody asked for: {head!r}")
        left = size - len(body)
        while left > 0:
            if not (got_bytes := self._socket.recv_into(self._buffer)):
                raise ConnectionError("the answer ended early")
            left -= got_bytes


def look_up() -> None:
    """One lookup, from a socket of its own, as programs do."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_WITHIN)
        sock.connect((_TO, 53))
        sock.send(_LOOKUP)
        if sock.recv(512)[-4:] != socket.inet_aton("192.0.2.1"):
            raise ConnectionError("an answer that nobody asked for")


def _round_trips(once: Callable[[], None], pause: float = 0.0) -> list[float]:
    found = []
    for _ in range(ROUND_TRIPS):
        time.sleep(pause)  # so that processors fall asleep as they do while a delay lasts
        began = time.perf_counter()
        once()
        found.append(time.perf_counter() - began)
    return found


def _rate(once: Callable[[], None]) -> float:
    """How many in a second, one after another."""
    count, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < _RATED_FOR:
        for _ in range(_AT_ONCE):
            once()
        count += _AT_ONCE
    return count / took


def _off(trips: list[float], quiet: float) -> Figure:
    off = [trip - quiet - ASKED for trip in trips]
    middle, most = median(off), percentile([abs(each) for each in off], 0.99)
    text = f"{middle * 1e3:+.2f} ms at p50, {most * 1e3:.2f} ms off at p99"
    return Figure(f"{text} of {ROUND_TRIPS} round trips", abs(middle) <= _MOST_OFF)


def _share(pairs: list[tuple[float, float]], unit: str, least: float) -> Figure:
    ratio = median(ours / bare for ours, bare in pairs)
    ours, bare = (median(column) for column in zip(*pairs, strict=True))
    return Figure(f"{ratio:.2f} x ({ours:,.0f} of {bare:,.0f} {unit})", ratio >= least)


def _each(pairs: list[tuple[float, float]], unit: str, least: float) -> Figure:
    """The same, with what one of them takes longer: on a wire that short a ratio says little."""
    figure = _share(pairs, f"{unit}/s", least)
    more = median(1 / ours - 1 / bare for ours, bare in pairs)
    return Figure(f"{figure.measured}, {more * 1e3:.2f} ms more for each", figure.met)


def http_delay() -> Figure:
    with _served(_WEB) as hosts:
        with Browser(hosts) as browser:
            quiet = median(_round_trips(browser.get, ASKED))
        with _harmed(hosts, "host.http", delay=f"{ASKED}s"), Browser(hosts) as browser:
            return _off(_round_trips(browser.get), quiet)


def _browsed(work: Callable[[Browser], float]) -> list[tuple[float, float]]:
    """What the work gives through Envoy, with no request that is meant, and on the bare path."""
    pairs = []
    with _served(_WEB) as hosts:
        for _ in range(TURNS):
            with Browser(hosts) as browser:
                bare = work(browser)
            with _harmed(hosts, "host.http", **_NO_MATCH) as measured, Browser(hosts) as browser:
                pairs.append((work(browser), bare))
            if not measured["requests"] or measured["harmed"]:
                raise RuntimeError(f"not the way that is measured: Envoy has seen {measured}")
    return pairs


def http_requests() -> Figure:
    pairs = _browsed(lambda browser: _rate(browser.get))
    return _each(pairs, "requests", _REQUESTS_LEAST)


def http_body() -> Figure:
    def megabytes(browser: Browser) -> float:
        began = time.perf_counter()
        browser.get(_BODY)
        return _BODY / 1e6 / (time.perf_counter() - began)

    return _share(_browsed(megabytes), "MB/s", _BODY_LEAST)


def dns_delay() -> Figure:
    with _served(_NAMES) as hosts:
        with hosts.on("a"):
            quiet = median(_round_trips(look_up, ASKED))
        with _harmed(hosts, "host.dns", names=["*"], delay=f"{ASKED}s"), hosts.on("a"):
            return _off(_round_trips(look_up), quiet)


def dns_lookups() -> Figure:
    pairs = []
    with _served(_NAMES) as hosts:
        for _ in range(TURNS):
            with hosts.on("a"):
                bare = _rate(look_up)
            with _harmed(hosts, "host.dns", **_OTHER), hosts.on("a"):
                pairs.append((_rate(look_up), bare))
    return _each(pairs, "lookups", _LOOKUPS_LEAST)


AIMS = (
    Aim("`host.http`: a delay of 20 ms", "within 2 ms of asked at p50", http_delay),
    Aim(
        "`host.http`: requests that are not meant, on one connection",
        f"at least {_REQUESTS_LEAST} x the bare path", http_requests,
    ),
    Aim(
        "`host.http`: throughput of a large answer that is not meant",
        f"at least {_BODY_LEAST} x the bare path", http_body,
    ),
    Aim("`host.dns`: a delay of 20 ms", "within 2 ms of asked at p50", dns_delay),
    Aim(
        "`host.dns`: lookups of other names",
        f"at least {_LOOKUPS_LEAST} x the bare path", dns_lookups,
    ),
)  # fmt: skip
