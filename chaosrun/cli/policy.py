"""`chaosrun policy`: what an organisation's policies demand, and what they say of an experiment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console, clean, pad
from chaosrun.cli.under import override_options, policy_option, under

if TYPE_CHECKING:
    from chaosrun.events import AnyEvent, GateMeasured, RuleMeasured
    from chaosrun.policy.merging import Ruling
    from chaosrun.policy.policies import Policies
    from chaosrun.run import Run


@click.group(
    "policy",
    cls=make.Group,
    examples="""
    chaosrun policy show                          what holds here, and who says so
    chaosrun policy test experiment.yaml          every rule against it; nothing is run
    chaosrun policy show --policy policy.yaml     check a policy before it is installed
    """,
)
def command() -> None:
    """What an organisation demands of every experiment.

    Policies add up: those in /etc/chaosrun/policy.d, in `policy.d` of the state directory, in the
    paths of $CHAOSRUN_POLICY, and those named with --policy. Of two that bound the same thing
    the stricter one holds. One that cannot be read, or is wrong, refuses every run.
    """


@command.command(
    "test",
    examples="""
    chaosrun policy test experiment.yaml
    chaosrun policy test experiment.yaml --policy drafts/stricter.yaml
    chaosrun policy test experiment.yaml --override window --reason "incident drill"
    chaosrun policy test experiment.yaml --output json | jq '.rules[] | select(.within | not)'
    """,
)
@click.argument("file", type=click.Path(allow_dash=True))
@make.parameter_options
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@policy_option
@override_options
@make.output_option()
@make.journal_option
@click.pass_obj
def test(
    console: Console,
    file: str,
    sets: tuple[str, ...],
    values: str | None,
    seed: int,
    policies: tuple[str, ...],
    overrides: tuple[str, ...],
    reason: str,
    ticket: str,
    output: str,
    journal_url: str | None,
) -> int:
    """Measure every rule and gate of the policies against an experiment; run nothing.

    Its steps are planned, which only reads. Exit code 0 when all are met, 3 when a run would be
    refused.
    """
    from time import time

    from chaosrun.cli.asking import ask
    from chaosrun.cli.preview import imagined, rules_of
    from chaosrun.cli.reading import load
    from chaosrun.events import GateMeasured
    from chaosrun.perform import Performer
    from chaosrun.run.effects import AnyEffect, MeasureGate, Plan

    demands = under(policies, overrides, reason, ticket)
    loaded = load(file, sets, values)
    now = time()
    run = imagined(loaded.experiment, seed, now, digest=loaded.digest, under=demands)
    own = len(loaded.experiment.spec.gates)
    theirs = {index: gate for index, gate in run.gates.items() if index >= own}
    effects: list[AnyEffect] = [
        *(MeasureGate(*gate) for gate in theirs.items()),
        *map(Plan, run.steps),
    ]
    with make.opened(journal_url) as journal:
        performer = Performer(journal, lambda: now, only_look=True)
        performer.put_under(run.id, demands.policies)
        try:
            answers = ask(performer, run, effects, now)
        finally:
            performer.close()
        rules = (*rules_of(run, answers, demands, journal, now), *_reserved(run, answers))
    gates = [answer for answer in answers if isinstance(answer, GateMeasured)]
    passes = all(rule.passes for rule in rules) and all(gate.open for gate in gates)
    about = [one.shown for one in demands.policies.about(loaded.experiment.metadata.labels)]
    if output == "json":
        plain = make.plain_of({"rules": rules, "gates": gates})
        console.json({"passes": passes, "by": demands.actor.shown, "policies": about, **plain})
    else:
        head = f"{loaded.experiment.metadata.name} · {loaded.source} · by {demands.actor.shown}"
        console.print(console.style(clean(head), "bold"))
        _show_test(console, about, rules, gates, passes)
    return 0 if passes else 3


def _reserved(run: Run, answers: Iterable[AnyEvent]) -> Iterator[RuleMeasured]:
    """What holds without a policy, and only a policy lifts, in the words of a rule."""
    from chaosrun import limits
    from chaosrun.events import Planned, RuleMeasured

    holds = {planned.step: planned.hold for planned in answers if isinstance(planned, Planned)}
    for one in limits.measure(run.spec.limits, run.spec.method, holds):
        if one.limit == limits.RESERVED:
            yield RuleMeasured(
                rule=one.limit, within=one.within, measured=one.measured, limit=one.rule,
                hint=one.hint, source="chaosrun itself",
            )  # fmt: skip


def _show_test(
    console: Console,
    about: list[str],
    rules: tuple[RuleMeasured, ...],
    gates: list[GateMeasured],
    passes: bool,
) -> None:
    from chaosrun.cli.plan import show_rules

    if not about:
        console.print("No policy is about it: `chaosrun policy show` lists those there are.")
        if not rules:
            return
    for one in about:
        console.print(console.style(f"under {clean(one)}", "dim"))
    console.print()
    show_rules(console, rules)
    for gate in gates:
        console.hang(
            f"  {console.mark(gate.open)} {pad(clean(f'gate {gate.gate}'), 28)}  ",
            clean(f"{gate.measured}; {gate.rule}" + (f" ({gate.hint})" if gate.hint else "")),
        )
    broken = sum(not rule.passes for rule in rules) + sum(not gate.open for gate in gates)
    many = f"{broken} of {len(rules) + len(gates)}"
    console.print()
    if passes:
        console.print(console.style("A run would be within its policies.", "green"))
    else:
        are = "is" if broken == 1 else "are"
        said = f"A run would be refused: {many} rules {are} not met."
        console.print(console.style(said, "yellow", "bold"))


@command.command(
    "show",
    examples="""
    chaosrun policy show
    chaosrun policy show --policy drafts/ --output json
    """,
)
@policy_option
@make.output_option()
@click.pass_obj
def show(console: Console, policies: tuple[str, ...], output: str) -> int:
    """Show every rule that holds here, which policy sets it, and who may override it.

    Exit code 3 when a policy is broken: then nothing runs.
    """
    from chaosrun.loading.policies import find_policies
    from chaosrun.policy.of_targets import described

    found = find_policies(policies)
    if output == "json":
        console.json(_plain(found))
        return 0
    if not found.documents:
        console.print("There is no policy: every experiment is bound by its own limits alone.")
        console.print("`chaosrun policy --help` says where policies are looked for.")
        return 0
    for one in found.documents:
        console.print(
            f"{console.style(clean(one.source.name), 'bold')}  {clean(one.source.file)}"
            f"  {console.style(one.source.digest[:12], 'dim')}"
        )
        if one.policy.spec.description:
            console.hang("  ", clean(one.policy.spec.description))
    console.print()
    for ruling in found.rulings:
        _show_ruling(console, ruling)
    for one in found.documents:
        for these in one.policy.spec.opens:
            text = f"{clean(described(these))} may be touched: {clean(these.because)}"
            console.hang(f"  {pad('opens', 30)}", text)
            console.hang(" " * 32, console.style(f"set by {clean(one.shown)}", "dim"))
    for gate in found.every_gate():
        console.hang(f"  {pad('gate', 30)}", f"{next(iter(gate.written))} ({clean(gate.source)})")
    for halt in found.halts():
        console.hang(
            f"  {pad('halt source', 30)}", f"{next(iter(halt.written))} ({clean(halt.source)})"
        )
    return 0


def _show_ruling(console: Console, ruling: Ruling) -> None:
    console.hang(f"  {pad(ruling.rule.name, 30)}", clean(ruling.rule.limit))
    lead = " " * 32
    said = f"set by {clean(ruling.source)}"
    for label, patterns in ruling.applies_to.items():
        said += f", for {label} {' or '.join(patterns)}"
    console.hang(lead, console.style(said, "dim"))
    for right in ruling.rights:
        ticket = ", with a ticket" if right.ticket else ""
        text = f"may be overridden by {', '.join(right.by)}{ticket}"
        console.hang(lead, console.style(clean(text), "dim"))


def _plain(found: Policies) -> dict[str, Any]:
    return {
        "policies": [make.plain_of(one.source) for one in found.documents],
        "rules": [
            {
                "rule": ruling.rule.name,
                "limit": ruling.rule.limit,
                "source": ruling.source,
                "appliesTo": {k: list(v) for k, v in ruling.applies_to.items()},
                "mayOverride": [make.plain_of(right) for right in ruling.rights],
            }
            for ruling in found.rulings
        ],
        "opens": [
            {"targets": make.plain_of(these), "source": one.shown}
            for one in found.documents
            for these in one.policy.spec.opens
        ],
        "gates": [{"gate": g.written, "source": g.source} for g in found.every_gate()],
        "halts": [{"halt": h.written, "source": h.source} for h in found.halts()],
    }
