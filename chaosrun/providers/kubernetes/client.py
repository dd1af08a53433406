"""One connection to one cluster, by the official client's configuration and its connections.

Law: every call ends in time, and no error repeats a header, since it may hold a token (L9).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote, urlencode

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
        headers = {"Accept": accept or "application/json", "User-Agent": "chaosrun"}
        for setting in configuration.auth_settings().values():
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        if body is not None:
            headers["Content-Type"] = content or "application/json"
        fields: list[tuple[str, str]] = list(headers.items())
        if self._access.impersonate:
            fields.append(("Impersonate-User", self._access.impersonate))
            fields += [("Impersonate-Group", one) for one in self._access.impersonate_groups]
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
            if not context:
                current = config.list_kube_config_contexts(config_file=where)[1]
                context = str(current["name"])
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
    except (OSError, ValueError, KeyError, TypeError, YAMLError) as error:
        said = " ".join(str(error).split())[:300]
        raise Refused(f"the kubeconfig cannot be read: {said}") from None
    settings.connection_pool_maxsize = _CONNECTIONS
    settings.retries = False
    return context, ApiClient(settings)


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
