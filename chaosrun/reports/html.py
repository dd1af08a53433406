"""The summary as one HTML page that needs nothing else: no network, no server, no scripts.

Law: every text is escaped, and a Content-Security-Policy in the page lets nothing run but the
scripts that came with it, and nothing be fetched. Without scripts only the charts are
missing: their numbers stand in tables.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from chaosrun.events import Moment, Outcome, Verdict
from chaosrun.reports.learned import blast_radius
from chaosrun.reports.question import as_yaml
from chaosrun.reports.result import CheckResult, Counts, GuardResult, Summary
from chaosrun.reports.series import thin, worst
from chaosrun.reports.timeline import Timeline, timeline
from chaosrun.reports.wording import clean, number, offset, seconds, share
from chaosrun.units import JSON
from chaosrun.verdicts import MEANING

MOST_POINTS: Final = 2000
"""Points of one chart before held samples are thinned out."""

_HERE: Final = Path(__file__).parent
_MEASURE: Final = re.compile(r"(\d) (ms|s|min|h)\b")
_MOMENTS: Final = {moment: index for index, moment in enumerate(Moment)}
_OUTCOMES: Final = {outcome: index for index, outcome in enumerate(Outcome)}


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A check or a guard as the page shows it."""

    id: str
    name: str
    probe: str
    every: str
    says: str
    condition: str
    note: str
    status: str
    style: str
    told: str
    plotted: str
    rows: tuple[tuple[str, ...], ...]


def html(told: Summary) -> str:
    """The page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # 40 ms, only for pages

    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    environment.filters |= {
        "seconds": seconds, "offset": offset, "share": share, "raw": _raw, "block": _block,
        "blast_radius": blast_radius, "command": _command, "sentence": _sentence,
    }  # fmt: skip
    checks = [_check(index, check) for index, check in enumerate(told.checks)]
    guards = [_guard(index, guard) for index, guard in enumerate(told.guards)]
    times = timeline(told)
    scripts = tuple(_asset(name) for name in ("crisp.js", "uplot.min.js", "report.js"))
    page: str = environment.get_template("report.html.j2").render(
        told=told,
        word=told.verdict.value if told.verdict else "running",
        meaning=MEANING[told.verdict] if told.verdict else "it has not ended",
        facts=list(_facts(told)),
        times=times,
        checks=checks,
        guards=guards,
        gates=[gate for gate in told.gates if not (gate.step and gate.open)],
        shut=any(not gate.open for gate in told.gates) or told.verdict is Verdict.REFUSED,
        yaml=as_yaml(told.experiment) if told.experiment else "",
        styles=_asset("uplot.min.css") + _asset("report.css"),
        licence=_asset("uplot.LICENSE"),
        scripts=scripts,
        hashes=" ".join(f"'sha256-{_hash(script)}'" for script in scripts),
        data=_in_script(_data(told, times)),
    )
    return page + "\n"


def _facts(told: Summary) -> Iterator[tuple[str, str]]:
    if told.verdict is not None:
        yield "Duration", seconds(told.duration)
    touched = [step for step in told.steps if step.leased is not None]
    if touched:
        widest = max(touched, key=lambda step: (step.share or 0.0, len(step.targets)))
        yield "Blast radius", blast_radius(widest)
        during = [check.during for check in told.checks]
        held, total = sum(c.held for c in during), sum(c.total for c in during)
        yield "Samples held", f"{held} of {total}" if total else "none taken"
    else:
        yield "Blast radius", "nothing was touched"
    if told.recovery is not None:
        yield "Recovered in", seconds(told.recovery) if told.recovery >= 0.001 else "no time"
    if told.reaction is not None:
        yield "Reacted in", seconds(told.reaction)
    if told.owed:
        yield (
            "Still owed" if told.verdict else "In place",
            f"{len(told.owed)} of {len(told.steps)} steps",
        )
    yield "Started", told.started[:16].replace("T", " ") + " UTC"


def _check(index: int, check: CheckResult) -> Card:
    words = {
        Outcome.HELD: ("held", "good"),
        Outcome.BROKE: ("broke", "bad"),
        Outcome.UNKNOWN: ("unknown", "unsure"),
    }
    status, style = words[check.outcome] if check.outcome else ("not sampled", "none")
    note = f"{share(check.tolerate)} of the samples may fail" if check.tolerate else ""
    return _card(f"check-{index}", check, "expected", check.expect, note, status, style)


def _guard(index: int, guard: GuardResult) -> Card:
    status, style = ("quiet", "good") if guard.samples else ("not sampled", "none")
    if guard.tripped is not None:
        status, style = f"tripped at {offset(guard.tripped)}", "bad"
    note = f"trips when it hurts for {seconds(guard.for_)}" if guard.for_ else "trips at once"
    return _card(f"guard-{index}", guard, "hurts when", guard.when, note, status, style)


def _card(
    id_: str,
    series: CheckResult | GuardResult,
    says: str,
    condition: str,
    note: str,
    status: str,
    style: str,
) -> Card:
    bad = worst(series)
    moments = (("before", series.before), ("during", series.during), ("after", series.after))
    rows = tuple(_row(name, c, series.unit, bad) for name, c in moments if c.total)
    summary = "; ".join(f"{row[0]}: {row[1]} held" for row in rows)
    return Card(
        id=id_,
        name=series.name,
        probe=series.probe,
        every=seconds(series.every),
        says=says,
        condition=condition,
        note=note,
        status=status,
        style=style,
        told=f"{series.plotted or 'outcome'} over time. {summary}",
        plotted=f"{series.plotted} ({series.unit})" if series.unit else series.plotted,
        rows=rows,
    )


def _row(name: str, counts: Counts, unit: str, bad: str) -> tuple[str, ...]:
    extreme = counts.most if bad == "most" else counts.least
    return (
        name,
        f"{counts.held} of {counts.total}",
        number(counts.median, unit) if counts.median is not None else "",
        number(extreme, unit) if extreme is not None else "",
    )


def _data(told: Summary, times: Timeline) -> JSON:
    """What the charts draw: columns of numbers, and the texts of the samples that failed."""
    charts: dict[str, JSON] = {}
    charts |= {f"check-{i}": _chart(check) for i, check in enumerate(told.checks) if check.samples}
    charts |= {f"guard-{i}": _chart(guard) for i, guard in enumerate(told.guards) if guard.samples}
    return {
        "end": times.end,
        "bands": [[clean(name), start, stop] for name, start, stop in times.bands],
        "marks": [[at, clean(label)] for at, label in times.marks],
        "charts": charts,
    }


def _chart(series: CheckResult | GuardResult) -> JSON:
    samples = thin(series.samples, MOST_POINTS)
    return {
        "field": clean(series.plotted),
        "unit": series.unit,
        "guard": isinstance(series, GuardResult),
        "every": series.every,
        "bounds": [[bound.operator, bound.value] for bound in series.thresholds],
        "t": [round(sample.at, 3) for sample in samples],
        "v": [None if s.value is None else float(f"{s.value:.5g}") for s in samples],
        "m": "".join(str(_MOMENTS[sample.moment]) for sample in samples),
        "o": "".join(str(_OUTCOMES[sample.outcome]) for sample in samples),
        "r": {str(i): clean(s.reason)[:200] for i, s in enumerate(samples) if s.reason},
    }


@cache
def _asset(name: str) -> str:
    return (_HERE / "assets" / name).read_text(encoding="utf-8").strip()


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _in_script(data: JSON) -> str:
    """JSON that cannot end the script element it stands in."""
    text = msgspec.json.encode(data).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _raw(text: str) -> Any:
    """Our own assets, as they are."""
    from markupsafe import Markup

    return Markup(text)


def _command(text: str) -> Any:
    """A command line that breaks between its words and not at a dash."""
    from markupsafe import Markup

    return Markup(" ").join(Markup("<span>{}</span>").format(w) for w in clean(text).split(" "))


def _sentence(text: str) -> Any:
    """A sentence of ours: commands in backquotes are code, a number stays with its unit."""
    from markupsafe import Markup, escape

    parts = _MEASURE.sub("\\1\u00a0\\2", clean(text)).split("`")
    if len(parts) % 2 == 0:  # a backquote came from outside
        return escape("`".join(parts))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


def _block(text: str) -> Any:
    """Text of several lines, escaped, its line ends kept."""
    from markupsafe import Markup, escape

    return Markup("\n").join(escape(clean(line)) for line in text.splitlines())
