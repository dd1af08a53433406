"""The TCP proxy: is a delay what was asked for, and how many bytes pass. The peer is Toxiproxy.

Both proxies stand before the same upstream, a process of its own, and are used in turns, as is
the bare path to it. A delay
is a round trip of one byte, less the median round trip through the same proxy before it was asked
to delay anything, at the same pace: a processor that slept takes its time to wake.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from statistics import median

import msgspec

from bench import peers
from bench.measure import percentile
from bench.peers import Absent
from bench.results import Aim, Figure
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.proxy.messages import Request
from chaosrun.providers.host.proxy.toxics import Toxic

ASKED = 0.02
ROUND_TRIPS = 500
TRANSFER = 512 * 1024 * 1024
TURNS = 5
_BARE_LEAST = 0.25
_CHUNK = 1024 * 1024


def upstream() -> None:
    """A server: `e` echoes, `u` counts what it is sent and says so, `d` sends that many bytes."""

    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            word = connection.recv(9, socket.MSG_WAITALL)
            count = int.from_bytes(word[1:], "big")
            if word[:1] == b"e":
                while got := connection.recv(4096):
                    connection.sendall(got)
            elif word[:1] == b"u":
                receive(connection, count)
                connection.sendall(b"!")
            elif word[:1] == b"d":
                send(connection, count)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()


def send(connection: socket.socket, count: int) -> None:
    chunk = bytes(_CHUNK)
    for _ in range(count // _CHUNK):
        connection.sendall(chunk)


def receive(connection: socket.socket, count: int) -> None:
    buffer = bytearray(_CHUNK)
    while count > 0:
        got = connection.recv_into(buffer)
        if not got:
            raise ConnectionError("the transfer ended early")
        count -= got


@contextmanager
def asked(port: int, what: bytes, count: int = 0) -> Iterator[socket.socket]:
    """A connection to the upstream through the proxy at `port`, with its question sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(what + count.to_bytes(8, "big"))
        yield connection


def round_trips(port: int, pause: float = 0.0) -> list[float]:
    """Round trips of a byte, in seconds, each after a pause."""
    found = []
    with asked(port, b"e") as connection:
        for _ in range(ROUND_TRIPS):
            time.sleep(pause)
            began = time.perf_counter()
            connection.sendall(b"?")
            connection.recv(1)
            found.append(time.perf_counter() - began)
    return found


def transfer(port: int) -> float:
    """Bytes per second of one connection, there and back one after the other."""
    began = time.perf_counter()
    with asked(port, b"u", TRANSFER) as connection:
        send(connection, TRANSFER)
        connection.recv(1)
    with asked(port, b"d", TRANSFER) as connection:
        receive(connection, TRANSFER)
    return 2 * TRANSFER / (time.perf_counter() - began)


class Proxies(msgspec.Struct, frozen=True):
    """Where both proxies and their upstream listen, and how they are told to delay."""

    ours: int
    peer: int
    bare: int
    control: str
    api: str

    def slow(self) -> None:
        """Ask both for the same delay of answers."""
        toxic = Toxic(mark="bench", deadline=time.time() + 600, ways=("downstream",), latency=ASKED)
        if Host().proxy(self.control, Request(do="set", toxic=toxic)) is None:
            raise RuntimeError("the proxy does not answer")
        attributes = {"latency": round(ASKED * 1000)}
        _post(f"{self.api}/proxies/bench/toxics", {"type": "latency", "attributes": attributes})


@contextmanager
def _process(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _post(url: str, body: object) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode())
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5):
        pass


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def proxies(server: Path | None) -> Iterator[Proxies]:
    """Both proxies before one upstream; ours alone where there is no Toxiproxy."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        target = stack.enter_context(_process(sys.executable, "-m", "bench.tcp_proxy"))
        bare = int(_first_line(target))
        there = f"127.0.0.1:{bare}"
        found = Proxies(_free_port(), _free_port(), bare, f"{folder}/control", "")
        line = ("--listen", f"127.0.0.1:{found.ours}", "--upstream", there)
        proxy = (sys.executable, "-m", "chaosrun.providers.host.proxy", *line)
        _first_line(stack.enter_context(_process(*proxy, "--control", found.control)))
        if server is None:
            yield found
            return
        api = _free_port()
        stack.enter_context(_process(server, "-host", "127.0.0.1", "-port", str(api)))
        found = msgspec.structs.replace(found, api=f"http://127.0.0.1:{api}")
        _wait_for(api)
        listen = f"127.0.0.1:{found.peer}"
        _post(f"{found.api}/proxies", {"name": "bench", "listen": listen, "upstream": there})
        yield found


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def delay() -> Figure:
    with proxies(peers.toxiproxy()) as both:
        quiet = [median(round_trips(port, ASKED)) for port in (both.ours, both.peer)]
        both.slow()
        ours, theirs = [], []
        for _ in range(TURNS):
            ours += round_trips(both.ours)
            theirs += round_trips(both.peer)
    mine, peer = (
        percentile([abs(trip - base - ASKED) for trip in trips], 0.99)
        for trips, base in zip((ours, theirs), quiet, strict=True)
    )
    text = f"{mine * 1e3:.2f} ms off at p99 of {len(ours):,} round trips"
    return Figure(f"{text} (Toxiproxy: {peer * 1e3:.2f} ms)", mine <= 0.001)


class Turn(msgspec.Struct, frozen=True):
    """Bytes per second of one turn; 0 where there is no peer."""

    ours: float
    bare: float
    peer: float


@cache
def _turns() -> tuple[Turn, ...]:
    """Connections through our proxy, past it and through the peer, in turns."""
    try:
        server = peers.toxiproxy()
    except Absent:  # the bare path needs none
        server = None
    with proxies(server) as both:
        return tuple(
            Turn(transfer(both.ours), transfer(both.bare), transfer(both.peer) if server else 0)
            for _ in range(TURNS)
        )


def throughput() -> Figure:
    peers.toxiproxy()
    turns = _turns()
    ratio = median(turn.ours / turn.peer for turn in turns)
    mine, peer = (median(each) / 1e9 for each in ([t.ours for t in turns], [t.peer for t in turns]))
    return Figure(f"{ratio:.2f} x ({mine:.2f} against {peer:.2f} GB/s)", ratio >= 0.5)


def bare_throughput() -> Figure:
    turns = _turns()
    ratio = median(turn.ours / turn.bare for turn in turns)
    mine, bare = (median(each) / 1e9 for each in ([t.ours for t in turns], [t.bare for t in turns]))
    return Figure(f"{ratio:.2f} x ({mine:.2f} of {bare:.2f} GB/s)", ratio >= _BARE_LEAST)


AIMS = (
    Aim("`host.tcp-proxy`: a delay of 20 ms", "within 1 ms of asked at p99", delay),
    Aim("`host.tcp-proxy`: throughput of a connection", "at least 0.5 x Toxiproxy", throughput),
    Aim(
        "`host.tcp-proxy`: throughput beside the bare path",
        f"at least {_BARE_LEAST} x the bare path", bare_throughput,
    ),
)  # fmt: skip

if __name__ == "__main__":
    upstream()
