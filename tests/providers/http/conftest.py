"""Real servers on loopback whose every byte a test decides."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from chaosrun.providers.http.client import connect
from chaosrun.web.client import Client

Behaviour = Callable[["Visit"], None]


class Visit:
    """One connection, as the server sees it."""

    def __init__(self, sock: socket.socket, number: int, requests: list[bytes]) -> None:
        self.sock = sock
        self.number = number
        self._requests = requests
        self._buffer = b""

    def request(self) -> bytes:
        """The next whole request, or nothing when the client has gone."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return b""
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        lengths = [
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ]
        length = lengths[0] if lengths else 0
        while len(rest) < length:
            if not self._more():
                return b""
            rest = self._buffer.partition(b"\r\n\r\n")[2]
        self._buffer = rest[length:]
        request = head + b"\r\n\r\n" + rest[:length]
        self._requests.append(request)
        return request

    def _more(self) -> bool:
        some = self.sock.recv(65536)
        self._buffer += some
        return bool(some)

    def say(self, text: bytes) -> None:
        self.sock.sendall(text)

    def answer(self, body: bytes = b"", status: str = "200 OK", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.say("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def reset(self) -> None:
        """Close so that the client gets an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def wait_for_end(self) -> None:
        """Say nothing more until the client goes."""
        while self._more():
            pass


class Server:
    """Accepts connections and behaves as told, each in a thread of its own."""

    def __init__(self, behave: Behaviour, host: str, context: ssl.SSLContext | None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=512)
        self._behave = behave
        self._context = context
        self._threads: list[threading.Thread] = []
        self._socks: list[socket.socket] = []
        self.requests: list[bytes] = []
        self.port = self._listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if context else 'http'}://{shown}:{self.port}"
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    @property
    def connections(self) -> int:
        return len(self._threads)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._socks.append(sock)
            thread = threading.Thread(target=self._visit, args=(sock, len(self._threads) + 1))
            self._threads.append(thread)
            thread.start()

    def _visit(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), sock:
            if self._context is None:
                self._behave(Visit(sock, number, self.requests))
            else:
                with self._context.wrap_socket(sock, server_side=True) as wrapped:
                    self._socks.append(wrapped)
                    self._behave(Visit(wrapped, number, self.requests))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers: `serve(behaviour, host="127.0.0.1", context=None)`."""
    servers: list[Server] = []

    def start(
        behave: Behaviour, *, host: str = "127.0.0.1", context: ssl.SSLContext | None = None
    ) -> Server:
        servers.append(Server(behave, host, context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def client() -> Iterator[Client]:
    client = connect()
    yield client
    client.close()


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Poll until it is true. Fails past the time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.005)
