"""Keys of a ConfigMap or a Secret: changed and put back, for `kubernetes.config-change`.

Law (L9): of a Secret the hold knows only names. What its keys held is kept in another Secret,
made before the first change; without that one, nothing was changed.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterable
from typing import Any

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Hold
from chaosrun.providers.kubernetes import marks
from chaosrun.providers.kubernetes.access import Access, access_of
from chaosrun.providers.kubernetes.answers import Exists, NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import SECRET, Object, Ref, uid_of


def kept_in(ref: Ref) -> Ref:
    """The Secret that keeps what a Secret held before."""
    return Ref(SECRET, f"chaosrun-undo-{ref.name}", ref.namespace)


def before(
    client: Kubernetes,
    access: Access,
    ref: Ref,
    found: Object,
    wanted: dict[str, str],
    removed: Iterable[str],
) -> dict[str, Any]:
    """What the hold must know. Raises Refused where nothing would change."""
    data = dict(found.get("data") or {})
    if lost := sorted(set(removed) - set(data)):
        raise Refused(f"{ref.label} has no key {', '.join(lost)}")
    new = _encoded(ref, wanted)
    if all(data.get(name) == value for name, value in new.items()) and not removed:
        raise Refused(f"{ref.label} has these values already")
    if ref.kind is not SECRET:
        names = [*wanted, *removed]
        return {"before": {name: data.get(name) for name in sorted(names)}}
    if client.find(access, kept_in(ref)) is not None:
        raise Refused(
            f"{kept_in(ref).label} is there: another run has not put back what it changed",
            hint="`chaosrun status`, then `chaosrun recover`",
        )
    return {}


def inject(hold: Hold, client: Kubernetes, ref: Ref) -> None:
    access, target = access_of(hold), hold.targets[0]
    if ref.kind is SECRET:
        _keep(hold, client, ref)
    new = _encoded(ref, hold.undo["set"])

    def edit(found: Object) -> None:
        data = {**(found.get("data") or {}), **new}
        found["data"] = {k: v for k, v in data.items() if k in new or k not in hold.undo["names"]}
        marks.put(found, hold)

    client.change(access, ref, edit, uid=target.id)


def revert(hold: Hold, client: Kubernetes, ref: Ref) -> None:
    access = access_of(hold)
    kept = _kept(hold, client, ref)
    if ref.kind is SECRET and kept is None:
        earlier = None  # it was put back, or never changed
    elif kept is not None:
        data = kept.get("data") or {}
        earlier = {name: data.get(name) for name in hold.undo["names"]}
    else:
        earlier = hold.undo["before"]
    new = _encoded(ref, hold.undo["set"])

    def edit(found: Object) -> None:
        if marks.ours(found, hold) and earlier is not None:
            data = dict(found.get("data") or {})
            for name, value in earlier.items():
                if data.get(name) == new.get(name):  # else somebody else has set it
                    data.pop(name, None)
                    if value is not None:
                        data[name] = value
            found["data"] = data
        marks.take(found, hold)

    with contextlib.suppress(NotFound):  # it was deleted meanwhile
        client.change(access, ref, edit, uid=hold.targets[0].id)
    if kept is not None:
        client.delete(access, kept_in(ref), uid_of(kept))


def took_effect(hold: Hold, client: Kubernetes, ref: Ref) -> Evidence:
    found = client.find(access_of(hold), ref, hold.targets[0].id)
    if found is None:
        return Evidence(False, f"{ref.label} is gone")
    data, new = found.get("data") or {}, _encoded(ref, hold.undo["set"])
    other = [name for name in hold.undo["names"] if data.get(name) != new.get(name)]
    said = f"{ref.label}: {len(hold.undo['names']) - len(other)} of {len(hold.undo['names'])} set"
    if other and marks.ours(found, hold):
        said += f"; somebody set back {', '.join(other)}"
    return Evidence(not other, said)


def restored(hold: Hold, client: Kubernetes, ref: Ref) -> Evidence:
    found = client.find(access_of(hold), ref, hold.targets[0].id)
    if found is None:
        return Evidence(True, f"{ref.label} was deleted meanwhile")
    if marks.ours(found, hold):
        return Evidence(False, f"{ref.label} is still marked")
    if _kept(hold, client, ref) is not None:
        return Evidence(False, f"{kept_in(ref).label} is still there")
    said = f"{ref.label} has its own values again"
    if ref.kind is not SECRET:
        data = found.get("data") or {}
        other = [name for name, value in hold.undo["before"].items() if data.get(name) != value]
        if other:
            said = f"{ref.label}: somebody else has set {', '.join(other)}"
    return Evidence(True, said)


def _encoded(ref: Ref, wanted: dict[str, str]) -> dict[str, str]:
    if ref.kind is not SECRET:
        return wanted
    return {name: base64.b64encode(value.encode()).decode() for name, value in wanted.items()}


def _keep(hold: Hold, client: Kubernetes, ref: Ref) -> None:
    """Keep what is there now, unless it is kept already."""
    access = access_of(hold)
    found = client.get(access, ref)
    if uid_of(found) != hold.targets[0].id:
        raise Refused(f"{ref.label} is another one than was planned")
    if marks.ours(found, hold):
        return
    place, data = kept_in(ref), found.get("data") or {}
    body: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": place.name, "namespace": place.namespace},
        "data": {name: data[name] for name in hold.undo["names"] if name in data},
    }
    marks.put(body, hold)
    try:
        client.create(access, place, body)
    except Exists:
        if _kept(hold, client, ref) is None:
            raise Refused(f"{place.label} is there, and is another run's") from None


def _kept(hold: Hold, client: Kubernetes, ref: Ref) -> Object | None:
    """What we kept of a Secret, if it is there."""
    if ref.kind is not SECRET:
        return None
    found = client.find(access_of(hold), kept_in(ref))
    return found if found is not None and marks.ours(found, hold) else None
