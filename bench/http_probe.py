"""The HTTP probes: what one sample costs, and whether a load is sent at its rate.

The peer is a bare `requests.Session().get` with a timeout, whose body is read. Both ask the same
server, a process of its own, over one kept connection each, request by request in turns.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from statistics import median

from bench.results import Aim, Figure
from chaosrun.providers.http.client import connect
from chaosrun.providers.http.load import HttpLoad
from chaosrun.providers.http.probe import HttpProbe
from chaosrun.units import Duration

SAMPLES = 5000
RATE, WINDOWS = 500, 5
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n"
    b'Server: bench\r\nDate: Mon, 23 Nov 2026 00:00:00 GMT\r\n\r\n{"status":"up"}'
)


def serve() -> None:
    """A server that answers every request the same; it prints its port."""

    def visit(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            asked = b""
            while got := connection.recv(65536):
                asked += got
                while b"\r\n\r\n" in asked:
                    asked = asked.partition(b"\r\n\r\n")[2]
                    connection.sendall(ANSWER)

    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            threading.Thread(target=visit, args=listener.accept()[:1], daemon=True).start()


@contextmanager
def server() -> Iterator[str]:
    """The URL of that server, in a process of its own."""
    command = (sys.executable, "-m", "bench.http_probe")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/health"
        finally:
            process.kill()


def cost() -> Figure:
    import requests

    with server() as url, closing(connect()) as client, requests.Session() as session:
        probe = HttpProbe(url=url)
        ours, peer = [], []
        for sample in range(SAMPLES + 100):
            began = time.perf_counter()
            response = probe.observe(client)
            middle = time.perf_counter()
            theirs = session.get(url, timeout=2)
            ended = time.perf_counter()
            assert (response.status, theirs.status_code) == (200, 200)
            if sample >= 100:  # both are warm
                ours.append(middle - began)
                peer.append(ended - middle)
    ratio = median(a / b for a, b in zip(ours, peer, strict=True))
    text = f"{ratio:.2f} x ({median(ours) * 1e6:.0f} against {median(peer) * 1e6:.0f} µs)"
    return Figure(text, ratio <= 1.15)


def rate() -> Figure:
    with server() as url, closing(connect()) as client:
        load = HttpLoad(url=url, rate=RATE, window=Duration(2))
        found = [load.observe(client) for _ in range(WINDOWS)]
    assert all(one.errors == 0 for one in found), found
    off = max(abs(one.rate / RATE - 1) for one in found)
    behind = median(one.behind.seconds for one in found)
    text = (
        f"{off:.2%} off at worst, a request at most {behind * 1e3:.1f} ms late (median of windows)"
    )
    return Figure(text, off <= 0.01)


AIMS = (
    Aim("a sample of the probe `http`", "at most 1.15 x a bare `requests.Session`", cost),
    Aim("`http-load` at 500 requests/s", "within 1% of the rate", rate),
)

if __name__ == "__main__":
    serve()
