"""Differences between objects as JSON merge patches (RFC 7396): made, applied, compared. Pure.

Law: the difference from one object to another, applied to the first, gives the second; and a
patch that changes nothing says that what it asks for is there. A patch is undone part by part:
what somebody else has changed beside it, in the same list too, stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MISSING: Any = object()
_OPEN = ("labels", "annotations", "data", "binaryData", "nodeSelector", "matchLabels")
"""Maps of which each key stands for itself. Of any other, values may mean something
together only: where somebody has changed one of them, the whole is theirs."""
Mine = Callable[[tuple[str, ...]], bool]
"""Whether the value at a path, which is as a patch made it, is that patch's."""


def difference(before: Any, after: Any) -> dict[str, Any]:
    """The merge patch that makes `after` of `before`; lists are replaced whole."""
    patch: dict[str, Any] = {}
    for key in sorted({*before, *after}):
        old, new = before.get(key, _MISSING), after.get(key, _MISSING)
        if new is _MISSING or new is None:
            if old is not _MISSING and old is not None:
                patch[key] = None
        elif isinstance(old, dict) and isinstance(new, dict):
            if inner := difference(old, new):
                patch[key] = inner
        elif old != new:
            patch[key] = new
    return patch


def merged(found: Any, patch: Any) -> Any:
    """The object with the patch applied."""
    if not isinstance(patch, dict):
        return patch
    made = dict(found) if isinstance(found, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merged(made.get(key), value)
    return made


def holds(found: Any, patch: Any) -> bool:
    """Whether the object is as the patch would make it."""
    return not difference(_whole(found), _whole(merged(found, patch)))


def undone(now: Any, there: Any, back: Any, mine: Mine, path: tuple[str, ...] = ()) -> Any:
    """The object without a patch: each part is as before that is still as the patch made it.

    `there` is the patch, `back` the one that would take it back from the object it was made for.
    """
    made = dict(now)
    for key, before in back.items():
        ours, found, where = there.get(key), now.get(key), (*path, key)
        if before is None and (_open(key, found, ours) or _joined(found, ours)):
            made[key] = undone(found, ours, dict.fromkeys(ours), mine, where)
        elif isinstance(before, dict) and isinstance(ours, dict) and isinstance(found, dict):
            made[key] = undone(found, ours, before, mine, where)
        elif (key not in now) if ours is None else (key in now and holds(found, ours)):
            if ours is None or mine(where):  # nobody keeps who took something away
                made = merged(made, {key: before})
        elif all(isinstance(each, list) for each in (before or [], ours, found)) and mine(where):
            made[key] = _list_undone(found, ours, before or [])
        if before is None and made.get(key) in ({}, []) and made[key] != found:
            made.pop(key)
    return made


def _open(key: str, *maps: Any) -> bool:
    """Whether they are maps of texts, not empty, of which each key stands for itself."""
    return key in _OPEN and all(
        isinstance(one, dict) and one and all(isinstance(value, str) for value in one.values())
        for one in maps
    )


def _joined(found: Any, ours: Any) -> bool:
    """Whether a map is ours and has parts of somebody else's, and each value of its own is ours."""
    return (
        isinstance(found, dict)
        and isinstance(ours, dict)
        and found != ours
        and all(
            key in found and holds(found[key], value)
            for key, value in ours.items()
            if not isinstance(value, dict)
        )
    )


def _list_undone(now: list[Any], ours: list[Any], before: list[Any]) -> list[Any]:
    """A list in which somebody else has changed something too, without what was ours."""
    if all(map(_named, (now, ours, before))):
        return _named_undone(now, ours, before)
    if len(now) == len(ours) == len(before):
        return [_one_undone(*each) for each in zip(now, ours, before, strict=True)]
    removed = [(at, one) for at, one in enumerate(before) if one not in ours]
    made = list(now)
    for one in [one for one in ours if one not in before]:
        if one in made:
            at = made.index(one)
            made[at : at + 1] = [removed.pop(0)[1]] if removed else []
    for at, one in removed:
        if one not in made:
            made.insert(min(at, len(made)), one)
    return made


def _named_undone(now: list[Any], ours: list[Any], before: list[Any]) -> list[Any]:
    """The same for things that have names: containers, variables, ports, routes."""
    of_ours, of_before = ({one["name"]: one for one in each} for each in (ours, before))
    made = []
    for one in now:
        mine, earlier = of_ours.get(one["name"]), of_before.get(one["name"])
        if mine is None or mine == earlier:
            made.append(one)
        elif earlier is not None:
            made.append(_one_undone(one, mine, earlier))
        elif one != mine:  # we added it, and somebody else has made it theirs
            made.append(one)
    there = {one["name"] for one in made}
    for at, one in enumerate(before):
        if one["name"] not in of_ours and one["name"] not in there:
            made.insert(min(at, len(made)), one)
    return made


def _one_undone(now: Any, ours: Any, before: Any) -> Any:
    if now == ours:
        return before
    if isinstance(now, dict) and isinstance(ours, dict) and isinstance(before, dict):
        return undone(now, difference(before, ours), difference(ours, before), lambda _: True)
    if isinstance(now, list) and isinstance(ours, list) and isinstance(before, list):
        return _list_undone(now, ours, before)
    return now


def _named(found: list[Any]) -> bool:
    names = [one.get("name") if isinstance(one, dict) else None for one in found]
    return None not in names and len({*map(str, names)}) == len(names)


def _whole(found: Any) -> Any:
    return found if isinstance(found, dict) else {"": found}
