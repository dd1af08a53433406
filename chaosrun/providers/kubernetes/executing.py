"""A program that is run in a container, by a websocket to the API server.

Law: it is reached as every other call is, by the same trust and proxy, and ends in time.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from chaosrun.errors import Indeterminate, Refused, Transient


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a program in a container wrote, and how the API says that it ended."""

    status: int
    data: bytes
    ended: bytes = b""


def execute(
    url: str, fields: Iterable[tuple[str, str]], settings: Any, pools: Any, within: float
) -> Said:
    """Run a program in a container, and wait for its end. Raises Transient and Indeterminate.

    `settings` and `pools` are those of the official client, by which every other call goes; a
    proxy of theirs that will not do raises Refused. By a websocket, with the subprotocol
    v4.channel.k8s.io: each message has its channel in its first byte. The caller is told an
    answer of the API server that is an error.
    """
    import websocket

    path = urlsplit(url).path
    try:
        opened = websocket.create_connection(
            f"ws{url.removeprefix('http')}",
            timeout=within,
            header=[f"{key}: {value}" for key, value in fields],
            subprotocols=["v4.channel.k8s.io"],
            sslopt=_trust(settings),
            **_through(pools),
        )
    except websocket.WebSocketBadStatusException as error:
        return Said(status=error.status_code, data=error.resp_body or b"")
    except (websocket.WebSocketException, OSError) as error:
        raise Transient(f"GET {path}: no answer: {brief(error)}") from None
    said: dict[int, bytes] = {}
    end = time.monotonic() + within
    try:
        while True:
            opened.settimeout(max(0.01, end - time.monotonic()))
            kind, message = opened.recv_data()
            if kind == websocket.ABNF.OPCODE_CLOSE:
                break
            if message:
                said[message[0]] = said.get(message[0], b"") + message[1:]
    except websocket.WebSocketConnectionClosedException:
        pass
    except (websocket.WebSocketException, OSError) as error:
        raise Indeterminate(f"GET {path}: it was broken off: {brief(error)}") from None
    finally:
        opened.shutdown()  # type: ignore[no-untyped-call]
    return Said(status=200, data=said.get(1, b""), ended=said.get(3, b""))


def brief(error: Exception) -> str:
    """The last words of an error of the network, which begins with addresses of objects."""
    return str(error).rpartition(": ")[2][:200] or type(error).__name__


def _trust(configuration: Any) -> dict[str, Any]:
    """Whom to trust, and our certificate, as the library for websockets wants it."""
    if not configuration.verify_ssl:
        return {"cert_reqs": ssl.CERT_NONE, "check_hostname": False}
    found = {
        "cert_reqs": ssl.CERT_REQUIRED, "ca_certs": configuration.ssl_ca_cert,
        "certfile": configuration.cert_file, "keyfile": configuration.key_file,
        "server_hostname": configuration.tls_server_name,
    }  # fmt: skip
    return {key: value for key, value in found.items() if value is not None}


def _through(pools: Any) -> dict[str, Any]:
    """The proxy of every other call, as the library for websockets wants it. Raises Refused.

    Unless it is told both, it looks in the environment, and may decide otherwise.
    """
    socks = getattr(pools, "proxy_url", "")  # which urllib3 does not call its proxy
    if pools.proxy is None and not socks:
        return {"http_proxy_host": "none", "http_no_proxy": ["*"]}
    proxy = pools.proxy
    scheme = socks.partition(":")[0] if socks else proxy.scheme
    if scheme != "http":
        raise Refused(
            f"no program can be run in a pod through a proxy of {scheme}",
            hint="give the kubeconfig a `proxy-url` that begins with http://",
        )
    found = {
        "http_proxy_host": proxy.host,
        "http_proxy_port": proxy.port or 80,
        "http_no_proxy": ["-"],
    }
    if proxy.auth:
        user, _, password = proxy.auth.partition(":")
        found["http_proxy_auth"] = (unquote(user), unquote(password))
    return found
