"""`chaosrun plan`: exactly what a run would touch; changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console, clean, pad
from chaosrun.cli.under import override_options, policy_option, under
from chaosrun.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chaosrun.cli.preview import Preview, StepPreview
    from chaosrun.events import RuleMeasured
    from chaosrun.loading import Loaded, LoadedSuite
    from chaosrun.policed import Under
    from chaosrun.rights import Permission

_BAR = 40
_MOST_TARGETS = 20


@make.command(
    "plan",
    examples="""
    chaosrun plan experiment.yaml
    chaosrun plan experiment.yaml --seed 42                     always the same targets
    chaosrun plan experiment.yaml --out plan.json               and then, after a look at it:
    chaosrun run plan.json                                      these targets, or refuse
    chaosrun plan experiment.yaml --output json | jq '.steps[].planned.targets'
    """,
)
@click.argument("file", type=click.Path(allow_dash=True))
@make.parameter_options
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="The same seed, the same targets.")
@click.option("--out", metavar="FILE", help="Save the plan; `chaosrun run FILE` runs it as seen.")
@make.output_option()
@policy_option
@override_options
@make.journal_option
@click.pass_obj
def command(
    console: Console,
    file: str,
    sets: tuple[str, ...],
    values: str | None,
    seed: int | None,
    out: str | None,
    output: str,
    policies: tuple[str, ...],
    overrides: tuple[str, ...],
    reason: str,
    ticket: str,
    journal_url: str | None,
) -> int:
    """Show exactly what a run would touch: targets, blast radius, limits, gates, policies, the
    way back.

    Everything is only read. Exit code 0 when it could run now, 3 when it would be refused.
    """
    import secrets
    from time import time

    from chaosrun.cli.preview import preview
    from chaosrun.cli.reading import load_any, only_experiment
    from chaosrun.cli.reporting import check_writable
    from chaosrun.loading import LoadedSuite

    check_writable([out] if out else [])
    found_in_file = load_any(file, sets, values)
    demands = under(policies, overrides, reason, ticket)
    seed = secrets.randbelow(2**31) if seed is None else seed
    if isinstance(found_in_file, LoadedSuite):
        return _plan_suite(console, found_in_file, seed, out, output, journal_url, demands)
    loaded = only_experiment(file, found_in_file)
    with make.opened(journal_url) as journal:
        found = preview(
            journal, loaded.experiment, seed=seed, source=loaded.source, now=time(),
            digest=loaded.digest, under=demands,
        )  # fmt: skip
    if output == "json":
        console.json({"could_run": found.could_run, **make.plain_of(found)})
    else:
        _show(console, found)
    if out:
        _save(console, loaded, found, out, say=output == "text")
    elif output == "text" and found.could_run and file != "-":
        console.print(f"`chaosrun run {file} --seed {seed}` touches these targets")
    return 0 if found.could_run else 3


def _plan_suite(
    console: Console,
    suite: LoadedSuite,
    seed: int,
    out: str | None,
    output: str,
    journal_url: str | None,
    demands: Under,
) -> int:
    """Every experiment of a suite, as if each were run now."""
    from time import time

    from chaosrun.cli.preview import preview

    if out:
        raise Rejected("a suite is not saved as a plan: its experiments come one after the other",
                       hint="plan and save one experiment")  # fmt: skip
    previews = []
    with make.opened(journal_url) as journal:
        for entry in suite.entries:
            loaded = entry.loaded
            found = preview(
                journal, loaded.experiment, seed=seed, source=loaded.source, now=time(),
                digest=loaded.digest, under=demands,
            )  # fmt: skip
            previews.append((entry.name, found))
    could_run = all(found.could_run for _, found in previews)
    if output == "json":
        plain = [{"name": name, **make.plain_of(found)} for name, found in previews]
        console.json({"could_run": could_run, "experiments": plain})
        return 0 if could_run else 3
    for number, (name, found) in enumerate(previews, 1):
        console.print(f"{console.style(f'{number}. {clean(name)}', 'bold')}")
        _show(console, found)
        console.print()
    return 0 if could_run else 3


def _save(console: Console, loaded: Loaded, found: Preview, out: str, *, say: bool) -> None:
    from pathlib import Path
    from time import time

    from chaosrun import __version__
    from chaosrun.cli import saved

    holds = {step.name: step.planned for step in found.steps if step.planned is not None}
    if len(holds) < len(found.steps):
        console.warn(f"{out} was not written: not every step could be planned")
        return
    plan = saved.Plan(
        version=__version__, created_at=time(), source=loaded.source, digest=loaded.digest,
        seed=found.seed, parameters=loaded.parameters, experiment=loaded.experiment, holds=holds,
    )  # fmt: skip
    saved.save(plan, Path(out))
    if say:
        console.print(f"saved: `chaosrun run {out}` touches these targets, or refuses")


def _show(console: Console, found: Preview) -> None:
    console.print(f"{console.style(clean(found.title), 'bold')}")
    console.print(console.style(f"{found.name} · {found.source} · seed {found.seed}", "dim"))
    _title(console, "Gates")
    for gate in found.gates:
        more = "" if gate.open else f"; {gate.rule}" + (f" ({gate.hint})" if gate.hint else "")
        _row(console, gate.open, gate.gate, gate.measured + more)
    _title(console, "Steady state and guards, sampled once")
    for sample in found.checks:
        from chaosrun.cli.console import plain_values

        held = sample.outcome == "held"
        _row(console, held, sample.name, sample.reason or plain_values(sample.result, 120))
    _title(console, "Limits")
    for limit in found.limits:
        name = f"{limit.limit} of {limit.step}" if limit.step else limit.limit
        more = "" if limit.within or not limit.hint else f" ({limit.hint})"
        _row(console, limit.within, name, f"{limit.measured}; {limit.rule}{more}")
    if found.rules:
        _title(console, f"Policies: {', '.join(map(clean, found.policies))}")
        show_rules(console, found.rules)
    for step in found.steps:
        _step(console, step)
    _graph(console, found.steps)
    console.print()
    if found.could_run:
        console.print(console.style("It could run now.", "green"))
    else:
        console.print(console.style("It would be refused now:", "yellow", "bold"))
        for reason in found.reasons:
            console.print(f"  {clean(reason)}")


def show_rules(console: Console, rules: Iterable[RuleMeasured]) -> None:
    """Each rule as it was measured: the limit, who overrode it, what would make it pass."""
    for rule in rules:
        _row(console, rule.passes, rule.rule, f"{rule.measured}; {rule.limit}")
        lead = " " * 34
        if rule.override is not None:
            said = f"overridden by {rule.override.by}: {rule.override.reason}"
            console.hang(lead, console.style(clean(said), "yellow"))
        if not rule.passes:
            console.hang(lead, console.style(clean(f"set by {rule.source}"), "dim"))
            if rule.hint:
                console.hang(lead, clean(f"would make it pass: {rule.hint}"))


def _title(console: Console, title: str) -> None:
    console.print(f"\n{console.style(title, 'bold')}")


def _row(console: Console, good: bool, name: str, text: str) -> None:
    mark = console.mark(good)
    console.hang(f"  {mark} {pad(clean(name), 28)}  ", clean(text))


def _step(console: Console, step: StepPreview) -> None:
    from chaosrun.units import format_seconds

    when = f"at +{format_seconds(step.start)}, held for {format_seconds(step.hold)}"
    _title(console, f"Step {clean(step.name)}: {step.fault}, {when}")
    if step.after:
        _fact(console, "after", ", ".join(map(clean, step.after)))
    if step.planned is None:
        hint = f" ({step.hint})" if step.hint else ""
        _fact(console, "problem", console.style(clean(step.error) + clean(hint), "red"))
        return
    hold = step.planned
    count = len(hold.targets)
    share = f" ({count / hold.population:.0%})" if hold.population else ""
    _fact(console, "effect", clean(hold.effect))
    _fact(console, "radius", f"{count} of {hold.population}{share}: {_spread(step)}")
    for target in hold.targets[:_MOST_TARGETS]:
        held = f", held by run {run}" if (run := step.held_by.get(target.label)) else ""
        domain = f" in {clean(target.domain)}" if target.domain else ""
        identity = f" ({clean(target.id)})" if target.name else ""
        _fact(console, "target", f"{target.kind} {clean(target.label)}{identity}{domain}{held}")
    if count > _MOST_TARGETS:
        _fact(console, "target", f"and {count - _MOST_TARGETS} more; --output json has them all")
    if hold.mechanism:
        _fact(console, "how", clean(hold.mechanism))
    _fact(console, "way back", f"{hold.reversal}: {clean(hold.way_back)}".rstrip(": "))
    _fact(console, "ends by", _ends(step))
    if step.permissions:
        rights = dict.fromkeys(_right(each) for each in step.permissions)
        _fact(console, "needs", ", ".join(rights))


def _right(right: Permission) -> str:
    """A right in short: what an action acts on, where the action does not say it."""
    what = right.resource if right.system == "rbac" else ""
    return " ".join(word for word in (right.system, right.action, what) if word)


def _fact(console: Console, name: str, text: str) -> None:
    console.hang(f"  {console.style(pad(name, 8), 'dim')}  ", text)


def _spread(step: StepPreview) -> str:
    """How the targets spread over kinds, and over zones and groups or else failure domains."""
    from chaosrun.limits import in_short, parts

    kinds = ", ".join(f"{count} {clean(kind)}" for kind, count in step.kinds.items())
    if where := in_short(parts(step.planned)) if step.planned else "":
        return kinds + clean(where)
    domains = ", ".join(f"{count} in {clean(name)}" for name, count in step.domains.items())
    return f"{kinds}; {domains}" if domains else kinds


def _ends(step: StepPreview) -> str:
    assert step.planned is not None
    if step.planned.expiry == "target":
        return "the target itself at the deadline, even if chaosrun never comes back"
    return "chaosrun, or `chaosrun recover` if it died: the target has no deadline of its own"


def _graph(console: Console, steps: Iterable[StepPreview]) -> None:
    """When each step is held, on one scale."""
    from chaosrun.units import format_seconds

    steps = list(steps)
    whole = max(step.start + step.hold for step in steps) or 1.0
    width = max(len(step.name) for step in steps)
    _title(console, "Time")
    full, blank = ("█", "·") if console.unicode else ("#", ".")
    for step in steps:
        left = min(_BAR - 1, int(step.start / whole * _BAR))
        held = max(1, round(step.hold / whole * _BAR))
        bar = blank * left + full * held
        console.print(f"  {pad(clean(step.name), width)}  {bar.ljust(_BAR, blank)[:_BAR]}")
    ends = format_seconds(whole).rjust(_BAR - 2)
    console.print(console.style(f"  {' ' * width}  0s{ends}", "dim"))
