"""Variables of a workload's container: changed and put back, for `kubernetes.config-change`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Hold
from chaosrun.providers.kubernetes import marks
from chaosrun.providers.kubernetes.access import access_of
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import POD, STATEFUL_SET, Object, Ref, uid_of
from chaosrun.providers.kubernetes.pods import pod_of
from chaosrun.providers.kubernetes.watching import single
from chaosrun.providers.kubernetes.workloads import not_rolling, state_of

FAULT = "kubernetes.config-change"


def before(
    kind: str, found: Object, container: str, wanted: dict[str, str], removed: Collection[str]
) -> dict[str, Any]:
    """What the hold must know: where each variable stands now. Raises Refused."""
    marks.refuse_held(found, found["metadata"]["name"], FAULT, marks.OBJECT)
    containers = _containers(found)
    if not container and len(containers) > 1:
        raise Refused("it has several containers", hint=f"give `container`: {containers}")
    name = container or containers[0]
    if name not in containers:
        raise Refused(f"it has no container {name}", hint=f"it has {', '.join(containers)}")
    there = {entry["name"]: [index, entry] for index, entry in enumerate(_variables(found, name))}
    if lost := sorted(set(removed) - set(there)):
        raise Refused(f"container {name} has no variable {', '.join(lost)}")
    if not removed and all(
        each in there and there[each][1] == _made(each, wanted) for each in wanted
    ):
        raise Refused(f"container {name} has these values already")
    if why := not_rolling(kind, found):
        raise Refused(f"its pods would keep their variables: {why}")
    names = sorted({*wanted, *removed})
    return {
        "container": name,
        "before": {each: there.get(each) for each in names},
        "whole": state_of(kind, found).whole,
    }


def inject(hold: Hold, client: Kubernetes, ref: Ref) -> None:
    wanted, names = hold.undo["set"], hold.undo["names"]

    def edit(found: Object) -> None:
        if not marks.ours(found, hold) and (other := _other(hold, found)):
            raise Refused(f"{ref.label} has other values of {', '.join(other)} than when planned")
        left = []
        for entry in _variables(found, hold.undo["container"]):
            if entry["name"] in wanted:
                left.append(_entry(entry["name"], wanted))
            elif entry["name"] not in names:
                left.append(entry)
        have = {entry["name"] for entry in left}
        left += [_entry(name, wanted) for name in sorted(wanted) if name not in have]
        _set(found, hold.undo["container"], left)
        marks.put(found, hold)

    client.change(access_of(hold), ref, edit, uid=hold.targets[0].id)
    client.until(
        lambda c: _rolling(hold, c, ref),
        f"{ref.label} should roll out the change",
        watching=[single(access_of(hold), ref)],
    )


def revert(hold: Hold, client: Kubernetes, ref: Ref) -> None:
    def put_back(found: Object) -> None:
        left = _left(hold, found)
        if not left:
            return
        entries = _variables(found, hold.undo["container"])
        for name in sorted(left, key=lambda name: (hold.undo["before"][name] or [0])[0]):
            earlier = hold.undo["before"][name]
            places = [at for at, entry in enumerate(entries) if entry["name"] == name]
            entries = [entry for entry in entries if entry["name"] != name]
            if earlier is not None:
                entries.insert(places[0] if places else earlier[0], earlier[1])
        _set(found, hold.undo["container"], entries)

    marks.give_back(hold, client, ref, put_back)
    if ref.kind == STATEFUL_SET:
        _end_broken(hold, client, ref)


def _end_broken(hold: Hold, client: Kubernetes, ref: Ref) -> None:
    """End the pods that have our variables and are not ready: its controller waits for them.

    An ordered StatefulSet replaces no pod while one is not ready, as Kubernetes' documentation
    says of it under "Forced rollback".
    """
    access = access_of(hold)
    found = client.find(access, ref, hold.targets[0].id)
    name = hold.undo["container"]
    if found is None or name not in _containers(found) or _changed(hold, found):
        return  # it is gone; or a template of somebody else's, with the same values or without it
    for one in client.all(access, POD, ref.namespace):
        pod = pod_of(one, {})
        if pod.owner_uid != uid_of(found) or pod.ready or pod.ending:
            continue
        as_template = {"spec": {"template": {"spec": pod.spec}}}
        if name in _containers(as_template) and _changed(hold, as_template):
            client.delete(access, pod.ref, pod.uid)


def took_effect(hold: Hold, client: Kubernetes, ref: Ref) -> Evidence:
    found = client.find(access_of(hold), ref, hold.targets[0].id)
    if found is None:
        return Evidence(False, f"{ref.label} is gone")
    if not _changed(hold, found):
        set_back = ": somebody set it back" if marks.ours(found, hold) else ""
        return Evidence(False, f"{ref.label} has its own variables{set_back}")
    state = state_of(ref.kind.kind, found)
    return Evidence(state.settled and state.updated > 0, state.said)


def restored(hold: Hold, client: Kubernetes, ref: Ref) -> Evidence:
    found = marks.here(hold, client, ref)
    if found is None:
        return Evidence(True, f"{ref.label} was deleted meanwhile")
    if marks.bears(found, hold):
        return Evidence(False, f"{ref.label} is still marked")
    if left := _left(hold, found):
        return Evidence(False, f"{ref.label} still has our values of {', '.join(left)}")
    state = state_of(ref.kind.kind, found)
    return Evidence(state.whole or not hold.undo["whole"], f"{ref.label}: {state.said}")


def _left(hold: Hold, found: Object) -> list[str]:
    """The variables that are as we made them, by our doing: not as before.

    Who took one away, the API server does not keep: one that is not there is ours.
    """
    name, wanted = hold.undo["container"], hold.undo["set"]
    if name not in _containers(found):
        return []
    there = {entry["name"]: entry for entry in _variables(found, name)}
    place = ("spec", "template", "spec", "containers", f'k:{{"name":"{name}"}}', "env")
    return [
        each
        for each, earlier in hold.undo["before"].items()
        if there.get(each) == _made(each, wanted)
        and there.get(each) != (earlier and earlier[1])
        and (
            each not in wanted or marks.by_us(found, hold, *place, f'k:{{"name":"{each}"}}')
        )
    ]  # fmt: skip


def _containers(found: Object) -> list[str]:
    return [one["name"] for one in found["spec"]["template"]["spec"]["containers"]]


def _container(found: Object, name: str) -> Object:
    containers = found["spec"]["template"]["spec"]["containers"]
    for one in containers:
        if one["name"] == name:
            return dict(one)
    raise Refused(f"it has no container {name} any more")


def _variables(found: Object, container: str) -> list[Any]:
    return list(_container(found, container).get("env") or ())


def _set(found: Object, container: str, entries: list[Any]) -> None:
    for one in found["spec"]["template"]["spec"]["containers"]:
        if one["name"] == container:
            one["env"] = entries
            if not entries:
                del one["env"]


def _entry(name: str, wanted: dict[str, str]) -> dict[str, str]:
    """As the API server gives it back: an empty value is left out."""
    return {"name": name, "value": wanted[name]} if wanted[name] else {"name": name}


def _made(name: str, wanted: dict[str, str]) -> dict[str, str] | None:
    """The variable as we make it: with its value, or not there."""
    return _entry(name, wanted) if name in wanted else None


def _other(hold: Hold, found: Object) -> list[str]:
    """The variables that are not as they were when it was planned."""
    there = {entry["name"]: entry for entry in _variables(found, hold.undo["container"])}
    return [
        name
        for name, earlier in hold.undo["before"].items()
        if there.get(name) != (earlier and earlier[1])
    ]


def _changed(hold: Hold, found: Object) -> bool:
    there = {entry["name"]: entry for entry in _variables(found, hold.undo["container"])}
    wanted = hold.undo["set"]
    return all(there.get(name) == _made(name, wanted) for name in hold.undo["names"])


def _rolling(hold: Hold, client: Kubernetes, ref: Ref) -> bool:
    """Whether a pod has the change, or somebody set it back, which the look will tell."""
    found = client.find(access_of(hold), ref, hold.targets[0].id)
    if found is None or not _changed(hold, found):
        return True
    state = state_of(ref.kind.kind, found)
    return state.settled and state.updated > 0
