"""The summary as Markdown, for a pull request, a chat or a GitHub step summary.

Law: no text from outside becomes markup or a mention.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from chaosrun.events import Outcome, Verdict
from chaosrun.reports.learned import blast_radius
from chaosrun.reports.question import as_yaml
from chaosrun.reports.result import CheckResult, Counts, GuardResult, StepResult, Summary
from chaosrun.reports.wording import clean, number, offset, seconds

_ICON: Final[dict[Verdict | None, str]] = {
    Verdict.PASSED: "✅",
    Verdict.DEVIATED: "❌",
    Verdict.ABORTED: "🛑",
    Verdict.ERROR: "💥",
    Verdict.STRANDED: "🚨",
    Verdict.REFUSED: "🔒",
    Verdict.INCONCLUSIVE: "❔",
    Verdict.CANCELLED: "⏹️",
    None: "⏳",
}
_OUTCOME: Final = {
    Outcome.HELD: "✅ held",
    Outcome.BROKE: "❌ broke",
    Outcome.UNKNOWN: "❔ unknown",
}
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~&@:])")
_LARGEST: Final = 60_000
"""Characters of YAML; GitHub cuts a summary at 1 MiB and a comment at 65,536."""


def markdown(told: Summary) -> str:
    """The summary, headed by its verdict, ending in a line end."""
    word = told.verdict.value if told.verdict else "running"
    facts = [f"**{_text(told.reason)}**", "", _facts(told)]
    parts = [
        [f"## {_ICON[told.verdict]} {word}: {_text(told.title)}", "", *facts],
        _section("What was learned", _bullets(told.learned, told)),
        _section("What to do next", _bullets(told.next, told)),
        _section("Steps", _steps(told)),
        _section("Steady state", _checks(told)),
        _section("Guards", _guards(told)),
        _section("Gates and limits", _gates(told)),
        _question(told),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _facts(told: Summary) -> str:
    facts = [
        _code(told.name),
        f"run {_code(told.run)}",
        seconds(told.duration),
        f"seed {told.seed}",
    ]
    if told.schedule:
        facts.append(f"schedule {_code(told.schedule)}")
    if told.owner:
        facts.append(f"owner {_code(told.owner)}")
    if told.recovery is not None:
        facts.append(f"recovered in {seconds(told.recovery)}")
    return " · ".join(facts)


def _section(title: str, body: Sequence[str]) -> list[str]:
    return [f"### {title}", "", *body] if body else []


def _bullets(sentences: Sequence[str], told: Summary) -> list[str]:
    lines = []
    for sentence in sentences:
        command = told.repeat if told.repeat and sentence.endswith(told.repeat) else ""
        text = _text(sentence.removesuffix(command)) if command else _sentence(sentence)
        lines.append(f"- {text}{_code(command) if command else ''}")
    return lines


def _sentence(text: str) -> str:
    """Our own sentences hold commands in backquotes: these stay code."""
    parts = clean(text).split("`")
    if len(parts) % 2 == 0:
        return _text(text)
    return "".join(_code(p) if i % 2 else _text(p) for i, p in enumerate(parts))


def _effect(step: StepResult) -> str:
    if step.effect_lost:
        return f"lost before its end: {_text(step.effect_lost)}"
    return _text(step.effect_detail) if step.effect_seen is not None else "not seen"


def _steps(told: Summary) -> list[str]:
    rows = [
        (
            _text(step.name),
            _code(step.fault),
            _text(step.outcome.value),
            _targets(step),
            _stay(step),
            _effect(step),
        )
        for step in told.steps
    ]
    return _table(("step", "fault", "outcome", "blast radius", "in place", "effect"), rows)


def _targets(step: StepResult) -> str:
    if not step.targets:
        return "-"
    names = ", ".join(_code(target.name or target.id) for target in step.targets[:5])
    more = f" and {len(step.targets) - 5} more" if len(step.targets) > 5 else ""
    return f"{_text(blast_radius(step))}: {names}{more}"


def _stay(step: StepResult) -> str:
    if step.injected is None:
        return "-"
    if step.restored is None:
        return f"since {offset(step.injected)}"
    return f"{offset(step.injected)} → {offset(step.restored)}"


def _checks(told: Summary) -> list[str]:
    rows = [
        (
            _text(check.name),
            _code(check.expect),
            _OUTCOME[check.outcome] if check.outcome else "not sampled",
            *_columns(check),
        )
        for check in told.checks
    ]
    return _table(("check", "expected", "outcome", "before", "during", "after"), rows)


def _guards(told: Summary) -> list[str]:
    rows = [
        (
            _text(guard.name),
            _code(guard.when),
            f"🛑 tripped at {offset(guard.tripped)}" if guard.tripped is not None else "quiet",
            *_columns(guard),
        )
        for guard in told.guards
        if guard.samples
    ]
    return _table(("guard", "hurts when", "outcome", "before", "during", "after"), rows)


def _columns(series: CheckResult | GuardResult) -> Iterator[str]:
    for counts in (series.before, series.during, series.after):
        yield _held(counts, series.unit)


def _held(counts: Counts, unit: str) -> str:
    if not counts.total:
        return "-"
    middle = f", median {number(counts.median, unit)}" if counts.median is not None else ""
    return f"{counts.held} of {counts.total} held{middle}"


def _gates(told: Summary) -> list[str]:
    rows = [
        (
            _text(gate.gate + (f" (before {gate.step})" if gate.step else "")),
            "open" if gate.open else "🔒 closed",
            _text(gate.measured),
            _text(gate.rule),
            _text(gate.hint),
        )
        for gate in told.gates
        if not (gate.step and gate.open)
    ]
    rows += [
        (
            _text(f"limit {limit.limit}" + (f" of {limit.step}" if limit.step else "")),
            "within" if limit.within else "🔒 over",
            _text(limit.measured),
            _text(limit.rule),
            _text(limit.hint),
        )
        for limit in told.limits
    ]
    rows += [
        (
            _text(f"policy {rule.rule}" + (f" (before {rule.step})" if rule.step else "")),
            rule.answer if rule.passes else "🔒 not met",
            _text(rule.words),
            _text(f"{rule.limit} ({rule.source})"),
            _text(rule.hint if not rule.passes else ""),
        )
        for rule in told.rules
    ]
    head = "gate, limit or policy" if told.rules else "gate or limit"
    return _table((head, "", "measured", "rule", "what would help"), rows)


def _question(told: Summary) -> list[str]:
    if not told.experiment:
        return []
    yaml = as_yaml(told.experiment)
    if len(yaml) > _LARGEST:
        yaml = yaml[:_LARGEST] + "\n# ... cut: the file is longer\n"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", yaml)), default=0))
    return [
        "<details><summary>How to repeat it, and the experiment</summary>",
        "",
        f"{fence}sh",
        clean(told.repeat),
        fence,
        "",
        f"{fence}yaml",
        yaml.rstrip("\n"),
        fence,
        "",
        "</details>",
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _text(text: str) -> str:
    """Text that stays text: markup is escaped, and a mention or a link comes to nothing."""
    return _MARKUP.sub(_escape, clean(text))


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character in "<>&":
        return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}[character]
    if character == "@":
        return "@\u200b"  # a mention needs its name right behind it
    if character in ".-:+!()":  # these are markup only where a line or a link begins
        return character
    return f"\\{character}"


def _code(text: str) -> str:
    """Text as code, also in a table cell, whatever backquotes it holds."""
    text = clean(text).replace("|", "\\|")
    if not text.strip():
        return ""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"
