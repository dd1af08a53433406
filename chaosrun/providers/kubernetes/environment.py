"""Variables of a workload's container: changed and put back, for `kubernetes.config-change`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Hold
from chaosrun.providers.kubernetes import marks
from chaosrun.providers.kubernetes.access import access_of
from chaosrun.providers.kubernetes.answers import NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import Object, Ref
from chaosrun.providers.kubernetes.workloads import state_of


def before(
    found: Object, container: str, wanted: dict[str, str], removed: Iterable[str]
) -> dict[str, Any]:
    """What the hold must know: where each variable stands now. Raises Refused."""
    containers = [one["name"] for one in found["spec"]["template"]["spec"]["containers"]]
    if not container and len(containers) > 1:
        raise Refused("it has several containers", hint=f"give `container`: {containers}")
    name = container or containers[0]
    if name not in containers:
        raise Refused(f"it has no container {name}", hint=f"it has {', '.join(containers)}")
    there = {entry["name"]: [index, entry] for index, entry in enumerate(_variables(found, name))}
    if lost := sorted(set(removed) - set(there)):
        raise Refused(f"container {name} has no variable {', '.join(lost)}")
    names = sorted({*wanted, *removed})
    return {"container": name, "before": {each: there.get(each) for each in names}}


def inject(hold: Hold, client: Kubernetes, ref: Ref) -> None:
    wanted, names = hold.undo["set"], hold.undo["names"]

    def edit(found: Object) -> None:
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
    client.until(lambda c: _rolling(hold, c, ref), f"{ref.label} should roll out the change")


def revert(hold: Hold, client: Kubernetes, ref: Ref) -> None:
    wanted = hold.undo["set"]

    def edit(found: Object) -> None:
        if marks.ours(found, hold):
            entries = _variables(found, hold.undo["container"])
            for name, earlier in sorted(
                hold.undo["before"].items(), key=lambda item: (item[1] or [0])[0]
            ):
                now = [entry for entry in entries if entry["name"] == name]
                expected = [_entry(name, wanted)] if name in wanted else []
                if now != expected:
                    continue  # somebody else has set it
                place = entries.index(now[0]) if now else None
                entries = [entry for entry in entries if entry["name"] != name]
                if earlier is not None:
                    entries.insert(earlier[0] if place is None else place, earlier[1])
            _set(found, hold.undo["container"], entries)
        marks.take(found, hold)

    try:
        client.change(access_of(hold), ref, edit, uid=hold.targets[0].id)
    except NotFound:
        return


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
    found = client.find(access_of(hold), ref, hold.targets[0].id)
    if found is None:
        return Evidence(True, f"{ref.label} was deleted meanwhile")
    if marks.ours(found, hold):
        return Evidence(False, f"{ref.label} is still marked")
    state = state_of(ref.kind.kind, found)
    return Evidence(state.whole, f"{ref.label}: {state.said}")


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


def _changed(hold: Hold, found: Object) -> bool:
    there = {entry["name"]: entry for entry in _variables(found, hold.undo["container"])}
    wanted = hold.undo["set"]
    return all(
        there.get(name) == (_entry(name, wanted) if name in wanted else None)
        for name in hold.undo["names"]
    )


def _rolling(hold: Hold, client: Kubernetes, ref: Ref) -> bool:
    """Whether a pod has the change, or somebody set it back, which the look will tell."""
    found = client.find(access_of(hold), ref, hold.targets[0].id)
    if found is None or not _changed(hold, found):
        return True
    state = state_of(ref.kind.kind, found)
    return state.settled and state.updated > 0
