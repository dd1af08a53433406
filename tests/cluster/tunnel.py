"""A proxy on loopback that passes connections on (HTTP's CONNECT), and notes who asked."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Tunnel:
    """Running while the `with` lasts; `asked` are the places asked for, and the credentials."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.asked))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Tunnel:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(asked: list[tuple[str, str]]) -> type[BaseHTTPRequestHandler]:
    class Passing(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append((self.path, self.headers.get("Proxy-Authorization", "")))
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=10) as there:
                there.settimeout(None)
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pass, args=(there, self.connection), daemon=True)
                back.start()
                _pass(self.connection, there)
                back.join()
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """A test says what matters."""

    return Passing


def _pass(source: socket.socket, to: socket.socket) -> None:
    """Everything from one to the other, the end too."""
    with contextlib.suppress(OSError):
        reading: Any = source.makefile("rb", buffering=0)
        shutil.copyfileobj(reading, to.makefile("wb", buffering=0))
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_WR)
