"""The parts of the shop that runs on Kubernetes: `python3 shop.py checkout | catalog | traffic`.

It needs Python's standard library only, since it is all that the shop's image has.

catalog    answers what there is to buy
checkout   asks the catalog, and answers 503 when that does not answer in time
traffic    buys ten times a second, tries once more where it got no answer, and writes each
           second how many it served and how many it did not: `served=10 failed=0`
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8080
EVERY = 0.1


def address(service: str) -> str:
    """Where a Service is, as Kubernetes tells every container that started after it."""
    name = service.upper()
    host = os.environ.get(f"{name}_SERVICE_HOST", service)
    return f"http://{host}:{os.environ.get(f'{name}_SERVICE_PORT', '80')}/"


def answers(url: str, timeout: float) -> bool:
    """Whether it says 200 in time."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False


class Catalog(BaseHTTPRequestHandler):
    """Answers."""

    def good(self) -> bool:
        return True

    def do_GET(self) -> None:
        body = b"ok\n" if self.path == "/ready" or self.good() else b"no\n"
        self.send_response(200 if body == b"ok\n" else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Requests are not worth a line each."""


class Checkout(Catalog):
    """Answers when the catalog does."""

    def good(self) -> bool:
        timeout = float(os.environ.get("CATALOG_TIMEOUT", "1"))
        return answers(os.environ.get("CATALOG_URL") or address("catalog"), timeout)


def serve(kind: type[BaseHTTPRequestHandler]) -> None:
    server = ThreadingHTTPServer(("", PORT), kind)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()


def traffic() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    url, served, failed, said = address("checkout"), 0, 0, time.monotonic()
    while True:
        began = time.monotonic()
        if answers(url, 0.5) or answers(url, 0.5):
            served += 1
        else:
            failed += 1
        if time.monotonic() - said >= 1:
            print(f"served={served} failed={failed}", flush=True)
            served, failed, said = 0, 0, time.monotonic()
        time.sleep(max(0.0, EVERY - (time.monotonic() - began)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["catalog"]:
            serve(Catalog)
        case ["checkout"]:
            if float(os.environ.get("CATALOG_TIMEOUT", "1")) <= 0:
                sys.exit("CATALOG_TIMEOUT must be more than 0")
            serve(Checkout)
        case ["traffic"]:
            traffic()
        case _:
            sys.exit(__doc__)
