"""What Envoy must be told so that it harms some requests, and passes on all others.

Law: a request that is not meant goes on as it came: same way of writing its headers, no header of
Envoy's own but `x-forwarded-proto`, no limit on its time.
"""

from __future__ import annotations

import re
from pathlib import Path

from chaosrun.mechanisms.envoy import Harmed, Requests
from chaosrun.units import JSON

_TYPE = "type.googleapis.com/envoy"
_MILLION = 1_000_000
_NO_LIMIT = "0s"
_ROUTES = "routes"


def configuration(
    meant: Requests,
    harmed: Harmed,
    *,
    admin: str,
    listen: list[str],
    mark: int,
    breaker: int = 0,
) -> dict[str, JSON]:
    """An Envoy that passes requests on to where they were going (see redirect.py).

    `listen` are addresses, on ports that it chooses; `breaker` is the port of breaker.py.
    """
    return {
        "admin": {"address": {"pipe": {"path": admin, "mode": 0o600}}},
        "static_resources": {
            "listeners": [
                _listener(
                    number,
                    address,
                    0,
                    {"route_config": _routes(meant, harmed)},
                    original=True,
                )
                for number, address in enumerate(listen)
            ],
            "clusters": [_real(None, mark), _static("broken", "127.0.0.1", breaker or 1)],
        },
    }


def standing(
    *, listen: tuple[str, int], upstream: tuple[str, int], admin: str, routes: str, breaker: int
) -> dict[str, JSON]:
    """An Envoy that stands there all the time, and reads its routes from a file again and again."""
    source = {
        "path_config_source": {
            "path": routes,
            "watched_directory": {"path": str(Path(routes).parent)},
        },
        "resource_api_version": "V3",
    }
    rds = {"rds": {"route_config_name": _ROUTES, "config_source": source}}
    return {
        "node": {"id": "chaosrun", "cluster": "chaosrun"},
        "admin": {"address": {"pipe": {"path": admin, "mode": 0o600}}},
        "static_resources": {
            "listeners": [_listener(0, *listen, rds, original=False)],
            "clusters": [_real(upstream, 0), _static("broken", "127.0.0.1", breaker)],
        },
    }


def discovered(version: str, meant: Requests | None, harmed: Harmed | None) -> dict[str, JSON]:
    """What the file of routes says; nothing is harmed without `harmed`."""
    routes = _routes(meant or Requests(), harmed)
    kind = f"{_TYPE}.config.route.v3.RouteConfiguration"
    return {
        "version_info": version,
        "resources": [{"@type": kind, "name": _ROUTES, **routes}],
    }


def _listener(
    number: int, host: str, port: int, routes: dict[str, JSON], *, original: bool
) -> dict[str, JSON]:
    kind = f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    listener: dict[str, JSON] = {
        "name": f"listener-{number}",
        "address": {"socket_address": {"address": host, "port_value": port}},
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": {"@type": kind, **_CONNECTIONS, **routes},
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


_CONNECTIONS: dict[str, JSON] = {
    "stat_prefix": "chaosrun",
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


def _routes(meant: Requests, harmed: Harmed | None) -> dict[str, JSON]:
    harm = [_route(match, harmed) for match in _matches(meant)] if harmed else []
    onward = [
        {"match": {"prefix": "/"}, "route": _onward("real")},
        {"match": {"connect_matcher": {}}, "route": _onward("real")},
    ]
    return {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [*harm, *onward]}]}


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
