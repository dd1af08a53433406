"""The only way to a cluster: objects read, changed and deleted, by calls that may be repeated.

Law (L2): every call may be repeated: a deletion names the UID, a change the version that it
changes. Which cluster is called, and how often, is for `calls.py`.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from chaosrun import commands
from chaosrun.errors import Indeterminate
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.answers import Changed, NotFound, error_of
from chaosrun.providers.kubernetes.calls import Calls, go_on
from chaosrun.providers.kubernetes.client import Call, Stream
from chaosrun.providers.kubernetes.kinds import Kind, Object, Ref, uid_of
from chaosrun.providers.kubernetes.merging import difference
from chaosrun.providers.kubernetes.watching import Following, Watched

_PAGE, _CHANGES = 500, 8
_FIRST_LOOK, _LONGEST_LOOK, _WATCHED_LOOK = 0.1, 1.0, 5.0
_MERGE = "application/merge-patch+json"
MANAGER = "chaosrun"
"""By this name the API server keeps which fields we were the last to set."""
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Kubernetes(Calls):
    """The objects of any cluster; from any number of threads."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[tuple[Access, str], list[Object]] = {}
        self._following: Following | None = None

    def get(self, access: Access, ref: Ref) -> Object:
        """The object. Raises NotFound."""
        if self._following and (known := self._following.get(access, ref)) is not None:
            return known
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
        if self._following and not metadata:
            known = self._following.all(access, kind, namespace, labels, fields)
            if known is not None:
                return known
        pages = self.pages(access, kind, namespace, labels=labels, fields=fields, metadata=metadata)
        return [one for page in pages for one in page.get("items") or ()]

    def pages(
        self,
        access: Access,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        metadata: bool = False,
    ) -> Iterator[Object]:
        """The same as the API gives it, page by page, each with the version of the list."""
        query = {"limit": str(_PAGE), "labelSelector": labels, "fieldSelector": fields}
        query = {name: value for name, value in query.items() if value}
        path, accept = kind.path(namespace), _METADATA if metadata else ""
        while True:
            page = self._call(access, "GET", path, query, accept=accept)
            yield page
            more = page.get("metadata", {}).get("continue", "")
            if not more:
                return
            query["continue"] = more

    def create(
        self, access: Access, ref: Ref, body: Object, *, sub: str = "", dry: bool = False
    ) -> Object:
        """Create it. Raises Exists."""
        path = ref.path(sub) if sub else ref.kind.path(ref.namespace)
        query = {"fieldManager": MANAGER, **({"dryRun": "All"} if dry else {})}
        made: Object = self._call(access, "POST", path, query, body)
        return made

    def change(
        self,
        access: Access,
        ref: Ref,
        edit: Callable[[Object], None],
        *,
        uid: str = "",
        sub: str = "",
        dry: bool = False,
    ) -> Object:
        """Edit it in place, or a part of it: what `edit` leaves as it was is not sent.

        It is read anew as often as somebody else was faster. Raises NotFound, also when the
        object of that name has another UID.
        """
        for _ in range(_CHANGES):
            before: Object = self._call(access, "GET", ref.path())
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
                found: Object = self._call(
                    access, "PATCH", ref.path(sub),
                    {"fieldManager": MANAGER, **({"dryRun": "All"} if dry else {})}, patch,
                    content=_MERGE,
                )  # fmt: skip
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

    def delete(
        self, access: Access, ref: Ref, uid: str, grace: int | None = None, *, whole: bool = False
    ) -> None:
        """Delete exactly the one with that UID; one that is gone already is fine.

        With `whole`, it goes only after all that was made for it: the pods of a Job, which would
        go on without it.
        """
        body: Object = {"preconditions": {"uid": uid}}
        if whole:
            body["propagationPolicy"] = "Foreground"
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

    def until(
        self,
        look: Callable[[Kubernetes], bool],
        said: str | Callable[[], str],
        seconds: float = 600.0,
        watching: Sequence[Watched] = (),
        again: float = _WATCHED_LOOK,
    ) -> None:
        """Look until it is so. Raises Indeterminate at the end of the time.

        `said` is what should be so, or tells it at the end, when more is known. What is `watching`
        is followed meanwhile: as often as it changes, `look` is given a client that knows it as it
        is now and asks nothing for it. The API itself has the last word, and is looked at every
        `again` seconds: what a look depends on may be watched in part only.
        """
        if not self.comes(look, seconds, watching, again):
            told = said if isinstance(said, str) else said()
            raise Indeterminate(f"waited in vain: {told}")

    def comes(
        self,
        look: Callable[[Kubernetes], bool],
        seconds: float,
        watching: Sequence[Watched] = (),
        again: float = _WATCHED_LOOK,
    ) -> bool:
        """The same; False when it is not so in time, or the effect is cancelled."""
        end, pause = time.monotonic() + seconds, _FIRST_LOOK
        if look(self):
            return True
        with Following(self, watching, end) as following:
            seeing = copy.copy(self)
            seeing._following = following
            while True:
                alive = following.alive
                late = time.monotonic() + (again if alive else pause)
                while following.changed(min(late, end), alive=alive):
                    if look(seeing):
                        break
                if commands.cancelled():
                    return False
                if look(self):
                    return True
                if time.monotonic() > end:
                    return False
                pause = min(1.5 * pause, _LONGEST_LOOK)

    def stream(self, access: Access, path: str, query: Mapping[str, str], quiet: float) -> Stream:
        """What the API tells there as it happens; no line for `quiet` seconds means it was cut."""
        call = Call("GET", path, query)
        return Stream(self._answer(access, call, whole=False), call.said, quiet)

    def text(self, access: Access, path: str, query: Mapping[str, str]) -> str:
        """What the API answers there, as it is: a pod's log."""
        found: str = self._call(access, "GET", path, query, plain=True)
        return found

    def execute(
        self, access: Access, ref: Ref, container: str, words: Sequence[str], within: float
    ) -> str:
        """What a program in a container writes until it ends. Tried once.

        Raises Transient where it cannot be asked, and Indeterminate where it ended without a word.
        """
        go_on(f"{words[-1]} in {ref.label}")
        connection, path = self._ready(access), ref.path("exec")
        query = [("container", container), ("stdout", "1"), *(("command", each) for each in words)]
        self._tell("GET", path, dict(query))
        said = connection.execute(path, query, within)
        if said.status != 200:
            raise error_of(said.status, said.data, "GET", f"GET {path}")
        if not said.data:
            raise Indeterminate(f"{words[-1]} in {ref.label} ended without a word")
        return said.data.decode(errors="replace")

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


def connect() -> Kubernetes:
    """A client that has not connected to anything yet."""
    return Kubernetes()
