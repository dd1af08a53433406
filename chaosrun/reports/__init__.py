"""Reports: what a run came to, for people, pages and pipelines.

Law (L7): a report is a pure function of the journal's events. `summary.py` makes the
result; each renderer shows that result and knows nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

from chaosrun.reports.writing import write_atomically

if TYPE_CHECKING:
    from chaosrun.events import AnyEvent
    from chaosrun.reports.result import Summary

__all__ = ["FORMATS", "render", "render_summary", "write_atomically"]

FORMATS: Final[Mapping[str, str]] = {
    "text": "terminal:terminal",
    "json": "json_report:json_report",
    "junit": "junit:junit",
    "markdown": "markdown:markdown",
    "html": "html:html",
}
"""Each format's renderer, as module:function of this package; imported when it is asked for."""


def render(name: str, events: Iterable[AnyEvent]) -> str:
    """The report of that name on the run that these events, from its first, tell of."""
    from chaosrun.reports.summary import summarise

    return render_summary(name, summarise(events))


def render_summary(name: str, told: Summary) -> str:
    """The report of that name on a summary. Raises Rejected for a name that there is not."""
    if name not in FORMATS:
        from chaosrun.errors import Rejected

        raise Rejected(f"unknown report {name!r}", hint=f"one of {', '.join(FORMATS)}")
    module, _, function = FORMATS[name].partition(":")
    text: str = getattr(import_module(f"chaosrun.reports.{module}"), function)(told)
    return text
