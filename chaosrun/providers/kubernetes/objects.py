"""Any object: patched and put back, or made and taken away.

Law: only what differs is written, and only what is still ours is put back: where somebody
else has changed it meanwhile, theirs stays, and is told.
"""

from __future__ import annotations

from typing import Any

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Hold
from chaosrun.providers.kubernetes import marks, reserved
from chaosrun.providers.kubernetes.access import Access, access_of
from chaosrun.providers.kubernetes.answers import Exists, NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import STATEFUL_SET, Kind, Object, Ref, labels_of, uid_of
from chaosrun.providers.kubernetes.merging import difference, holds, merged, undone
from chaosrun.providers.kubernetes.workloads import refuse_claims
from chaosrun.targeting import Target

_ONE_WAY: dict[tuple[str, str], dict[str, set[str]]] = {
    ("", "ConfigMap"): {"immutable": set()},
    ("", "Pod"): {"spec": {"tolerations", "activeDeadlineSeconds"}},
    ("", "PersistentVolumeClaim"): {"spec": {"resources"}},
}
"""What may be changed, but not back: parts of kinds, and fields of these, or the part itself."""


def resolved(client: Kubernetes, access: Access, kind: Kind) -> Kind:
    """The kind as the API server calls it. Raises Refused when it has none, or another plural."""
    try:
        known = client.discover(access, kind.api_version)
    except NotFound:
        raise Refused(f"the cluster has no {kind.api_version}") from None
    for one in known:
        if one["kind"] == kind.kind:
            if one["name"] != kind.plural:
                raise Refused(
                    f"{kind.kind} is called {one['name']} by the API, not {kind.plural}",
                    hint=f"write `plural: {one['name']}`",
                )
            return Kind(kind.api_version, kind.kind, kind.plural, bool(one["namespaced"]))
    raise Refused(f"{kind.api_version} has no {kind.kind}")


def patched(client: Kubernetes, access: Access, ref: Ref, patch: Any) -> dict[str, Any]:
    """What the hold must know for a patch: what it makes of the object, and the way back.

    The API server itself says what it makes of it, so a wrong patch is refused here.
    """
    found = client.get(access, ref)
    marks.refuse_held(found, ref.label, "", marks.ANY)
    before, after = _content(found), _content(client.try_patch(access, ref, patch))
    there = difference(before, after)
    if not there:
        raise Refused(f"the patch changes nothing of {ref.label}")
    for part, inner in _ONE_WAY.get((ref.kind.group, ref.kind.kind), {}).items():
        if part in there and (not inner or inner & set(there[part] or ())):
            raise Refused(f"the API lets nobody put back what the patch changes of {ref.label}")
    if ref.kind == STATEFUL_SET:
        refuse_claims(ref.label, before["spec"], after["spec"])
    return {"there": there, "back": difference(after, before), **named(ref)}


def made(client: Kubernetes, access: Access, ref: Ref, manifest: Object) -> dict[str, Any]:
    """What the hold must know for an object that is made. Raises Refused when it is there."""
    body = {**manifest, "apiVersion": ref.kind.api_version, "kind": ref.kind.kind}
    own = {"name": ref.name, **({"namespace": ref.namespace} if ref.namespace else {})}
    body["metadata"] = {**manifest.get("metadata", {}), **own}
    try:
        client.create(access, ref, body, dry=True)
    except Exists:
        raise Refused(f"{ref.label} is there already", hint="give `patch` to change it") from None
    return {"body": body, **named(ref)}


def named(ref: Ref) -> dict[str, Any]:
    """An object's name and kind, as `ref_of` reads them."""
    kind = ref.kind
    return {"ref": [kind.api_version, kind.kind, kind.plural, kind.namespaced,
                    ref.name, ref.namespace]}  # fmt: skip


def ref_of(hold: Hold, which: str = "ref") -> Ref:
    """The object that is changed, or another one that the hold names."""
    api_version, kind, plural, namespaced, name, namespace = hold.undo[which]
    return Ref(Kind(api_version, kind, plural, namespaced), name, namespace)


def target_of(ref: Ref, access: Access, found: Object | None) -> Target:
    """An object as a target; one that is not there yet is known by its place."""
    place = f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name
    return Target(
        kind=ref.kind.kind.lower(),  # as every other fault calls it: its lock is the same
        id=uid_of(found) if found else f"{access.cluster}/{ref.kind.group}/{place}",
        name=place,
        labels=labels_of(found or {}),
        reserved=reserved.why(ref, labels_of(found or {})),
        groups={
            "account": access.cluster, "namespace": ref.namespace,
            "workload": "", "group": "", "zone": "",
        },
    )  # fmt: skip


def inject(hold: Hold, client: Kubernetes) -> None:
    access, ref = access_of(hold), ref_of(hold)
    if "body" in hold.undo:
        body = merged(hold.undo["body"], {})
        marks.put(body, hold)
        try:
            client.create(access, ref, body)
        except Exists:
            found = client.find(access, ref)
            if found is not None and not marks.ours(found, hold):
                raise Refused(f"{ref.label} is there already, and is not ours") from None
        return

    def edit(found: Object) -> None:
        if not marks.ours(found, hold) and not holds(found, hold.undo["back"]):
            raise Refused(f"what the patch changes of {ref.label} has changed since it was planned")
        after = merged(found, hold.undo["there"])
        found.clear()
        found.update(after)
        marks.put(found, hold)

    client.change(access, ref, edit, uid=hold.targets[0].id)


def revert(hold: Hold, client: Kubernetes) -> None:
    access, ref = access_of(hold), ref_of(hold)
    if "body" in hold.undo:
        found = client.find(access, ref)
        if found is not None and _made_by_us(hold, found):
            uid = uid_of(found)
            client.delete(access, ref, uid, whole=True)
            client.until(lambda c: c.find(access, ref, uid) is None, f"{ref.label} should go")
        return

    def put_back(now: Object) -> None:
        after = _undone(hold, now)
        now.clear()
        now.update(after)

    marks.give_back(hold, client, ref, put_back)


def took_effect(hold: Hold, client: Kubernetes) -> Evidence:
    ref = ref_of(hold)
    found = client.find(access_of(hold), ref)
    if found is None:
        return Evidence(False, f"{ref.label} is not there")
    if "body" in hold.undo:
        ours = marks.ours(found, hold)
        return Evidence(ours, f"{ref.label} is {'there' if ours else 'not ours'}")
    changed = holds(found, hold.undo["there"])
    set_back = not changed and marks.ours(found, hold)
    said = "is as the patch makes it" if changed else "is not as the patch makes it"
    return Evidence(changed, f"{ref.label} {said}{': somebody set it back' if set_back else ''}")


def restored(hold: Hold, client: Kubernetes) -> Evidence:
    ref = ref_of(hold)
    if "body" in hold.undo:
        found = client.find(access_of(hold), ref)
        if found is None:
            return Evidence(True, f"{ref.label} is gone again")
        if _made_by_us(hold, found):
            return Evidence(False, f"{ref.label} is still ours")
        return Evidence(True, f"{ref.label} is somebody else's")
    found = marks.here(hold, client, ref)
    if found is None:
        return Evidence(True, f"{ref.label} was deleted meanwhile")
    if marks.bears(found, hold):
        return Evidence(False, f"{ref.label} is still marked")
    if _undone(hold, found) != found:
        return Evidence(False, f"{ref.label} still has a part of the patch")
    if not holds(found, hold.undo["back"]):
        return Evidence(True, f"{ref.label}: somebody else has changed it; theirs stays")
    return Evidence(True, f"{ref.label} is as before")


def _made_by_us(hold: Hold, found: Object) -> bool:
    """Whether an object that was not there before is the one that we made."""
    parts = [key for key in hold.undo["body"] if key not in ("apiVersion", "kind")]
    return marks.ours(found, hold) or (
        not marks.borne(found) and any(marks.by_us(found, hold, part) for part in parts)
    )


def _undone(hold: Hold, found: Object) -> Object:
    """The object without what is still there of the patch, by our doing."""
    there, back = hold.undo["there"], hold.undo["back"]
    made: Object = undone(found, there, back, lambda path: marks.by_us(found, hold, *path))
    return made


def _content(found: Object) -> Object:
    """What a person writes of an object; what the server keeps for itself is left out."""
    kept = {key: value for key, value in found.items() if key not in ("status", "metadata")}
    metadata = found["metadata"]
    own = {key: metadata[key] for key in ("labels", "annotations") if key in metadata}
    return {**kept, "metadata": own}
