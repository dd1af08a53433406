"""Any object: patched and put back, or made and taken away.

Law: only what differs is written, and only what is still ours is put back: where somebody
else has changed it meanwhile, theirs stays, and is told.
"""

from __future__ import annotations

from typing import Any

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Hold
from chaosrun.providers.kubernetes import marks
from chaosrun.providers.kubernetes.access import Access, access_of
from chaosrun.providers.kubernetes.answers import Exists, NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import Kind, Object, Ref, labels_of, uid_of
from chaosrun.providers.kubernetes.merging import difference, holds, merged
from chaosrun.targeting import Target


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
    before, after = _content(found), _content(client.try_patch(access, ref, patch))
    there = difference(before, after)
    if not there:
        raise Refused(f"the patch changes nothing of {ref.label}")
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


def ref_of(hold: Hold) -> Ref:
    api_version, kind, plural, namespaced, name, namespace = hold.undo["ref"]
    return Ref(Kind(api_version, kind, plural, namespaced), name, namespace)


def target_of(ref: Ref, access: Access, found: Object | None) -> Target:
    """An object as a target; one that is not there yet is known by its place."""
    place = f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name
    return Target(
        kind=ref.kind.resource,
        id=uid_of(found) if found else f"{access.cluster}/{place}",
        name=place,
        labels=labels_of(found or {}),
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
        after = merged(found, hold.undo["there"])
        found.clear()
        found.update(after)
        marks.put(found, hold)

    client.change(access, ref, edit, uid=hold.targets[0].id)


def revert(hold: Hold, client: Kubernetes) -> None:
    access, ref = access_of(hold), ref_of(hold)
    found = client.find(access, ref)
    if found is None or not marks.ours(found, hold):
        return
    if "body" in hold.undo:
        uid = uid_of(found)
        client.delete(access, ref, uid)
        client.until(lambda c: c.find(access, ref, uid) is None, f"{ref.label} should go")
        return

    def edit(now: Object) -> None:
        if marks.ours(now, hold):
            _put_back(now, hold.undo["there"], hold.undo["back"])
        marks.take(now, hold)

    try:
        client.change(access, ref, edit, uid=hold.targets[0].id)
    except NotFound:
        return


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
    found = client.find(access_of(hold), ref)
    if found is not None and marks.ours(found, hold):
        return Evidence(False, f"{ref.label} is still ours")
    if found is None:
        gone = "is gone again" if "body" in hold.undo else "was deleted meanwhile"
        return Evidence(True, f"{ref.label} {gone}")
    if "back" in hold.undo and not holds(found, hold.undo["back"]):
        return Evidence(True, f"{ref.label}: somebody else has changed it; theirs stays")
    return Evidence(True, f"{ref.label} is as before")


def _content(found: Object) -> Object:
    """What a person writes of an object; what the server keeps for itself is left out."""
    kept = {key: value for key, value in found.items() if key not in ("status", "metadata")}
    metadata = found["metadata"]
    own = {key: metadata[key] for key in ("labels", "annotations") if key in metadata}
    return {**kept, **({"metadata": own} if own else {})}


def _put_back(now: Object, there: Any, back: Any) -> None:
    """Undo each part of a patch that is still as the patch made it."""
    for key, before in back.items():
        ours = there.get(key)
        if isinstance(before, dict) and isinstance(ours, dict) and isinstance(now.get(key), dict):
            _put_back(now[key], ours, before)
        elif _is(now, key, ours):
            if before is None:
                now.pop(key, None)
            else:
                now[key] = merged(None, before) if isinstance(before, dict) else before


def _is(now: Object, key: str, ours: Any) -> bool:
    if ours is None:
        return key not in now
    return key in now and holds(now[key], ours)
