"""A server in front of the API server through which watches go on, until one goes wrong on command.

All but watches pass as through `FaultyApi`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from urllib3.exceptions import HTTPError

from tests.cluster.faults import FaultyApi

Wrong = Callable[[int], str]
"""For the number of a watch: "", or a word, and what it is about after a colon.

cut:N     broken off in the middle of the event after N
end:N     ended after N events
event:E   one event, E, and then broken off
old       asked for from the first version there was
gone      answered 410; busy: 429, and to be asked again in a second; broken: 500; never: 501
still     begun, and no word after that
dead      not answered
"""
_SAID = {
    "gone": (410, {"message": "too old", "reason": "Expired", "code": 410}, {}),
    "busy": (429, {"message": "too many requests"}, {"Retry-After": "1"}),
    "broken": (500, {"message": "etcd has no leader"}, {}),
    "never": (501, {"message": "this server does not know how to"}, {}),
}


class StreamingApi(FaultyApi):
    """What goes wrong with watches is decided by `wrong`; `watches` are the queries of each.

    When each of them came is in `arrived`.
    They are made beside the other calls, so `requests` and `fail` leave them out: which call has
    which number is the same each time.
    """

    def __init__(self, kubeconfig: Path, directory: Path) -> None:
        self.wrong: Wrong = lambda _: ""
        self.watches: list[dict[str, str]] = []
        self.arrived: list[float] = []
        self._all: list[str] = []
        self._open: list[Any] = []
        self._over = threading.Event()
        super().__init__(kubeconfig, directory)

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for answer in list(self._open):
            with contextlib.suppress(OSError):
                if (opened := getattr(answer.connection, "sock", None)) is not None:
                    socket.socket.shutdown(opened, socket.SHUT_RDWR)
        super().__exit__(*error)

    def _wrong(self, method: str, path: str) -> str:
        self._all.append(f"{method} {path}")
        return super()._wrong(method, path)

    def asked(self) -> list[str]:
        """What was asked for by GET so far: `list`, `watch`, or the name of an object."""
        found = []
        for each in self._all:
            place = urlsplit(each.partition(" ")[2])
            words = place.path.strip("/").split("/")
            listed = len(words) in (3, 5) or "namespaces" not in words
            verb = "watch" if "watch=1" in place.query else "list"
            if each.startswith("GET ") and words[-1] != "kube-system":
                found.append(verb if listed and words[-2] != "namespaces" else words[-1])
        return found

    def _upstream_lines(self, path: str, headers: dict[str, str]) -> Any:
        answer = self._pool.request(
            "GET", self._upstream + path, headers=headers, preload_content=False, retries=False
        )
        self._open.append(answer)
        return answer

    def _kind(self) -> type[BaseHTTPRequestHandler]:
        api, passing = self, super()._kind()

        class Streaming(passing):  # type: ignore[valid-type, misc]
            def do_GET(self) -> None:  # noqa: N802 - the library's name
                query = dict(parse_qsl(urlsplit(self.path).query))
                if query.get("watch") != "1":
                    return self._pass()  # type: ignore[no-any-return]
                api._all.append(f"GET {self.path}")
                api.arrived.append(time.monotonic())
                api.watches.append(query)
                word, _, about = api.wrong(len(api.watches) - 1).partition(":")
                if word in _SAID:
                    status, body, fields = _SAID[word]
                    return self._say(status, json.dumps(body).encode(), fields)  # type: ignore[no-any-return]
                if word == "dead":
                    api._over.wait(20)
                    return self._hang_up()  # type: ignore[no-any-return]
                path = self.path
                if word == "old":
                    path = f"{urlsplit(path).path}?{urlencode({**query, 'resourceVersion': '1'})}"
                return self._go_on(path, word, about)

            def _go_on(self, path: str, word: str, about: str) -> None:
                kept = {k: v for k, v in self.headers.items() if k.lower() != "host"}
                answer = api._upstream_lines(path, kept)
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                with contextlib.suppress(OSError, HTTPError):
                    if word == "still":
                        api._over.wait(20)
                    elif word == "event":
                        self._chunk(about.encode() + b"\n")
                    else:
                        self._lines(answer, word, int(about or -1))
                answer.close()
                if word == "end":
                    self.wfile.write(b"0\r\n\r\n")
                else:
                    self._hang_up()

            def _lines(self, answer: Any, word: str, most: int) -> None:
                begun, told = b"", 0
                for some in answer.stream(1 << 16):
                    *whole, begun = (begun + some).split(b"\n")
                    for line in whole:
                        if told == most:
                            if word == "cut":
                                self._chunk(line[: len(line) // 2])
                            return
                        self._chunk(line + b"\n")
                        told += 1

            def _chunk(self, some: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(some), some))
                self.wfile.flush()

        return Streaming
