"""One connection to one cluster, by the official client's configuration and its connections.

Law: every call ends in time, and no error repeats a header, since it may hold a token (L9).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

import msgspec

from chaosrun.errors import Indeterminate, Refused, Transient
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.executing import Said, brief, execute

_CONNECT, _ANSWER, _CONNECTIONS = 3.0, 6.0, 16
_SOME, _LONGEST_LINE = 64 * 1024, 16 * 1024 * 1024


class NotConfigured(Refused):
    """This machine does not know that kubeconfig or context."""


class Call(msgspec.Struct, frozen=True):
    """One request: its body is plain data, `content` and `accept` are media types."""

    method: str
    path: str
    query: Mapping[str, str] = {}
    body: Any = None
    content: str = ""
    accept: str = ""

    @property
    def said(self) -> str:
        return f"{self.method} {self.path}"


class Connection:
    """One access to one cluster, by the official client's configuration and connections.

    Its server and credentials stay as they were read: other ones are another connection.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self.cluster = ""
        """The UID of the cluster, once it was looked at."""
        self.context, self._api = _configured(access)
        self._streams = _pool(self._api)

    @property
    def server(self) -> str:
        return str(self._api.configuration.host)

    def close(self) -> None:
        """Close what is not in use."""
        self._api.rest_client.pool_manager.clear()
        self._streams.clear()

    def renewed(self) -> Connection:
        """The same with the credentials as they are now. Raises Refused for another server."""
        found = Connection(self._access)
        if found.server != self.server:
            raise Refused(
                f"the kubeconfig names another server than before: {self.server}",
                hint="put the context back, or start anew",
            )
        return found

    def send(self, call: Call, *, whole: bool = True) -> Any:
        """The answer, or the error for none: Transient if it was never sent, or only read.

        Unless the `whole` of it is wanted, it is given as soon as it begins: see `Stream`.
        """
        from urllib3 import Timeout
        from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

        fields = [("Accept", call.accept or "application/json"), *self._fields()]
        if call.body is not None:
            fields.append(("Content-Type", call.content or "application/json"))
        pairs = dict(call.query)
        if call.method != "GET":  # the API server gives up before we do: nothing lands later
            pairs["timeout"] = f"{_ANSWER - 1:g}s"
        query = f"?{urlencode(pairs)}" if pairs else ""
        pool = self._api.rest_client.pool_manager if whole else self._streams
        try:
            answer = pool.request(
                call.method,
                self.server + quote(call.path) + query,
                headers=_several(fields),
                body=None if call.body is None else json.dumps(call.body),
                timeout=Timeout(connect=_CONNECT, read=_ANSWER),
                retries=False,
                redirect=False,
                preload_content=whole,
            )
            if answer.status >= 300:
                answer.read(cache_content=True)
            return answer
        except (NewConnectionError, ConnectTimeoutError) as error:
            return Transient(f"{call.said}: the API server cannot be reached: {brief(error)}")
        except HTTPError as error:
            kind = Transient if call.method == "GET" else Indeterminate
            return kind(f"{call.said}: no answer: {brief(error)}")

    def execute(self, path: str, query: Iterable[tuple[str, str]], within: float) -> Said:
        """Run a program in a container, and wait for its end: see `executing.execute`."""
        url = f"{self.server}{quote(path)}?{urlencode(list(query))}"
        rest = self._api.rest_client
        return execute(url, self._fields(), self._api.configuration, rest.pool_manager, within)

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


class Stream:
    """The lines of an answer that goes on. Its end may be waited for for `quiet` seconds.

    Law: it is closed from any thread at once, also while another waits for its next line. What
    is closed so is never the connection of a call: streams have connections of their own.
    """

    def __init__(self, answer: Any, said: str, quiet: float) -> None:
        self._answer, self._said, self._closed = answer, said, False
        self._socket = getattr(answer.connection, "sock", None)
        if self._socket is not None:
            self._socket.settimeout(quiet)

    def lines(self) -> Generator[bytes, None, None]:
        """Every whole line, until the end of the answer or of ours. Raises Transient if it is cut.

        What follows the last end of a line is no line: it was cut in the middle.
        """
        from urllib3.exceptions import HTTPError

        begun = b""
        try:
            for some in self._answer.stream(_SOME):
                *whole, begun = (begun + some).split(b"\n")
                yield from whole
                if len(begun) > _LONGEST_LINE:
                    raise Transient(f"{self._said}: a line without an end")
        except (HTTPError, OSError, ValueError) as error:
            if not self._closed:
                raise Transient(f"{self._said}: it was cut: {brief(error)}") from None
        finally:
            self._answer.close()

    def close(self) -> None:
        """Wake whoever waits for a line: there are no more."""
        self._closed = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # not by TLS, which another thread is reading
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _configured(access: Access) -> tuple[str, Any]:
    """The context and the official client for it; no call is made."""
    from kubernetes import config
    from kubernetes.client import ApiClient, Configuration
    from kubernetes.config.config_exception import ConfigException
    from urllib3.util import make_headers, parse_url
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
            raise NotConfigured(
                f"no kubeconfig at {looked}", hint="set KUBECONFIG, or give `kubeconfig`"
            )
        else:
            config.load_incluster_config(client_configuration=settings)
    except ConfigException as error:
        raise NotConfigured(f"kubeconfig: {error}", hint="`kubectl config get-contexts`") from None
    except YAMLError as error:  # its own text may quote the line, which may hold a token (L9)
        raise Refused(f"the kubeconfig cannot be read: {_where(error)}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())[:300]
        raise Refused(f"the kubeconfig cannot be read: {said}") from None
    if settings.proxy and (auth := parse_url(settings.proxy).auth):
        settings.proxy_headers = make_headers(proxy_basic_auth=unquote(auth))
    settings.connection_pool_maxsize = _CONNECTIONS
    settings.retries = False
    return context, ApiClient(settings)


def _pool(api: Any) -> Any:
    """More connections as those of the official client are."""
    return type(api.rest_client)(api.configuration).pool_manager


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


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"it is not YAML, at line {mark.line + 1}" if mark else "it is not YAML"


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
