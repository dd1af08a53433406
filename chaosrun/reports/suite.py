"""The report on a suite: its verdict, how each experiment ended, and what each has learned.

Law (L7): a pure function of the runs' journals and of what never started. The verdict of the
whole is the loudest; a suite of which something never started has not passed.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Annotated, Final
from xml.etree import ElementTree as Xml

import msgspec
from msgspec import Meta

from chaosrun.codec import to_json
from chaosrun.errors import Rejected
from chaosrun.events import Verdict
from chaosrun.reports.junit import junit
from chaosrun.reports.learned import blast_radius
from chaosrun.reports.markdown import markdown
from chaosrun.reports.result import Part, Summary
from chaosrun.reports.terminal import terminal
from chaosrun.reports.wording import clean, count, seconds
from chaosrun.verdicts import exit_code

_UNFINISHED: Final = "unfinished"  # its driver may be at work, or gone
_MARK: Final = {Verdict.PASSED: "✔", None: "·"}
_ICON: Final = {Verdict.PASSED: "✅", None: "⏭️"}


class SuitePart(Part, frozen=True, kw_only=True):
    """One experiment of the suite. `result` is null where it never started, or is not known."""

    name: str
    verdict: Verdict | None = None
    reason: str = ""
    result: Summary | None = None


class SuiteSummary(Part, frozen=True, kw_only=True):
    """The result of a suite."""

    suite: Annotated[str, Meta(description="The first part of the ids of its runs")]
    name: str
    title: str = ""
    owner: str = ""
    source: str = ""
    verdict: Annotated[
        Verdict | None, Meta(description="The loudest; null until all of it has ended")
    ]
    exit_code: int | None
    reason: str
    duration: Annotated[float, Meta(description="From the first start to the last end")] = 0.0
    parts: tuple[SuitePart, ...] = ()


def conclude(parts: tuple[SuitePart, ...], signal: int = 0) -> tuple[Verdict, int, str]:
    """The verdict of the whole, its exit code, and why."""
    order = list(Verdict)
    ran = [part for part in parts if part.verdict is not None]
    loudest = min(ran, key=lambda p: order.index(p.verdict or Verdict.PASSED), default=None)
    skipped = [part for part in parts if part.verdict is None]
    if loudest is None or loudest.verdict is None:
        why = skipped[0].reason if skipped else "there was nothing to ask"
        return Verdict.REFUSED, exit_code(Verdict.REFUSED), why
    if loudest.verdict is Verdict.PASSED and not skipped:
        said = f"the steady state held in all {count(len(parts), 'experiment')}"
        return Verdict.PASSED, 0, said
    if loudest.verdict is Verdict.PASSED:
        said = f"{clean(skipped[0].name)}: {skipped[0].reason}"
        return Verdict.INCONCLUSIVE, exit_code(Verdict.INCONCLUSIVE), said
    code = exit_code(loudest.verdict, signal)
    return loudest.verdict, code, f"{clean(loudest.name)}: {loudest.reason}"


def _word(part: SuitePart) -> str:
    if part.verdict is None:
        return "not started" if part.result is None else _UNFINISHED
    return part.verdict.value


def render(kind: str, told: SuiteSummary, *, colour: bool = False, width: int = 80) -> str:
    """The report as text, json, junit, markdown or html. Raises Rejected for another name."""
    if kind == "text":
        return _text(told, colour=colour, width=width)
    renderers: dict[str, Callable[[SuiteSummary], str]] = {
        "json": _json, "junit": _junit, "markdown": _markdown, "html": _html,
    }  # fmt: skip
    if kind not in renderers:
        raise Rejected(f"unknown report {kind!r}", hint=f"one of text, {', '.join(renderers)}")
    return renderers[kind](told)


def _text(told: SuiteSummary, *, colour: bool, width: int) -> str:
    name = max((len(clean(part.name)) for part in told.parts), default=0)
    mark, word = _MARK.get(told.verdict, "✖"), told.verdict or _UNFINISHED
    lines = [f"{mark} {word}  suite {clean(told.title)}"]
    lines.append(f"  {clean(told.name)} · {told.suite} · {seconds(told.duration)}")
    lines += [f"  {clean(told.reason)}", ""]
    for part in told.parts:
        mark = _MARK.get(part.verdict, "✖")
        word = _word(part)
        lines.append(f"  {mark} {clean(part.name):{name}}  {word:12}  {clean(part.reason)}")
    texts = ["\n".join(lines) + "\n"]
    texts += [terminal(p.result, colour=colour, width=width) for p in told.parts if p.result]
    return "\n".join(texts)


def _json(told: SuiteSummary) -> str:
    return msgspec.json.format(to_json(told), indent=2).decode() + "\n"


def _junit(told: SuiteSummary) -> str:
    """One JUnit suite for each experiment; what never started is a skipped case."""
    root = Xml.Element("testsuites", {"name": clean(told.name)})
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for part in told.parts:
        if part.result is not None:
            suite = Xml.fromstring(junit(part.result))[0]
            suite.set("name", clean(part.name))
        else:
            counts = {"tests": "1", "failures": "0", "errors": "0", "skipped": "1", "time": "0"}
            suite = Xml.Element("testsuite", {"name": clean(part.name), **counts})
            case = Xml.SubElement(
                suite, "testcase", {"classname": clean(part.name), "name": "run", "time": "0"}
            )
            Xml.SubElement(case, "skipped", {"message": clean(part.reason)})
        for key in totals:
            totals[key] += int(suite.get(key, "0"))
        root.append(suite)
    for key, value in totals.items():
        root.set(key, str(value))
    root.set("time", f"{told.duration:.3f}")
    Xml.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{Xml.tostring(root, encoding="unicode")}\n'


def _markdown(told: SuiteSummary) -> str:
    icon = _ICON.get(told.verdict, "❌")
    heading = f"# {icon} {told.verdict or _UNFINISHED}: {_cell(told.title)}"
    lines = [heading, "", f"**{_cell(told.reason)}**", ""]
    lines += ["| experiment | verdict | why |", "|---|---|---|"]
    for part in told.parts:
        word = _word(part)
        sign = _ICON.get(part.verdict, "❌")
        lines.append(f"| {_cell(part.name)} | {sign} {word} | {_cell(part.reason)} |")
    texts = ["\n".join(lines)]
    texts += [markdown(part.result) for part in told.parts if part.result is not None]
    return "\n\n".join(texts) + "\n"


def _cell(text: str) -> str:
    plain = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace("@", "@\u200b")
    return "".join(f"\\{c}" if c in "\\`*_[]|#" else c for c in plain)


_STYLE: Final = """
:root{--ink:#1d2733;--dim:#5f6c7b;--line:#d8dee6;--paper:#fff;--good:#1b7f4b;--bad:#b3261e;--none:#8a96a3}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf1;--dim:#9aa7b5;--line:#39434f;--paper:#171c22;
--good:#5fce95;--bad:#ff8a7a}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:2rem auto;
max-width:60rem;padding:0 1rem}h1{font-size:1.6rem;margin:0}
h2{font-size:1.15rem;margin:2.2rem 0 .3rem}
p{margin:.3rem 0}.dim{color:var(--dim)}.good{color:var(--good)}.bad{color:var(--bad)}
.none{color:var(--none)}.word{white-space:nowrap}
table{border-collapse:collapse;width:100%;margin:.8rem 0}
td,th{text-align:left;padding:.35rem .8rem .35rem 0;border-bottom:1px solid var(--line);
vertical-align:top}th{color:var(--dim);font-weight:600}a{color:inherit}
.track{background:var(--line);height:.5rem;min-width:12rem;position:relative;border-radius:.25rem}
.track div{position:absolute;height:100%;border-radius:.25rem;background:currentColor;min-width:3px}
"""


def _html(told: SuiteSummary) -> str:
    rows = "".join(_row(told, part, number) for number, part in enumerate(told.parts))
    sections = "".join(_section(part, number) for number, part in enumerate(told.parts))
    word = told.verdict.value if told.verdict else _UNFINISHED
    meta = " · ".join(
        escape(clean(text))
        for text in (told.name, told.suite, told.owner, seconds(told.duration)) if text
    )  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src '
        f"'unsafe-inline'\"><title>{word}: {escape(clean(told.title))}</title>"
        f"<style>{_STYLE}</style></head><body>"
        f'<h1><span class="{_class(told.verdict)}">{_MARK.get(told.verdict, "✖")} {word}'
        f"</span> {escape(clean(told.title))}</h1><p>{escape(clean(told.reason))}</p>"
        f'<p class="dim">{meta}</p><table><tr><th>experiment</th><th>verdict</th><th>when</th>'
        f"<th>why</th></tr>{rows}</table>{sections}</body></html>\n"
    )


def _class(verdict: Verdict | None) -> str:
    return "none" if verdict is None else "good" if verdict is Verdict.PASSED else "bad"


def _row(told: SuiteSummary, part: SuitePart, number: int) -> str:
    word = _word(part)
    name = escape(clean(part.name))
    bar = ""
    if part.result is not None and told.duration > 0:
        first = min(p.result.started_at for p in told.parts if p.result)
        left = (part.result.started_at - first) / told.duration * 100
        width = part.result.duration / told.duration * 100
        bar = f'<div class="track"><div style="left:{left:.2f}%;width:{width:.2f}%"></div></div>'
    link = f'<a href="#part-{number}">{name}</a>' if part.result else name
    mark = _MARK.get(part.verdict, "✖")
    return (
        f'<tr><td>{link}</td><td class="{_class(part.verdict)} word">{mark} {word}</td>'
        f'<td class="{_class(part.verdict)}">{bar}</td>'
        f"<td>{escape(clean(part.reason))}</td></tr>"
    )


def _section(part: SuitePart, number: int) -> str:
    result = part.result
    if result is None:
        return ""
    steps = "".join(
        f"<tr><td>{escape(clean(s.name))}</td><td>{escape(s.fault)}</td>"
        f"<td>{escape(clean(blast_radius(s)))}</td><td>{escape(s.outcome.value)}</td></tr>"
        for s in result.steps
    )
    checks = "".join(
        f"<tr><td>{escape(clean(c.name))}</td><td>{escape(clean(c.expect))}</td>"
        f"<td>{c.during.held} of {c.during.total} held</td>"
        f"<td>{c.outcome.value if c.outcome else 'not sampled'}</td></tr>"
        for c in result.checks
    )
    return (
        f'<h2 id="part-{number}"><span class="{_class(part.verdict)}">{_word(part)}</span> '
        f"{escape(clean(part.name))}</h2><p>{escape(clean(result.title))}</p>"
        f'<p class="dim">run {escape(result.run)} · {seconds(result.duration)} · '
        f"<code>chaosrun report {escape(result.run)} --format html</code> has every sample</p>"
        + _bullets("Learned", result.learned)
        + _bullets("Next", result.next)
        + "<table><tr><th>step</th><th>fault</th><th>blast radius</th><th>outcome</th></tr>"
        f"{steps}</table><table><tr><th>check</th><th>expected</th><th>during</th>"
        f"<th>outcome</th></tr>{checks}</table>"
    )


def _bullets(title: str, sentences: tuple[str, ...]) -> str:
    items = "".join(f"<li>{escape(clean(each))}</li>" for each in sentences)
    return f"<p><b>{title}</b></p><ul>{items}</ul>" if items else ""
