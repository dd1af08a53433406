"""Checks of an experiment that no type can express, on whatever part of it is well-formed.

They read plain data and not the typed experiment, so that one mistake does not hide another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from chaosrun.loading.problems import Findings
from chaosrun.loading.source import Path
from chaosrun.units import JSON, Duration, Share, Unit, format_seconds

LISTS = {"steadyState": "checks", "method": "steps", "abortWhen": "guards"}
MOST = 1000
"""Items of a list that are looked at; more are refused by their number alone."""

_ZERO = {
    ("steadyState", "every"): "a check is sampled at an interval longer than zero",
    ("abortWhen", "every"): "a guard is sampled at an interval longer than zero",
    ("method", "timeout"): "nothing can be done within no time",
}
_DEFAULT_DURATION = 3600.0


def check(spec: dict[str, JSON], findings: Findings) -> None:
    """Report what is wrong with names, order and amounts."""
    for key, what in LISTS.items():
        names(list(items(spec, key)), what, findings)
    _amounts(spec, findings)
    order(list(items(spec, "method")), spec, findings)


def items(spec: dict[str, JSON], key: str) -> Iterator[tuple[Path, dict[str, JSON]]]:
    """The mappings of a list of the spec, with their paths."""
    listed = spec.get(key)
    for index, item in enumerate(listed[:MOST] if isinstance(listed, list) else ()):
        if isinstance(item, dict):
            yield ("spec", key, index), item


def text(item: dict[str, JSON], key: str, path: Path, findings: Findings) -> str:
    """A text in a mapping; empty when there is none or it is not known."""
    value = item.get(key)
    return value if isinstance(value, str) and not findings.poisoned((*path, key)) else ""


def amount(data: JSON, key: str, kind: type[Unit]) -> Any:
    """A unit in a mapping; None when there is none or it is wrong."""
    try:
        return kind.parse(data[key]) if isinstance(data, dict) and key in data else None
    except ValueError:
        return None


def names(listed: list[tuple[Path, dict[str, JSON]]], what: str, findings: Findings) -> None:
    seen: dict[str, Path] = {}
    for path, item in listed:
        name, where = text(item, "name", path, findings), (*path, "name")
        if not name:
            continue
        if any(letter < " " or "\x7f" <= letter < "\xa0" for letter in name):
            findings.value(where, "a name is one line of plain text")
        if name in seen:
            line = findings.source.place(findings.value_index(seen[name]))[0]
            findings.value(
                where,
                f"two {what} are named `{name}`; the first is in line {line}",
                code="duplicate-name",
            )
        seen.setdefault(name, where)


def _amounts(spec: dict[str, JSON], findings: Findings) -> None:
    for (listed, key), message in _ZERO.items():
        for path, item in items(spec, listed):
            if amount(item, key, Duration) == Duration(0):
                findings.value((*path, key), message, code="zero")
    for path, item in items(spec, "steadyState"):
        if amount(item, "tolerate", Share) == Share(1):
            findings.value((*path, "tolerate"), "a check that tolerates 100% can never fail")
    limits = spec.get("limits")
    if amount(limits, "duration", Duration) == Duration(0):
        findings.value(("spec", "limits", "duration"), "0s allows no fault at all", code="zero")
    if amount(limits, "share", Share) == Share(0):
        findings.value(("spec", "limits", "share"), "0% allows no target at all", code="zero")
    if amount(spec, "revertWithin", Duration) == Duration(0):
        message = "a failing revert would never be tried again"
        findings.value(("spec", "revertWithin"), message, code="zero")


def order(
    steps: list[tuple[Path, dict[str, JSON]]],
    spec: dict[str, JSON],
    findings: Findings,
    what: str = "step",
) -> None:
    """The graph that `after` makes: dangling names, cycles, and how long it takes.

    `what` is how a person calls what is ordered: a step, or an experiment of a suite.
    """
    names = [text(step, "name", path, findings) for path, step in steps]
    before: dict[str, list[str]] = {}
    previous: list[str] = []
    whole = all(names) and len(set(names)) == len(names)
    for (path, step), name in zip(steps, names, strict=True):
        after = step.get("after")
        waits = previous
        if findings.poisoned((*path, "after")):
            waits, whole = [], False
        elif isinstance(after, list):
            waits, sound = _waits(after, name, names, (*path, "after"), findings, whole, what)
            whole = whole and sound
        if name:
            before.setdefault(name, waits)
        previous = [name] if name else []
    places = {name: path for (path, _), name in zip(steps, names, strict=True)}
    cyclic = _cycles(before, places, findings, what)
    if whole and not cyclic and names:
        _length(
            before, {n: step for (_, step), n in zip(steps, names, strict=True)}, spec, findings
        )


def _waits(
    after: list[JSON],
    name: str,
    names: list[str],
    path: Path,
    findings: Findings,
    whole: bool,
    what: str,
) -> tuple[list[str], bool]:
    """The names in an `after` that are steps, and whether all were."""
    known, waits, sound = set(names), [], True
    for index, other in enumerate(after):
        where = (*path, index)
        if not isinstance(other, str) or findings.poisoned(where):
            sound = False
        elif other == name:
            findings.value(where, f"{what} `{name}` waits for itself", code="cycle")
            sound = False
        elif other in known:
            waits.append(other)
        else:
            sound = False
            if "" in known and not whole:
                continue  # it may be the name that is itself wrong
            findings.value(
                where,
                f"no {what} is named `{other}`",
                code=f"unknown-{what}",
                wrong=other,
                among=[step for step in names if step != name],
                choose=f"the other {what}s",
            )
    return waits, sound


def _cycles(
    before: dict[str, list[str]], places: dict[str, Path], findings: Findings, what: str
) -> bool:
    """Report each circle of steps that wait for one another; whether there is one."""
    found = False
    while left := _without(before, _free(before)):
        found = True
        trail: list[str] = []
        name = next(iter(left))
        while name not in trail:
            trail.append(name)
            name = next(wait for wait in left[name] if wait in left)
        circle = trail[trail.index(name) :]
        first = min(circle, key=lambda member: places[member][-1])
        start = circle.index(first)
        circle = circle[start:] + circle[:start]
        chain = ", which waits for ".join(f"`{member}`" for member in [*circle[1:], circle[0]])
        written = next((n for n in circle if findings.has((*places[n], "after"))), first)
        message = f"{what}s wait for one another: `{circle[0]}` waits for {chain}"
        findings.value((*places[written], "after"), message, code="cycle")
        before = _without(left, circle)
    return found


def _without(before: dict[str, list[str]], names: Collection[str]) -> dict[str, list[str]]:
    gone = set(names)
    return {name: waits for name, waits in before.items() if name not in gone}


def _free(before: dict[str, list[str]]) -> list[str]:
    """The steps that can take their turn, in an order in which they can."""
    waiting = {name: {w for w in waits if w in before} for name, waits in before.items()}
    followers: dict[str, list[str]] = {}
    for name, waits in waiting.items():
        for wait in waits:
            followers.setdefault(wait, []).append(name)
    free = [name for name, waits in waiting.items() if not waits]
    for name in free:  # grows while it is walked
        for follower in followers.get(name, ()):
            waiting[follower].discard(name)
            if not waiting[follower]:
                free.append(follower)
    return free


def _length(
    before: dict[str, list[str]],
    steps: dict[str, dict[str, JSON]],
    spec: dict[str, JSON],
    findings: Findings,
) -> None:
    """Whether the holds along the longest path fit into `limits.duration`."""
    limits = spec.get("limits", {})
    if not isinstance(limits, dict):
        return
    holds: dict[str, float] = {}
    for name, step in steps.items():
        hold = amount(step, "hold", Duration) if "hold" in step else Duration(0)
        if hold is None:
            return
        holds[name] = hold.seconds
    done: dict[str, float] = {}
    for name in _free(before):
        done[name] = holds[name] + max((done[wait] for wait in before[name]), default=0.0)
    longest = max(done.values())
    limit = amount(limits, "duration", Duration)
    if limit is None and "duration" in limits:
        return
    allowed = limit.seconds if limit else _DEFAULT_DURATION
    if longest > allowed and (limit is None or limit):
        where: Path = ("spec", "limits", "duration") if limit else ("spec", "method")
        unset = "" if limit else " unless set"
        message = (
            f"the method holds faults for {format_seconds(longest)}, longer than "
            f"`limits.duration` allows ({format_seconds(allowed)}{unset})"
        )
        if limit:
            findings.value(where, message, code="too-long")
        else:
            findings.key(where, message, "set `limits: {duration: ...}`", code="too-long")
