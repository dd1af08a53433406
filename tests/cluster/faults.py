"""A server in front of the API server that fails requests on command: for one, or for many.

It speaks plain HTTP on loopback and passes requests on as they are, so that what reaches
the API server is what the client sent. A request for a websocket, by which programs run in
containers, is one of them: it is passed on, and then every byte in both directions.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import select
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import urllib3
import yaml

WRONG = ("busy", "broken", "cut", "lost", "slow")
"""429; 500; hung up on before it was passed on; done, and the answer lost; answered late."""
_SECONDS = re.compile(r"command=\d+\.\d+")
Fail = Callable[[int, str, str], str]
"""For the number of a request, its method and its path: "", or what is to go wrong."""
_ENDS_WITHIN = 20.0


class FaultyApi:
    """What goes wrong is decided by `fail`, in words of `WRONG`."""

    def __init__(self, kubeconfig: Path, directory: Path) -> None:
        self.fail: Fail = lambda *_: ""
        self.requests: list[str] = []
        self.failed: list[str] = []
        self._lock = threading.Lock()
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._upstream = str(cluster.pop("server"))
        self._trusted = cluster.pop("certificate-authority", None)
        self._pool = urllib3.PoolManager(ca_certs=self._trusted, maxsize=16)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._kind())
        self._server.daemon_threads = True
        cluster["server"] = f"http://127.0.0.1:{self._server.server_port}"
        self.kubeconfig = directory / f"faulty-{self._server.server_port}.kubeconfig"
        self.kubeconfig.write_text(json.dumps(config))

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._pool.clear()

    @contextlib.contextmanager
    def failing(self, fail: Fail) -> Iterator[None]:
        """Count from 0 again, and let go wrong what is to."""
        with self._lock:
            self.requests.clear()
            self.failed.clear()
            self.fail = fail
        try:
            yield
        finally:
            self.fail = lambda *_: ""

    def _wrong(self, method: str, path: str) -> str:
        with self._lock:
            self.requests.append(f"{method} {path}")
            wrong = self.fail(len(self.requests) - 1, method, path)
            if wrong not in ("", "slow"):
                self.failed.append(f"{wrong}: {method} {path}")
            return wrong

    def _connected(self) -> socket.socket:
        """A connection of its own to the API server."""
        there = urlsplit(self._upstream)
        plain = socket.create_connection((there.hostname, there.port or 443), _ENDS_WITHIN)
        if there.scheme == "http":
            return plain
        context = ssl.create_default_context(cafile=self._trusted)
        return context.wrap_socket(plain, server_hostname=there.hostname)

    def _kind(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Passing(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                wrong = api._wrong(self.command, self.path)
                if wrong == "slow":
                    time.sleep(0.3)
                if wrong == "cut":
                    return self._hang_up()
                if wrong == "busy":
                    return self._say(429, b'{"message": "too many requests"}', {"Retry-After": "0"})
                if wrong == "broken":
                    return self._say(500, b'{"message": "etcd has no leader"}', {})
                if "Upgrade" in self.headers:
                    return self._upgrade(deaf=wrong == "lost")
                answer: Any = api._pool.request(
                    self.command, api._upstream + self.path, body=body or None,
                    headers={k: v for k, v in self.headers.items() if k.lower() != "host"},
                    retries=False,
                )  # fmt: skip
                if wrong == "lost":
                    return self._hang_up()
                kept = {k: v for k, v in answer.headers.items() if k in ("Content-Type",)}
                return self._say(answer.status, answer.data, kept)

            def _upgrade(self, *, deaf: bool) -> None:
                """Pass it on until either side ends it; `deaf` to all that a program answers."""
                lines = [self.requestline, *(f"{k}: {v}" for k, v in self.headers.items())]
                with api._connected() as there, contextlib.suppress(OSError):
                    there.sendall("\r\n".join([*lines, "", ""]).encode())
                    said = _head(there)
                    end = said.index(b"\r\n\r\n") + 4 if deaf else len(said)
                    self.connection.sendall(said[:end])
                    _relay(self.connection, there, deaf=deaf)
                self._hang_up()

            def _say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def _hang_up(self) -> None:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)

            def log_message(self, *_: object) -> None:
                """The test counts requests itself."""

            do_GET = do_POST = do_PATCH = do_DELETE = _pass  # noqa: N815 - the library's names

        return Passing


def _head(there: socket.socket) -> bytes:
    """The answer to a request for a websocket, and what came with it."""
    said = b""
    while b"\r\n\r\n" not in said and (part := there.recv(65536)):
        said += part
    return said


def _relay(here: socket.socket, there: socket.socket, *, deaf: bool) -> None:
    """Every byte in both directions until one side ends; by one thread, as TLS wants it."""
    while True:
        decrypted = isinstance(there, ssl.SSLSocket) and there.pending()
        ready = [there] if decrypted else select.select([here, there], [], [], _ENDS_WITHIN)[0]
        if not ready:
            return
        for each in ready:
            if not (part := each.recv(65536)):
                return
            if each is here:
                there.sendall(part)
            elif not deaf:
                here.sendall(part)


# What is to go wrong


def always(wrong: str) -> Fail:
    """Every request goes wrong."""
    return lambda _number, _method, _path: wrong


def at(bad: int, wrong: str) -> Fail:
    """Only that request goes wrong."""
    return lambda number, _method, _path: wrong if number == bad else ""


def gone_from(first: int) -> Fail:
    """The server goes at that request and stays away; of every second it does what was asked."""
    last = "lost" if first % 2 else "cut"
    return lambda number, *_: "" if number < first else last if number == first else "cut"


def each_once(shift: int = 0) -> Fail:
    """Every call goes wrong before it is made again: one busy, the next broken, and so on.

    What runs a program is not made again by itself; each program goes wrong in each way.
    """
    kinds = itertools.islice(itertools.cycle(WRONG), shift, None)
    programs: Counter[str] = Counter()
    last = [""]

    def wrong(_number: int, method: str, path: str) -> str:
        call = f"{method} {path}"
        if "/exec?" in path:
            call = _SECONDS.sub("", call)  # how long an agent may last is told anew each time
            programs[call] += 1
            return WRONG[programs[call] - 1] if programs[call] <= len(WRONG) else ""
        if call == last[0]:
            last[0] = ""
            return ""
        found = next(kinds)
        last[0] = "" if found == "slow" else call
        return found

    return wrong
