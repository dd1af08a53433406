"""The only way to a cluster: objects read, changed and deleted, by calls that may be repeated.

Law: nothing is called in another cluster than the one that was named or planned. Every call
may be repeated: a deletion names the UID, a change the version that it changes; so 429, 5xx
and lost connections are tried again, as long as the server asks and never past the bound.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from chaosrun import commands
from chaosrun.errors import ChaosrunError, Indeterminate, Refused
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.answers import (
    AGAIN,
    Blocked,
    Changed,
    NotFound,
    error_of,
    read,
    retry_after,
)
from chaosrun.providers.kubernetes.client import Connection, inside, kubeconfigs
from chaosrun.providers.kubernetes.kinds import NAMESPACE, Kind, Object, Ref, uid_of
from chaosrun.providers.kubernetes.merging import difference
from chaosrun.rights import Permission

_ATTEMPTS, _BOUND = 5, 8.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 3.0
_PAGE, _CHANGES = 500, 8
_MERGE = "application/merge-patch+json"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Kubernetes:
    """Calls any cluster, from any number of threads; reads nothing until then.

    Each of `observers` is told every call before it is sent: the method, the path, the query.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._connections: dict[Access, Connection] = {}
        self._clusters: dict[Access, str] = {}
        self._kinds: dict[tuple[Access, str], list[Object]] = {}
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
        return msgspec.structs.replace(named, cluster=self._cluster(named))

    # --- objects ------------------------------------------------------------------------

    def get(self, access: Access, ref: Ref) -> Object:
        """The object. Raises NotFound."""
        found: Object = self._call(access, "GET", ref.path())
        return found

    def find(self, access: Access, ref: Ref, uid: str = "") -> Object | None:
        """The object, or None when there is none of that name (and UID)."""
        try:
            found = self.get(access, ref)
        except NotFound:
            return None
        return found if uid in ("", uid_of(found)) else None

    def all(
        self,
        access: Access,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        metadata: bool = False,
    ) -> list[Object]:
        """Every page of a list; only the objects' metadata where that is enough."""
        query = {"limit": str(_PAGE), "labelSelector": labels, "fieldSelector": fields}
        query = {name: value for name, value in query.items() if value}
        found: list[Object] = []
        path, accept = kind.path(namespace), _METADATA if metadata else ""
        while True:
            page = self._call(access, "GET", path, query, accept=accept)
            found += page.get("items") or ()
            more = page.get("metadata", {}).get("continue", "")
            if not more:
                return found
            query["continue"] = more

    def create(
        self, access: Access, ref: Ref, body: Object, *, sub: str = "", dry: bool = False
    ) -> Object:
        """Create it. Raises Exists."""
        path = ref.path(sub) if sub else ref.kind.path(ref.namespace)
        query = {"dryRun": "All"} if dry else {}
        made: Object = self._call(access, "POST", path, query, body)
        return made

    def change(
        self, access: Access, ref: Ref, edit: Callable[[Object], None], *, uid: str = ""
    ) -> Object:
        """Edit it in place: what `edit` leaves as it was is not sent.

        It is read anew as often as somebody else was faster. Raises NotFound, also when the
        object of that name has another UID.
        """
        for _ in range(_CHANGES):
            before = self.get(access, ref)
            if uid not in ("", uid_of(before)):
                raise NotFound(f"{ref.label} is another one than before")
            after = copy.deepcopy(before)
            edit(after)
            patch = difference(before, after)
            if not patch:
                return before
            version = before["metadata"]["resourceVersion"]
            patch.setdefault("metadata", {})["resourceVersion"] = version
            try:
                found: Object = self._call(access, "PATCH", ref.path(), body=patch, content=_MERGE)
            except Changed:
                continue
            return found
        raise Changed(f"{ref.label}: somebody else changes it all the time")

    def try_patch(self, access: Access, ref: Ref, patch: Any) -> Object:
        """What a JSON patch (a list) or a merge patch would make of it; nothing is changed."""
        content = "application/json-patch+json" if isinstance(patch, list) else _MERGE
        found: Object = self._call(
            access, "PATCH", ref.path(), {"dryRun": "All"}, patch, content=content
        )
        return found

    def delete(self, access: Access, ref: Ref, uid: str, grace: int | None = None) -> None:
        """Delete exactly the one with that UID; one that is gone already is fine."""
        body: Object = {"preconditions": {"uid": uid}}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        try:
            self._call(access, "DELETE", ref.path(), body=body)
        except (NotFound, Changed):
            return

    def evict(
        self, access: Access, ref: Ref, uid: str, grace: int | None = None, *, dry: bool = False
    ) -> None:
        """Ask for an eviction of exactly that pod. Raises Blocked when a budget says no."""
        options: Object = {"preconditions": {"uid": uid}}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if dry:
            options["dryRun"] = ["All"]
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "deleteOptions": options,
        }
        try:
            self._call(access, "POST", ref.path("eviction"), body=body)
        except (NotFound, Changed):
            return

    def until(self, look: Callable[[Kubernetes], bool], said: str, seconds: float = 600.0) -> None:
        """Look again and again until it is so. Raises Indeterminate at the end of the time."""
        end, pause = time.monotonic() + seconds, 0.1
        while not look(self):
            cancellation = commands.current.get()
            if time.monotonic() > end or (cancellation is not None and cancellation.cancelled):
                raise Indeterminate(f"waited in vain: {said}")
            time.sleep(min(pause, max(0.0, end - time.monotonic())))
            pause = min(1.5 * pause, 1.0)

    def text(self, access: Access, path: str, query: Mapping[str, str]) -> str:
        """What the API answers there, as it is: a pod's log."""
        found: str = self._call(access, "GET", path, query, plain=True)
        return found

    def ask(self, access: Access, path: str, body: Object) -> Object:
        """What the API says about this review; nothing is kept."""
        found: Object = self._call(access, "POST", path, body=body)
        return found

    def discover(self, access: Access, group_version: str) -> list[Object]:
        """What the API calls the resources of that group and version; asked once."""
        key = (access, group_version)
        if key not in self._kinds:
            root = "apis" if "/" in group_version else "api"
            found = self._call(access, "GET", f"/{root}/{group_version}")
            self._kinds[key] = [one for one in found["resources"] if "/" not in one["name"]]
        return self._kinds[key]

    def groups(self, access: Access) -> list[str]:
        """Every group and its preferred version: `v1`, `apps/v1`, ..."""
        found = self._call(access, "GET", "/apis")
        return ["v1", *sorted(one["preferredVersion"]["groupVersion"] for one in found["groups"])]

    # --- calls --------------------------------------------------------------------------

    def _cluster(self, access: Access) -> str:
        """The UID of the cluster. Raises Refused when another one is meant."""
        meant, named = access.cluster, msgspec.structs.replace(access, cluster="")
        if named not in self._clusters:
            path = Ref(NAMESPACE, "kube-system").path()
            found = self._send(self._connection(named), "GET", path, {}, None, "", "", False)
            self._clusters[named] = uid_of(found)
        there = self._clusters[named]
        if meant not in ("", there):
            where = f"context {access.context}" if access.context else "this"
            raise Refused(
                f"cluster {meant} is meant, and {where} is cluster {there}",
                hint="choose the right context; a cluster is known by the UID of kube-system",
            )
        return there

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
        if access.cluster:
            self._cluster(access)
        connection = self._connection(access)
        for observer in self.observers:
            observer(method, path, query or {})
        return self._send(connection, method, path, query or {}, body, content, accept, plain)

    def _connection(self, access: Access) -> Connection:
        key = msgspec.structs.replace(access, cluster="")
        with self._lock:
            if key not in self._connections:
                self._connections[key] = Connection(key)
            return self._connections[key]

    def _send(
        self,
        connection: Connection,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any,
        content: str,
        accept: str,
        plain: bool,
    ) -> Any:
        """One answer, after as many attempts as it takes within the bound."""
        said = f"{method} {path}"
        end, pause = time.monotonic() + _BOUND, _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            answer = connection.send(method, path, query, body, content, accept)
            if not isinstance(answer, ChaosrunError):
                if answer.status < 300:
                    return read(answer.data, said, plain=plain)
                error = error_of(answer.status, answer.data, method, said)
                if answer.status == 401:
                    connection.renew()
                elif answer.status not in AGAIN or isinstance(error, Blocked):
                    raise error
                pause = max(pause, retry_after(answer.headers))
            else:
                error = answer
            cancellation = commands.current.get()
            stopped = cancellation is not None and cancellation.cancelled
            late = time.monotonic() + pause > end
            if attempt == _ATTEMPTS or stopped or late:
                raise error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise AssertionError("the last attempt returns or raises")


def missing(client: Kubernetes, access: Access, rights: Iterable[Permission]) -> list[Permission]:
    """Those of these rights that we do not have, by asking for each."""
    return [right for right in rights if not _may(client, access, right)]


def _may(client: Kubernetes, access: Access, right: Permission) -> bool:
    resource, _, sub = right.resource.partition("/")
    plural, _, group = resource.partition(".")
    namespace, _, name = right.scope.partition("/")
    wanted = {
        "verb": right.action, "group": group, "resource": plural,
        "subresource": sub, "namespace": namespace, "name": name,
    }  # fmt: skip
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in wanted.items() if value}},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    return bool(client.ask(access, path, review)["status"]["allowed"])


def connect() -> Kubernetes:
    """A client that has not connected to anything yet."""
    return Kubernetes()
