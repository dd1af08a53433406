"""One connection to one cluster, by the official client's configuration and its connections.

Law: every call ends in time, and no error repeats a header, since it may hold a token (L9).
"""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from chaosrun.errors import Indeterminate, Refused, Transient
from chaosrun.providers.kubernetes.access import Access

_CONNECT, _ANSWER, _CONNECTIONS = 3.0, 6.0, 16


class Connection:
    """One access to one cluster, by the official client's configuration and connections."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._lock = Lock()
        self.context, self._api = _configured(access)

    def close(self) -> None:
        self._api.rest_client.pool_manager.clear()

    def renew(self) -> None:
        """Read the credentials anew: they may have expired. Raises Refused for another server."""
        with self._lock:
            before = self._api.configuration.host
            self.close()
            self.context, self._api = _configured(self._access)
            if self._api.configuration.host != before:
                raise Refused(
                    f"the kubeconfig names another server than before: {before}",
                    hint="put the context back, or start anew",
                )

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any,
        content: str,
        accept: str,
    ) -> Any:
        """The answer, or the error for none: Transient if it was never sent, or only read."""
        from urllib3 import Timeout
        from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

        configuration = self._api.configuration
        fields = [("Accept", accept or "application/json"), *self._fields()]
        if body is not None:
            fields.append(("Content-Type", content or "application/json"))
        url = configuration.host + quote(path) + (f"?{urlencode(query)}" if query else "")
        try:
            return self._api.rest_client.pool_manager.request(
                method,
                url,
                headers=_several(fields),
                body=None if body is None else json.dumps(body),
                timeout=Timeout(connect=_CONNECT, read=_ANSWER),
                retries=False,
                redirect=False,
            )
        except (NewConnectionError, ConnectTimeoutError) as error:
            return Transient(f"{method} {path}: the API server cannot be reached: {_brief(error)}")
        except HTTPError as error:
            kind = Transient if method == "GET" else Indeterminate
            return kind(f"{method} {path}: no answer: {_brief(error)}")

    def execute(self, path: str, query: Iterable[tuple[str, str]], within: float) -> Said:
        """Run a program in a container, and wait for its end. Raises Transient and Indeterminate.

        By a websocket, with the subprotocol v4.channel.k8s.io: each message has its channel in
        its first byte. The caller is told an answer of the API server that is an error.
        """
        import websocket

        configuration = self._api.configuration
        headers = [f"{key}: {value}" for key, value in self._fields()]
        url = f"ws{configuration.host.removeprefix('http')}{quote(path)}?{urlencode(list(query))}"
        try:
            opened = websocket.create_connection(
                url,
                timeout=within,
                header=headers,
                subprotocols=["v4.channel.k8s.io"],
                sslopt=_trust(configuration),
            )
        except websocket.WebSocketBadStatusException as error:
            return Said(status=error.status_code, data=error.resp_body or b"")
        except (websocket.WebSocketException, OSError) as error:
            raise Transient(f"GET {path}: no answer: {_brief(error)}") from None
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
            raise Indeterminate(f"GET {path}: it was broken off: {_brief(error)}") from None
        finally:
            opened.shutdown()  # type: ignore[no-untyped-call]
        return Said(status=200, data=said.get(1, b""), ended=said.get(3, b""))

    def _fields(self) -> list[tuple[str, str]]:
        """The headers that say who asks."""
        fields = [("User-Agent", "chaosrun")]
        fields += [
            (setting["key"], setting["value"])
            for setting in self._api.configuration.auth_settings().values()
            if setting["in"] == "header" and setting["value"]
        ]
        if self._access.impersonate:
            fields.append(("Impersonate-User", self._access.impersonate))
            fields += [("Impersonate-Group", one) for one in self._access.impersonate_groups]
        return fields


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a program in a container wrote, and how the API says that it ended."""

    status: int
    data: bytes
    ended: bytes = b""


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


def _configured(access: Access) -> tuple[str, Any]:
    """The context and the official client for it; no call is made."""
    from kubernetes import config
    from kubernetes.client import ApiClient, Configuration
    from kubernetes.config.config_exception import ConfigException
    from yaml import YAMLError

    settings, context = Configuration(), access.context
    files = [name for name in kubeconfigs(access) if Path(name).exists()]
    try:
        if files:
            where = os.pathsep.join(files)
            context = context or _current(files)
            config.load_kube_config(
                config_file=where, context=context,
                client_configuration=settings, persist_config=False,
            )  # fmt: skip
        elif access.kubeconfig or context or not inside():
            looked = ", ".join(kubeconfigs(access))
            raise Refused(f"no kubeconfig at {looked}", hint="set KUBECONFIG, or give `kubeconfig`")
        else:
            config.load_incluster_config(client_configuration=settings)
    except ConfigException as error:
        raise Refused(f"kubeconfig: {error}", hint="`kubectl config get-contexts`") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, YAMLError) as error:
        said = " ".join(str(error).split())[:300]
        raise Refused(f"the kubeconfig cannot be read: {said}") from None
    settings.connection_pool_maxsize = _CONNECTIONS
    settings.retries = False
    return context, ApiClient(settings)


def _current(files: list[str]) -> str:
    """The context that kubectl would take: of the first file that names one. Raises Refused."""
    from yaml import safe_load

    for name in files:
        found = safe_load(Path(name).read_text()) or {}
        if current := found.get("current-context"):
            return str(current)
    raise Refused(
        "the kubeconfig names no current context", hint="`kubectl config use-context`, or `context`"
    )


def kubeconfigs(access: Access) -> list[str]:
    """Where a kubeconfig may be, in the order in which they are read."""
    named = access.kubeconfig or os.environ.get("KUBECONFIG", "")
    written = named.split(os.pathsep) if named else ["~/.kube/config"]
    return [os.path.expanduser(name) for name in written if name]


def inside() -> bool:
    """Whether we run in a pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


def _several(fields: Iterable[tuple[str, str]]) -> Any:
    """Headers of which one may be there more than once."""
    from urllib3 import HTTPHeaderDict

    headers = HTTPHeaderDict()
    for name, value in fields:
        headers.add(name, value)
    return headers


def _brief(error: Exception) -> str:
    """The last words of an error of the network, which begins with addresses of objects."""
    return str(error).rpartition(": ")[2][:200] or type(error).__name__
