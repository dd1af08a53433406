"""Limits: how much an experiment may touch. Pure.

Law (L4): what cannot be measured is over the limit. Each limit says what was measured,
the rule it met, and what would make it pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from chaosrun.fault import Hold
from chaosrun.spec import Limits, Step, method_seconds
from chaosrun.units import Share, format_seconds

HALF = Share(0.5)
RESERVED = "reserved"
"""The limit that only a policy lifts."""
_WORDS = ("zone", "group", "workload")
_MOST_PARTS = 6
_MOST_NAMED = 3


class LimitMeasured(msgspec.Struct, frozen=True, kw_only=True):
    """One limit against what the plan would touch."""

    limit: str
    within: bool
    measured: str
    rule: str
    hint: str = ""
    step: str = ""


def measure(
    limits: Limits, steps: tuple[Step, ...], holds: Mapping[str, Hold]
) -> tuple[LimitMeasured, ...]:
    """Every limit of an experiment, for the holds of its planned steps (by step name)."""
    planned = [(step, holds[step.name]) for step in steps if step.name in holds]
    shares = [_share(limits, step, hold) for step, hold in planned]
    touched = {target.key for _, hold in planned for target in hold.targets}
    seconds = method_seconds(steps)
    return (
        *shares,
        *_reserved(planned),
        LimitMeasured(
            limit="targets",
            within=len(touched) <= limits.targets,
            measured=f"{len(touched)} target{'' if len(touched) == 1 else 's'} over all steps",
            rule=f"at most {limits.targets}",
            hint="pick fewer, or raise limits.targets",
        ),
        LimitMeasured(
            limit="duration",
            within=seconds <= limits.duration.seconds,
            measured=f"faults in place for {format_seconds(seconds)}",
            rule=f"at most {limits.duration}",
            hint="hold for less, or raise limits.duration",
        ),
    )


def _share(limits: Limits, step: Step, hold: Hold) -> LimitMeasured:
    count, population = len(hold.targets), hold.population
    largest = limits.share or HALF
    if population < 1 or count > population:
        within, measured = False, f"{count} targets of an unknown population"
    else:
        alone = limits.share is None and population == 1
        within = alone or count / population <= largest.fraction + 1e-9
        measured = f"{count} of {population} ({count / population:.0%})" + in_short(parts(hold))
    rule = f"at most {largest}" + (
        "" if limits.share else " of two or more, as limits.share is unset"
    )
    return LimitMeasured(
        limit="share",
        within=within,
        measured=measured,
        rule=rule,
        hint="pick fewer, or set limits.share",
        step=step.name,
    )


def _reserved(planned: Sequence[tuple[Step, Hold]]) -> Iterator[LimitMeasured]:
    """For each step that means reserved targets: whether policies open all of them."""
    for step, hold in planned:
        meant = [target for target in hold.targets if target.reserved]
        if not meant:
            continue
        shut = [target for target in meant if not target.opened]
        said = [f"{target.label} {target.reserved}" for target in shut or meant]
        more = f" and {len(said) - _MOST_NAMED} more" if len(said) > _MOST_NAMED else ""
        by = "" if shut else f", opened by {'; '.join(sorted({t.opened for t in meant}))}"
        yield LimitMeasured(
            limit=RESERVED,
            within=not shut,
            measured=", ".join(said[:_MOST_NAMED]) + more + by,
            rule="only what a policy opens",
            hint="choose other targets; a policy can open these (`opens`)",
            step=step.name,
        )


def parts(hold: Hold) -> tuple[str, ...]:
    """How many of each zone, group and workload are touched: `zone eu-west-1a 1 of 2`.

    What the whole tells already is left out, and so is a workload of which its group tells.
    """
    hit = Counter(name for target in hold.targets for name in target.shares)
    kinds = {name.partition(" ")[0] for name in hit}
    said: dict[tuple[int, str, str], str] = {}
    for name, count in hit.items():
        kind, _, part = name.partition(" ")
        what, _, which = part.partition("=")
        of = hold.populations.get(name, 0)
        whole = count == len(hold.targets) and of == hold.population
        told = what == "workload" and f"{kind} group={which}" in hit
        if of and not whole and not told:
            where = f"{what} {which}" if len(kinds) == 1 else f"{kind} {what} {which}"
            said[_WORDS.index(what), which, kind] = f"{where} {count} of {of}"
    return tuple(said[key] for key in sorted(said))


def in_short(found: Sequence[str]) -> str:
    """Those of `parts` for which there is room: `; zone eu-west-1a 1 of 2, group web 1 of 4`."""
    said = [*found[:_MOST_PARTS]]
    if len(found) > _MOST_PARTS:
        said.append(f"and {len(found) - _MOST_PARTS} more")
    return f"; {', '.join(said)}" if said else ""
