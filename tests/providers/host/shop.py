"""A small shop on port 8080 that the experiments of this machine harm, and payments on 9090.

`python shop.py shop|payments DIRECTORY WORD`. The shop writes orders, prints receipts by another
process, keeps users logged in for an hour, and asks payments.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DIRECTORY = Path(sys.argv[2])
PAYMENTS = ("10.77.0.2", 9090)
BEGAN = time.time()
_ORDER = b"x" * 65536


def ask_payments(method: str, path: str) -> int:
    connection = http.client.HTTPConnection(*PAYMENTS, timeout=0.5)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    finally:
        connection.close()


def answer(path: str) -> int:
    match path:
        case "/order":
            file = DIRECTORY / f"order-{time.monotonic_ns()}"
            try:
                with file.open("wb") as stream:
                    stream.write(_ORDER)
                    stream.flush()
                    os.fsync(stream.fileno())
            finally:
                file.unlink(missing_ok=True)
        case "/receipt":
            subprocess.run(["true"], check=True)
        case "/login":
            return 200 if time.time() < BEGAN + 3600 else 401
        case "/pay":
            try:
                ask_payments("POST", "/charge")
            except OSError:
                return 200  # taken, and charged later
        case "/payments":
            return ask_payments("GET", "/list")
    return 200


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        try:
            status = answer(self.path)
        except (OSError, http.client.HTTPException):
            status = 507
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - the name is given

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    server = Server(("0.0.0.0", 8080 if sys.argv[1] == "shop" else 9090), Page)
    print("ready", flush=True)
    server.serve_forever()
