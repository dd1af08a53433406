"""`chaosrun doctor --kubernetes`: what the kernels of a cluster's nodes offer, after asking.

Law: a signal ends the look, and takes away what it started before the command ends.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from chaosrun import commands
from chaosrun.cli import command as make
from chaosrun.cli.cluster import current, where
from chaosrun.cli.console import Console, aligned, clean
from chaosrun.cli.signals import Signals

if TYPE_CHECKING:
    from chaosrun.mechanisms.kernel import Offers
    from chaosrun.providers.kubernetes.kernel_trials import Found

_HEADER = ("NODE", "KERNEL", "LATENCY", "LOSS", "RATE", "HAS")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One node: what its kernel has, and what auto would take. Empty where that is not known."""

    node: str
    kernel: str
    boot: str
    works: tuple[str, ...]
    latency: str
    loss: str
    rate: str
    noted: bool
    skipped: bool
    problem: str
    hint: str


def look(console: Console, namespace: str, image: str, *, yes: bool, output: str) -> int:
    """Look at every node that can be looked at, note what was seen, and show it."""
    from chaosrun.errors import Refused
    from chaosrun.providers.kubernetes import agents, kernel_trials
    from chaosrun.providers.kubernetes.require import require

    place = namespace or os.environ.get(agents.NAMESPACE, "") or "default"
    called = image or os.environ.get(agents.IMAGE, "")
    if not called:
        raise Refused(
            "it takes an image of chaosrun, and none is named",
            hint=f"build it with `make image`, push it, and give --image NAME or set "
            f"{agents.IMAGE}",
        )
    with current() as (client, access):
        hint = "`chaosrun doctor --help` lists the rights that it takes"
        require(client, access, kernel_trials.rights(place), hint)
        able, skipped = kernel_trials.nodes(client, access)
        count = f"{len(able)} node{'' if len(able) == 1 else 's'}"
        question = (
            f"Run a privileged pod of {called} on {count} of {where(access)} (cluster "
            f"{access.cluster}), in namespace {place}, and note on the nodes what it sees?"
        )
        if able and not make.need_confirmation(console, question, yes=yes):
            return 0
        stop = commands.Cancellation()
        commands.current.set(stop)

        def stopped(_number: int, _before: int) -> None:
            stop.cancelled = True  # `cancel` takes a lock, which a signal's handler must not

        with Signals() as signals:
            signals.tell(stopped)
            console.note(f"looking at {count} by {called}, in namespace {place} ...")
            found = kernel_trials.Trials(client, access, called, place).run(able)
    if signals.first:
        console.note(f"stopped when {len(found)} of {count} had been looked at; no pod is left")
        return 128 + signals.first
    everything = sorted([*found, *skipped], key=lambda one: one.node)
    if output == "json":
        console.json([_row(one) for one in everything])
    else:
        _show(console, [_row(one) for one in everything])
    return 1 if any(one.offers is None and not one.skipped for one in everything) else 0


def _row(found: Found) -> Row:
    from chaosrun.mechanisms.impairment import Impairment

    offers = found.offers
    latency, loss, rate = (
        _chosen(offers, impairment) if offers else ""
        for impairment in (Impairment(delay=0.1), Impairment(loss=0.1), Impairment(rate=1e5))
    )
    return Row(
        node=found.node, kernel=found.version, boot=found.boot,
        works=tuple(sorted(offers.works)) if offers else (),
        latency=latency, loss=loss, rate=rate, noted=offers is not None, skipped=found.skipped,
        problem=found.problem, hint=found.hint,
    )  # fmt: skip


def _chosen(offers: Offers, impairment: object) -> str:
    """What auto takes for all that a pod sends."""
    from chaosrun.errors import Refused
    from chaosrun.mechanisms.choosing import choose
    from chaosrun.mechanisms.impairment import Impairment
    from chaosrun.mechanisms.traffic import Traffic

    assert isinstance(impairment, Impairment)
    try:
        return choose("auto", offers, "", impairment, Traffic(direction="out"))
    except Refused:
        return "none"


def _show(console: Console, rows: list[Row]) -> None:
    from chaosrun.mechanisms.kernel import Offers

    lines = aligned(
        [
            _HEADER,
            *(
                (
                    clean(row.node), clean(row.kernel), row.latency or "-", row.loss or "-",
                    row.rate or "-",
                    clean(row.problem) or str(Offers(works=frozenset(row.works))),
                )
                for row in rows
            ),
        ]
    )  # fmt: skip
    console.print(console.style(lines[0], "bold"))
    for line, row in zip(lines[1:], rows, strict=True):
        style = "" if row.noted else "dim" if row.skipped else "yellow"
        console.print(console.style(line, style))
    for hint in dict.fromkeys(row.hint for row in rows if row.hint):
        console.print(f"{console.style('→' if console.unicode else '>', 'dim')} {clean(hint)}")
    noted = sum(row.noted for row in rows)
    if noted:
        nodes = "1 node" if noted == 1 else f"{noted} nodes"
        console.print(f"\nnoted on {nodes}; until a node starts anew, plans name the mechanism")
