"""Calls to a cluster: the right one, tried again by rule, given up at once when it is all off.

Law (L2): nothing is called in another cluster than the one that was named or planned. Every call
may be repeated, as `api.py` makes them; so 429, 5xx and lost connections are tried again, as long
as the server asks and never past the bound. Law (L5): none is made for what nobody wants any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from chaosrun import commands
from chaosrun.errors import ChaosrunError, Indeterminate, Refused
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.answers import AGAIN, Blocked, error_of, read, retry_after
from chaosrun.providers.kubernetes.client import (
    Call,
    Connection,
    NotConfigured,
    inside,
    kubeconfigs,
)
from chaosrun.providers.kubernetes.kinds import NAMESPACE, Ref, uid_of

_ATTEMPTS, _BOUND = 5, 8.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 3.0


class Calls:
    """Calls any cluster, from any number of threads; reads nothing until then.

    Each of `observers` is told every call before it is sent: the method, the path, the query.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._connections: dict[Access, Connection] = {}
        self._openings: dict[Access, Lock] = {}
        self.observers: list[Callable[[str, str, Mapping[str, str]], None]] = []

    def close(self) -> None:
        """Close every connection that is not in use."""
        with self._lock:
            connections = list(self._connections.values())
            self._connections.clear()
        for connection in connections:
            connection.close()

    def configured(self) -> bool:
        """Whether this machine knows a cluster at all."""
        return any(Path(name).exists() for name in kubeconfigs(Access())) or inside()

    def settle(self, access: Access) -> Access:
        """The same access with its context and cluster known. Raises Refused on a mismatch."""
        context = access.context or self._connection(access).context
        named = msgspec.structs.replace(access, context=context)
        return msgspec.structs.replace(named, cluster=self._identified(named).cluster)

    def _call(
        self,
        access: Access,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        content: str = "",
        accept: str = "",
        plain: bool = False,
    ) -> Any:
        """The data of one good answer."""
        call = Call(method, path, query or {}, body, content, accept)
        return read(self._answer(access, call).data, call.said, plain=plain)

    def _answer(self, access: Access, call: Call, *, whole: bool = True) -> Any:
        """One good answer. Raises Refused where the cluster is not the one that is meant."""
        answer, _ = self._again(access, self._ready(access), call, whole=whole)
        return answer

    def _ready(self, access: Access) -> Connection:
        """The connection to the cluster that is meant. Raises Refused where it is another one."""
        return self._identified(access) if access.cluster else self._connection(access)

    def _identified(self, access: Access) -> Connection:
        """The connection, once it was seen to which cluster it leads.

        Raises Refused when another one is meant.
        """
        connection = self._connection(access)
        if not connection.cluster:
            call = Call("GET", Ref(NAMESPACE, "kube-system").path())
            plain = msgspec.structs.replace(access, cluster="")
            answer, connection = self._again(plain, connection, call)
            connection.cluster = uid_of(read(answer.data, call.said, plain=False))
        if access.cluster not in ("", connection.cluster):
            where = f"context {access.context}" if access.context else "this"
            raise Refused(
                f"cluster {access.cluster} is meant, and {where} is cluster {connection.cluster}",
                hint="choose the right context; a cluster is known by the UID of kube-system",
            )
        return connection

    def _renewed(self, access: Access, old: Connection) -> Connection:
        """A connection in place of the old one, whose credentials have expired.

        They may be those of another cluster by now, so it is looked at anew.
        """
        key = msgspec.structs.replace(access, cluster="")
        with self._opening(key):
            if self._known(key) is old:  # else another thread has renewed it
                self._keep(key, old.renewed())
                old.close()
        return self._ready(access)

    def _tell(self, method: str, path: str, query: Mapping[str, str]) -> None:
        for observer in self.observers:
            observer(method, path, query)

    def _connection(self, access: Access) -> Connection:
        """The connection for it; for a cluster that is known, however this machine reaches it.

        Another machine may call the context otherwise, or run in the cluster (law L2). That it is
        the cluster that is meant, its UID tells before anything else is called.
        """
        key = msgspec.structs.replace(access, cluster="")
        if (known := self._known(key)) is not None:
            return known
        with self._opening(key):
            if (known := self._known(key)) is not None:
                return known
            try:
                return self._keep(key, Connection(key))
            except NotConfigured:
                if not access.cluster:
                    raise
                usual = msgspec.structs.replace(key, context="", kubeconfig="")
                return self._keep(key, Connection(usual))

    def _known(self, key: Access) -> Connection | None:
        with self._lock:
            return self._connections.get(key)

    def _keep(self, key: Access, connection: Connection) -> Connection:
        with self._lock:
            self._connections[key] = connection
        return connection

    def _opening(self, key: Access) -> Lock:
        """One thread opens a connection at a time, and no other cluster waits for it (law L5).

        To read credentials may run a program, which takes as long as it takes.
        """
        with self._lock:
            return self._openings.setdefault(key, Lock())

    def _again(
        self, access: Access, connection: Connection, call: Call, *, whole: bool = True
    ) -> tuple[Any, Connection]:
        """One good answer after as many attempts as it takes within the bound; and who gave it."""
        self._tell(call.method, call.path, call.query)
        end, pause = time.monotonic() + _BOUND, _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            go_on(call.said)
            answer = connection.send(call, whole=whole)
            if not isinstance(answer, ChaosrunError):
                if answer.status < 300:
                    return answer, connection
                error = error_of(answer.status, answer.data, call.method, call.said)
                if answer.status == 401:
                    connection = self._renewed(access, connection)
                elif answer.status not in AGAIN or isinstance(error, Blocked):
                    raise error
                pause = max(pause, retry_after(answer.headers))
            else:
                error = answer
            late = time.monotonic() + pause > end
            if attempt == _ATTEMPTS or late:
                raise error
            commands.pause(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise AssertionError("the last attempt returns or raises")


def go_on(said: str) -> None:
    """Raise Indeterminate once nobody wants the effect any more: nothing more is called (L5)."""
    if commands.cancelled():
        raise Indeterminate(f"{said}: cancelled")
