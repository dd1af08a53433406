"""HTTP as the lab's parts speak it: JSON answers from a table of routes, and calls with JSON.

Law: a server answers each request on its own thread, so a hung route harms only its callers.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import socketserver
import uuid
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

from chaosrun.units import JSON

HOST = "127.0.0.1"
NoAnswer = (OSError, http.client.HTTPException)
"""What `call` raises when nobody answered, the connection broke, or time was up."""


class Request(NamedTuple):
    """`id` stays the same through every retry of one request."""

    path: str
    id: str
    body: bytes = b""


Answer = tuple[int, JSON]
Route = Callable[[Request], Answer]
Routes = Mapping[str, Route]


class _Server(socketserver.ThreadingTCPServer):
    # Not http.server's own server: that one asks the resolver for our name when it starts.
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def serve(port: int, routes: Routes) -> None:
    """Answer requests for `METHOD /path` until the process ends."""

    class Conversation(BaseHTTPRequestHandler):
        timeout = 30  # a client that connects and says nothing does not keep its thread

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(min(length, 65536))
            request = Request(self.path, self.headers.get("X-Request-Id") or new_id(), body)
            route = routes.get(f"{self.command} {self.path.partition('?')[0]}")
            status, said = route(request) if route else (404, {"error": "no such route"})
            text = json.dumps(said).encode()
            self.send_response_only(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_DELETE = answer  # noqa: N815 - the names that http.server calls

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # the caller went away
                super().handle()

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are not logged: a lab may run for an hour."""

    with _Server((HOST, port), Conversation) as server:
        server.serve_forever(poll_interval=5)


def call(
    port: int,
    path: str,
    *,
    timeout: float | None,
    request: str = "",
    method: str = "GET",
    body: bytes = b"",
) -> Answer:
    """Ask that port; `timeout` bounds the connect and each read. Raises one of `NoAnswer`."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request(method, path, body, headers={"X-Request-Id": request or new_id()})
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")
    except ValueError as error:
        raise http.client.HTTPException(f"not JSON: {error}") from None
    finally:
        connection.close()


def answers(port: int, *, timeout: float) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection((HOST, port), timeout):
            return True
    except OSError:
        return False


def healthy(_: Request) -> Answer:
    return 200, {"status": "ok"}


def new_id() -> str:
    return uuid.uuid4().hex[:12]
