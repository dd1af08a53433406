"""A server in front of the API server that fails requests on command: for one, or for many.

It speaks plain HTTP on loopback and passes requests on as they are, so that what reaches
the API server is what the client sent.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import urllib3
import yaml

Fail = Callable[[int, str, str], str]
"""For the number of a request, its method and its path: "", or what is to go wrong."""


class FaultyApi:
    """What goes wrong is decided by `fail`: busy, broken, cut, lost (done, and not told), slow."""

    def __init__(self, kubeconfig: Path, directory: Path) -> None:
        self.fail: Fail = lambda *_: ""
        self.requests: list[str] = []
        self._lock = threading.Lock()
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._upstream = str(cluster.pop("server"))
        self._pool = urllib3.PoolManager(
            ca_certs=cluster.pop("certificate-authority", None), maxsize=16
        )
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._kind())
        self._server.daemon_threads = True
        cluster["server"] = f"http://127.0.0.1:{self._server.server_port}"
        self.kubeconfig = directory / "faulty.kubeconfig"
        self.kubeconfig.write_text(json.dumps(config))

    def __enter__(self) -> FaultyApi:
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
            self.fail = fail
        yield
        self.fail = lambda *_: ""

    def _wrong(self, method: str, path: str) -> str:
        with self._lock:
            self.requests.append(f"{method} {path}")
            return self.fail(len(self.requests) - 1, method, path)

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
                answer: Any = api._pool.request(
                    self.command, api._upstream + self.path, body=body or None,
                    headers={k: v for k, v in self.headers.items() if k.lower() != "host"},
                    retries=False,
                )  # fmt: skip
                if wrong == "lost":
                    return self._hang_up()
                kept = {k: v for k, v in answer.headers.items() if k in ("Content-Type",)}
                return self._say(answer.status, answer.data, kept)

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
