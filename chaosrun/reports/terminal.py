"""The summary as text, for a terminal or a pipe.

Law: colour is never the only signal, and comes only where it was asked for. Nothing from
outside can steer the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Final

from chaosrun.events import Outcome, Verdict
from chaosrun.reports.learned import blast_radius
from chaosrun.reports.result import (
    CheckResult,
    Counts,
    GuardResult,
    Sample,
    StepOutcome,
    StepResult,
    Summary,
)
from chaosrun.reports.wording import clean, offset, seconds

Piece = tuple[str, str]
"""Text and its style: good, bad, unsure, dim, bold, or nothing."""
Line = list[Piece]

VERDICT_STYLE: Final[dict[Verdict | None, str]] = {
    Verdict.PASSED: "good",
    Verdict.DEVIATED: "bad",
    Verdict.ABORTED: "bad",
    Verdict.ERROR: "bad",
    Verdict.STRANDED: "bad",
    Verdict.REFUSED: "unsure",
    Verdict.INCONCLUSIVE: "unsure",
    Verdict.CANCELLED: "unsure",
    None: "unsure",
}
_RICH_STYLE: Final = {
    "good": "green", "bad": "bold red", "unsure": "yellow", "dim": "dim", "bold": "bold", "": "",
}  # fmt: skip
_MARK: Final = {"good": "✔", "bad": "✖", "unsure": "?", "dim": "·", "": "·"}
_BARS: Final = "▁▂▃▄▅▆▇█"
_SPARK: Final = 24
_COUNTS: Final = 25


def terminal(told: Summary, *, colour: bool = False, width: int = 80, unicode: bool = True) -> str:
    """The summary in lines of at most `width` columns, ending in a line end."""
    column = _name_column(told, width)
    lines = [
        *_head(told, width),
        *_section("Gates", _gates(told, column, width)),
        *_section("Policies", _rules(told, width)),
        *_section("Steps", _steps(told, column, width)),
        *_section("Steady state", _checks(told, column)),
        *_section("Guards", _guards(told, column)),
        *_section("Learned", _bullets(told, told.learned, width)),
        *_section("Next", _bullets(told, told.next, width)),
    ]
    text = _coloured(lines, width) if colour else _plain(lines)
    return text if unicode else _ascii(text)


def _name_column(told: Summary, width: int) -> int:
    """How wide names may be, so that counts and bars still fit beside them."""
    names = [*(c.name for c in told.checks), *(g.name for g in told.guards)]
    names += [*(s.name for s in told.steps), *(g.gate for g in told.gates)]
    longest = max((len(clean(name)) for name in names), default=0)
    return max(12, min(longest, width - 4 - _COUNTS - 2 - _SPARK))


def _plain(lines: Sequence[Line]) -> str:
    return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in lines)


def _coloured(lines: Sequence[Line], width: int) -> str:
    from io import StringIO

    from rich.console import Console  # 30 ms to import, and only colour needs it
    from rich.text import Text

    out = StringIO()
    console = Console(
        file=out, force_terminal=True, color_system="standard", width=width, legacy_windows=False,
        _environ={},
    )  # fmt: skip
    for line in lines:
        text = Text.assemble(*((piece, _RICH_STYLE[style]) for piece, style in line))
        console.print(text, soft_wrap=True, highlight=False)
    return out.getvalue()


def _ascii(text: str) -> str:
    table: dict[str, str | int | None] = {
        "✔": "+",
        "✖": "x",
        "·": "-",
        "→": "->",
        "“": '"',
        "”": '"',
        "…": ".",
        "±": "+-",
    }
    table |= dict(zip(_BARS, "_.-~=+*#", strict=True))
    return text.translate(str.maketrans(table)).encode("ascii", "replace").decode()


def _head(told: Summary, width: int) -> Iterator[Line]:
    style = VERDICT_STYLE[told.verdict]
    word = told.verdict.value if told.verdict else "running"
    indent = len(word) + 4
    yield [(f"{_MARK[style]} {word}", f"{style}"), ("  ", ""), *_first(told.title, width, indent)]
    for line in wrap(clean(told.title), width - indent)[1:]:
        yield [(" " * indent + line, "bold")]
    facts = [told.name, f"run {told.run}", seconds(told.duration), f"seed {told.seed}"]
    facts += [f"schedule {told.schedule}"] if told.schedule else []
    for line in wrap(clean(" · ".join(facts)), width - 2):
        yield [(f"  {line}", "dim")]
    for line in wrap(clean(told.reason), width - 2):
        yield [(f"  {line}", "")]


def _first(title: str, width: int, indent: int) -> Line:
    return [(line, "bold") for line in wrap(clean(title), width - indent)[:1]]


def _section(title: str, body: Iterator[Line]) -> Iterator[Line]:
    lines = list(body)
    if lines:
        yield []
        yield [(title, "bold")]
        yield from lines


def _gates(told: Summary, column: int, width: int) -> Iterator[Line]:
    for gate in told.gates:
        if gate.step and gate.open:
            continue  # asked again before a step, and still open: nothing new
        style = "good" if gate.open else "bad"
        where = f" (before {gate.step})" if gate.step else ""
        yield from _row(style, gate.gate + where, gate.measured, column, width)
        if not gate.open:
            yield from _more(f"rule: {gate.rule}", width)
            if gate.hint:
                yield from _more(f"would open it: {gate.hint}", width)
    for limit in told.limits:
        if not limit.within:
            of = f" of {limit.step}" if limit.step else ""
            yield from _row("bad", f"limit {limit.limit}{of}", limit.measured, column, width)
            yield from _more(f"rule: {limit.rule}; {limit.hint}", width)


def _rules(told: Summary, width: int) -> Iterator[Line]:
    names = [rule.rule + (f" (before {rule.step})" if rule.step else "") for rule in told.rules]
    column = min(max(map(len, names), default=0), width // 3)
    for name, rule in zip(names, told.rules, strict=True):
        style = "good" if rule.within else "unsure" if rule.passes else "bad"
        yield from _row(style, name, rule.words, column, width)
        if not rule.within:
            yield from _more(f"rule: {rule.limit} ({rule.source})", width)
        if not rule.passes and rule.hint:
            yield from _more(f"would make it pass: {rule.hint}", width)


def _steps(told: Summary, column: int, width: int) -> Iterator[Line]:
    for step in told.steps:
        style = _step_style(step)
        yield from _row(style, step.name, f"{step.outcome.value}: {step.fault}", column, width)
        if step.targets and step.outcome is not StepOutcome.SKIPPED:
            targets = ", ".join(target.name or target.id for target in step.targets)
            yield from _more(f"{blast_radius(step)}: {targets}", width)
        if step.injected is not None:
            yield from _more(_stay(step), width)
        for trouble in step.troubles[-1:]:
            again = f" ({len(step.troubles)} times)" if len(step.troubles) > 1 else ""
            yield from _more(f"{trouble.doing}: {trouble.error}{again}", width, "bad")


def _step_style(step: StepResult) -> str:
    match step.outcome:
        case StepOutcome.OWED:
            return "bad"
        case StepOutcome.SKIPPED | StepOutcome.WAITING:
            return "dim"
        case StepOutcome.RESTORED if step.effect_seen is not None and not step.effect_lost:
            return "good"
    return "unsure"


def _stay(step: StepResult) -> str:
    start = step.injected or 0.0
    seen = "effect seen" if step.effect_seen is not None else "no effect seen"
    seen += ", and lost before its end" if step.effect_lost else ""
    if step.restored is None:
        return f"in place since {offset(start)}, {seen}"
    return f"{offset(start)} → {offset(step.restored)} ({seconds(step.restored - start)}), {seen}"


def _checks(told: Summary, column: int) -> Iterator[Line]:
    styles = {Outcome.HELD: "good", Outcome.BROKE: "bad", Outcome.UNKNOWN: "unsure", None: "dim"}
    sampled = [check for check in told.checks if check.samples]
    if sampled:
        heads = f"{'before':>8}{'during':>9}{'after':>8}"
        yield [(f"    {'':{column}}{heads}  of samples held", "dim")]
    for check in told.checks:
        yield _series(styles[check.outcome], check, column)


def _guards(told: Summary, column: int) -> Iterator[Line]:
    for guard in told.guards:
        style = "bad" if guard.tripped is not None else "good" if guard.samples else "dim"
        yield _series(style, guard, column)
        if guard.tripped is not None:
            yield [("      ", ""), (f"tripped at {offset(guard.tripped)}", "bad")]


def _series(style: str, series: CheckResult | GuardResult, column: int) -> Line:
    counts = f"{_held(series.before):>8}{_held(series.during):>9}{_held(series.after):>8}"
    line: Line = [
        ("  ", ""),
        (_MARK[style], style),
        (f" {_fit(series.name, column)}", ""),
        (counts, "" if series.samples else "dim"),
        ("  ", ""),
    ]
    return [*line, *sparkline(series.samples)]


def _held(counts: Counts) -> str:
    return f"{counts.held}/{counts.total}" if counts.total else "-"


def sparkline(samples: Sequence[Sample], cells: int = _SPARK) -> Line:
    """Samples as a row of bars, each the highest of its stretch; failures are marked ✖."""
    if not samples:
        return []
    size = max(1, -(-len(samples) // cells))
    stretches = [samples[i : i + size] for i in range(0, len(samples), size)]
    values = [sample.value for sample in samples if sample.value is not None]
    low, high = (min(0.0, *values), max(values)) if values else (0.0, 0.0)
    line: Line = []
    for stretch in stretches:
        outcomes = {sample.outcome for sample in stretch}
        if Outcome.BROKE in outcomes:
            line.append((_MARK["bad"], "bad"))
        elif Outcome.UNKNOWN in outcomes:
            line.append((_MARK["unsure"], "unsure"))
        else:
            top = max((s.value for s in stretch if s.value is not None), default=low)
            part = (top - low) / (high - low) if high > low else 0.0
            line.append((_BARS[min(7, int(part * 8))], "good"))
    return line


def _bullets(told: Summary, sentences: Sequence[str], width: int) -> Iterator[Line]:
    for sentence in sentences:
        command = told.repeat if sentence.endswith(told.repeat) else ""
        for index, line in enumerate(_wrapped(sentence.removesuffix(command), width - 4)):
            yield [("  · " if index == 0 else "    ", "dim"), (line, "")]
        if command:  # whole, so that it can be copied
            yield [(f"    {clean(command)}", "bold")]


def _row(style: str, name: str, text: str, column: int, width: int) -> Iterator[Line]:
    lines = _wrapped(text, width - column - 6) or [""]
    yield [("  ", ""), (_MARK[style], style), (f" {_fit(name, column)}  ", ""), (lines[0], "")]
    for line in lines[1:]:
        yield [(" " * (column + 6) + line, "")]


def _more(text: str, width: int, style: str = "dim") -> Iterator[Line]:
    for line in _wrapped(text, width - 6):
        yield [("      ", ""), (line, style)]


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width`; a word that is longer, such as a command, is not cut."""
    return wrap(clean(text), width, break_long_words=False, break_on_hyphens=False)


def _fit(text: str, width: int) -> str:
    text = clean(text)
    return f"{text[: width - 1]}…" if len(text) > width else f"{text:{width}}"
