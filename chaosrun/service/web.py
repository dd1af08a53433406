"""What a daemon answers over HTTP: /healthz, /readyz and /metrics. Starlette has its home here.

Law (L9): nothing but states and figures; no run, no name of a target, no reason.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from chaosrun.errors import Rejected
from chaosrun.service.metrics import CONTENT_TYPE, Metrics

Troubles = Callable[[], list[str]]
"""What is wrong now, in words; empty when nothing is."""


class Web:
    """A small server in a thread of its own."""

    def __init__(self, listen: str, alive: Troubles, ready: Troubles, metrics: Metrics) -> None:
        self._socket = _listening(listen)
        routes = [
            Route("/healthz", lambda _: _answer(alive())),
            Route("/readyz", lambda _: _answer(ready())),
            Route("/metrics", lambda _: Response(metrics.text(), media_type=CONTENT_TYPE)),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), log_config=None, access_log=False, lifespan="off",
            timeout_graceful_shutdown=1, server_header=False,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)

    @property
    def address(self) -> str:
        """Where it listens: `127.0.0.1:8790`."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])


def _answer(troubles: list[str]) -> Response:
    return PlainTextResponse(
        "".join(f"{each}\n" for each in troubles) or "ok\n", 503 if troubles else 200
    )


def _listening(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]") or "127.0.0.1", int(port)), family=family)
    except (OSError, ValueError, OverflowError) as error:
        said = error.strerror if isinstance(error, OSError) else "write it as HOST:PORT"
        raise Rejected(
            f"cannot listen on {listen}: {said}", hint="choose another with --listen; none for none"
        ) from None
