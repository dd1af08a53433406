"""A running run as a picture for a terminal: phase, steps, checks, guards, what is owed.

Law: a pure function of the run's fold, its recent samples, the time and the size. Nothing
is told by colour alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from chaosrun.cli.console import clean, clip
from chaosrun.cli.narrator import touched
from chaosrun.events import Outcome, Sampled
from chaosrun.reports import series
from chaosrun.reports.wording import offset, seconds
from chaosrun.run import Phase, Run, StepState
from chaosrun.run.state import CheckState, GuardState

RECENT = 120
_BLOCKS, _ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
_BAR = 20
_STYLE = {Outcome.HELD: "green", Outcome.BROKE: "bold red", Outcome.UNKNOWN: "yellow"}

Samples = Mapping[tuple[str, str], deque[Sampled]]


class Scene(msgspec.Struct, frozen=True):
    """All that a picture shows. `note` is the last thing to tell the person."""

    run: Run
    samples: Samples
    started: float
    now: float
    note: str = ""
    unicode: bool = True


def draw(scene: Scene, width: int, height: int) -> RenderableType:
    """The picture, at most `height` lines high and `width` columns wide."""
    room = max(6, height - 3)
    parts: list[RenderableType] = [Text(""), _head(scene, width)]
    steps, checks = list(scene.run.steps.values()), list(scene.run.checks.values())
    guards = list(scene.run.guards.values())
    room -= 2 + bool(scene.note)
    # What matters most when the terminal is small: what is owed, then checks, then the rest.
    steps = sorted(steps, key=_interest) if len(steps) > max(1, room // 2) else steps
    shown_steps = steps[: max(1, room // 2)]
    room -= len(shown_steps) + (len(shown_steps) < len(steps))
    shown_checks = checks[: max(1, room - min(len(guards), room // 3))]
    room -= len(shown_checks) + (len(shown_checks) < len(checks))
    shown_guards = guards[: max(0, room)]
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for _ in range(3):
        table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for step in shown_steps:
        table.add_row(*_step(scene, step))
    _count_rest(table, "step", len(steps) - len(shown_steps))
    spark = max(10, min(RECENT, width // 3))
    for check in shown_checks:
        table.add_row(*_check(scene, check, spark))
    _count_rest(table, "check", len(checks) - len(shown_checks))
    for guard in shown_guards:
        table.add_row(*_guard(scene, guard, spark))
    parts.append(table)
    if scene.note:
        parts.append(Text(clip(scene.note, width - 1), style="bold yellow", no_wrap=True))
    return Group(*parts)


def _count_rest(table: Table, what: str, rest: int) -> None:
    if rest > 0:
        table.add_row("", Text(f"and {rest} more {what}{'' if rest == 1 else 's'}", "dim"))


def _head(scene: Scene, width: int) -> RenderableType:
    run = scene.run
    phase = str(run.phase)
    style = "bold yellow" if run.phase is Phase.REVERTING else "bold cyan"
    right = Text.assemble((phase, style), f"  {offset(scene.now - scene.started)}")
    owed = len(run.owed)
    if owed:
        right = Text.assemble((f"{owed} owed  ", "magenta"), right)
    title = clean(run.spec.title if run.experiment else "")
    left = Text(clip(title, max(10, width - len(right) - 3)), style="bold", no_wrap=True)
    grid = Table.grid(expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_row(left, right)
    rule = Text(("─" if scene.unicode else "-") * (width - 1), style="dim", no_wrap=True)
    return Group(grid, rule)


def _interest(step: StepState) -> tuple[int, float]:
    """Owed steps first, then those to come, then those that are done."""
    return (0 if step.owed else 1 if step.hold is None else 2, -step.leased_at)


def _step(scene: Scene, step: StepState) -> Iterator[RenderableType]:
    marks = ("○", "●", "◐", "✓") if scene.unicode else ("o", "#", "~", "+")
    waiting, in_place, reverting, done = marks
    now, hold = scene.now, step.hold
    name = Text(clip(clean(step.step.name), 32))
    if hold is None:
        words = f"waits for {', '.join(step.waits)}" if step.waits else "waiting"
        if scene.run.stop is not None:
            words = "not injected"
        yield Text(waiting, "dim")
        yield name
        yield Text(words if len(words) < 30 else "waits", "dim")
        planned = step.planned or step.preview
        yield Text(touched(planned) if planned else "", "dim")
    elif step.restored_at is not None:
        yield Text(done, "green")
        yield name
        yield Text(f"restored after {seconds(step.restored_at - step.leased_at)}", "green")
        yield Text(touched(hold), "dim")
    elif step.reverting_since is not None or scene.run.stop is not None:
        yield Text(reverting, "yellow")
        yield name
        tries = f", attempt {step.attempts + 1}" if step.attempts else ""
        yield Text(("STRANDED" if step.stranded else "reverting") + tries, "bold yellow")
        yield Text(clean(step.trouble) or touched(hold), "red" if step.trouble else "")
    else:
        yield Text(in_place, "magenta")
        yield name
        yield _time_left(scene, step)
        by = "the target ends it" if hold.expiry == "target" else "deadline"
        left = seconds(hold.deadline - now)
        seen = "" if step.effect_seen or step.injected_at is None else "effect not seen yet; "
        yield Text(f"{seen}{touched(hold)}, {by} in {left}")


def _time_left(scene: Scene, step: StepState) -> Text:
    """A bar that fills while the fault is held, and the time left."""
    if step.injected_at is None:
        return Text("injecting", "magenta")
    held, whole = scene.now - step.injected_at, step.step.hold.seconds
    share = 1.0 if whole <= 0 else max(0.0, min(1.0, held / whole))
    full, blank = ("━", "─") if scene.unicode else ("=", "-")
    done = round(share * _BAR)
    left = seconds(max(0.0, whole - held))
    return Text.assemble((full * done, "magenta"), (blank * (_BAR - done), "dim"), f" {left} left")


def _check(scene: Scene, check: CheckState, spark: int) -> Iterator[RenderableType]:
    recent = scene.samples.get(("check", check.check.name), ())
    last = recent[-1] if recent else None
    yield Text("✓" if scene.unicode else "+", "green") if _well(last) else _mark(last, scene)
    yield Text(clip(clean(check.check.name), 32))
    yield _spark(scene, recent, check.check.expect, min(spark, 30))
    held, broke, unknown = (
        sum(counts) for counts in zip(check.before, check.during, strict=True)
    )  # fmt: skip
    rest = f", {unknown} unknown" if unknown else ""
    words = f"{held} of {held + broke} held{rest}"
    if scene.run.phase is Phase.AFTER:
        words += f", after: {check.streak} of {check.check.samples} in a row"
    said = clean(last.reason) if last and last.reason else _value(check.check.expect, recent)
    yield Text.assemble(words, (f"  {said}" if said else "", "dim" if _well(last) else "red"))


def _guard(scene: Scene, guard: GuardState, spark: int) -> Iterator[RenderableType]:
    recent = scene.samples.get(("guard", guard.guard.name), ())
    last = recent[-1] if recent else None
    yield Text("✓" if scene.unicode else "+", "green") if _well(last) else _mark(last, scene)
    yield Text(clip(clean(guard.guard.name), 32))
    yield _spark(scene, recent, guard.guard.when, min(spark, 30))
    if guard.hurting_since is not None:
        lasted = seconds(scene.now - guard.hurting_since)
        yield Text(f"guard hurts for {lasted}, trips at {guard.guard.for_}", "bold red")
    else:
        said = _value(guard.guard.when, recent)
        yield Text.assemble("guard", (" is calm" if _well(last) else "", ""), (f"  {said}", "dim"))


def _well(last: Sampled | None) -> bool:
    return last is not None and last.outcome is Outcome.HELD


def _mark(last: Sampled | None, scene: Scene) -> Text:
    if last is None:
        return Text("·" if scene.unicode else ".", "dim")
    broke = "✗" if scene.unicode else "x"
    return Text(broke if last.outcome is Outcome.BROKE else "?", _STYLE[last.outcome])


def _spark(scene: Scene, recent: deque[Sampled] | tuple[()], rule: str, most: int) -> Text:
    """One block a sample: as high as its number, `x` where it failed, `?` where unknown."""
    shown = list(recent)[-most:]
    plot = series.choose(rule, shown)
    values = [series.number(series.at_path(s.result, plot.field)) for s in shown]
    highest = max((value[0] for value in values if value), default=0.0) or 1.0
    blocks = _BLOCKS if scene.unicode else _ASCII_BLOCKS
    text = Text(no_wrap=True)
    for sample, value in zip(shown, values, strict=True):
        block = blocks[0]
        if sample.outcome is Outcome.UNKNOWN:
            block = "?"
        elif sample.outcome is Outcome.BROKE:
            block = "✗" if scene.unicode else "x"
        elif value:
            height = int(value[0] / highest * len(blocks) - 0.5)
            block = blocks[max(0, min(len(blocks) - 1, height))]
        text.append(block, _STYLE[sample.outcome])
    return text


def _value(rule: str, recent: deque[Sampled] | tuple[()]) -> str:
    """The last number that the rule looks at: `latency 212 ms`."""
    if not recent:
        return ""
    from chaosrun.reports.wording import number

    plot = series.choose(rule, [recent[-1]])
    found = series.number(series.at_path(recent[-1].result, plot.field))
    return f"{plot.field} {number(*found)}" if found else ""
