"""What schedules will do, as a picture: one strip for each, a column for each day.

Law: a pure function of the fires; every text is escaped, and the page needs nothing else. What the
picture says, the table below it says in words: nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from html import escape
from itertools import groupby

import msgspec

from chaosrun.reports.wording import clean, count
from chaosrun.schedules.fires import Fire, NoFire, Timetable

_DAY = timedelta(days=1)
_LEFT, _TOP, _COLUMN, _HEIGHT, _BOTTOM, _RIGHT = 44, 34, 30, 144, 8, 24
_WEEK = "MTWTFSS"
_MOST_ROWS = 2000

_STYLE = """
:root{--ink:#1d2733;--dim:#5f6c7b;--line:#d8dee6;--paper:#fff;--open:#e4f0e8;--shut:#f1f2f4;--fire:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf1;--dim:#9aa7b5;--line:#39434f;--paper:#171c22;
--open:#20382a;--shut:#20262d;--fire:#ff8a7a}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:2rem auto;
max-width:64rem;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 0}p{margin:.2rem 0;color:var(--dim)}
figure{margin:.6rem 0;overflow-x:auto}svg{display:block}
svg text{font:11px system-ui,sans-serif;fill:var(--dim)}
.open{fill:var(--open)}.shut{fill:var(--shut)}.line{stroke:var(--line)}.month{fill:var(--ink);font-weight:600}
.fire{fill:var(--fire)}.none{stroke:var(--dim);stroke-width:1.2}
details{margin:.4rem 0}summary{cursor:pointer;color:var(--dim)}
table{border-collapse:collapse;margin:.5rem 0}td,th{text-align:left;padding:.1rem 1.2rem .1rem 0;
vertical-align:top;font-variant-numeric:tabular-nums}th{color:var(--dim);font-weight:600}
.key span{margin-right:1.4rem}
"""


class Strip(msgspec.Struct, frozen=True):
    """One schedule and what was found for it."""

    table: Timetable
    told: Sequence[Fire | NoFire]
    start: datetime
    end: datetime

    @property
    def fires(self) -> list[Fire]:
        return [each for each in self.told if isinstance(each, Fire)]


def page(strips: Sequence[Strip]) -> str:
    """All strips as one HTML page."""
    start = min(strip.start.astimezone(strip.table.zone) for strip in strips)
    end = max(strip.end.astimezone(strip.table.zone) for strip in strips)
    period = f"{start:%d %B %Y} to {end - _DAY / 24:%d %B %Y}"
    parts = [_section(strip) for strip in strips]
    total = sum(len(strip.fires) for strip in strips)
    said = f"{count(total, 'fire')} of {count(len(strips), 'schedule')}, {period}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>{escape(said)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>What the schedules will do</h1><p>{escape(said)}</p>"
        f'<p class="key">{_key()}</p>' + "".join(parts) + "</body></html>\n"
    )


def picture(strips: Sequence[Strip]) -> str:
    """All strips as one SVG."""
    drawn = [_drawing(strip) for strip in strips]
    width = max((width for _, width in drawn), default=100)
    height = (_TOP + _HEIGHT + _BOTTOM + 22) * len(drawn)
    shifted = [
        f'<g transform="translate(0,{number * (_TOP + _HEIGHT + _BOTTOM + 22) + 20})">'
        f'<text class="month" x="0" y="-6">{escape(clean(strip.table.name))}</text>{inner}</g>'
        for number, ((inner, _), strip) in enumerate(zip(drawn, strips, strict=True))
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}"><style>{_STYLE}</style>{"".join(shifted)}</svg>\n'
    )


def _key() -> str:
    return (
        '<span><svg width="12" height="12" style="display:inline"><circle class="fire" cx="6" '
        'cy="6" r="4"/></svg> a fire</span>'
        '<span><svg width="12" height="12" style="display:inline"><rect class="open" width="12" '
        'height="12"/></svg> open hours</span>'
        '<span><svg width="12" height="12" style="display:inline"><line class="none" x1="2" '
        'y1="6" x2="10" y2="6"/></svg> a day without a fire: rest on it to read why</span>'
    )


def _section(strip: Strip) -> str:
    inner, width = _drawing(strip)
    spec = strip.table.schedule.spec
    height = _TOP + _HEIGHT + _BOTTOM
    name = clean(strip.table.name)
    label = f"{name}: {count(len(strip.fires), 'fire')}"
    title = f" · {escape(clean(spec.title))}" if spec.title else ""
    return (
        f"<section><h2>{escape(name)}{title}</h2>"
        f"<p>{escape(when(strip.table))}; {count(len(strip.fires), 'fire')}</p>"
        f'<figure><svg role="img" aria-label="{escape(label)}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">{inner}</svg></figure>{_words(strip)}</section>'
    )


def _drawing(strip: Strip) -> tuple[str, int]:
    table, zone = strip.table, strip.table.zone
    first = strip.start.astimezone(zone).date()
    last = (strip.end - timedelta(seconds=1)).astimezone(zone).date()
    days = [first + n * _DAY for n in range((last - first).days + 1)]
    parts: list[str] = []
    for column, day in enumerate(days):
        # Each Monday has its date, and the first day too where that one has room.
        dated = day.weekday() == 0 or (day == first and day.weekday() < 5)
        parts += _column(table, day, _LEFT + column * _COLUMN, dated=dated)
    for hour in (0, 6, 12, 18, 24):
        y = _TOP + _HEIGHT * hour / 24
        right = _LEFT + len(days) * _COLUMN
        parts.append(f'<line class="line" x1="{_LEFT}" x2="{right}" y1="{y:g}" y2="{y:g}"/>')
        parts.append(f'<text x="4" y="{y + 4:g}">{hour:02}:00</text>')
    for each in strip.told:
        parts.append(_mark(each, table, first))
    return "".join(parts), _LEFT + len(days) * _COLUMN + _RIGHT


def _column(table: Timetable, day: date, x: int, *, dated: bool) -> Iterator[str]:
    width = _COLUMN - 2
    yield f'<rect class="shut" x="{x}" y="{_TOP}" width="{width}" height="{_HEIGHT}"/>'
    for begin, end in table.days.spans(day):
        top, bottom = _y(begin, table, day), _y(end, table, day)
        yield (
            f'<rect class="open" x="{x}" y="{top:.1f}" width="{width}" '
            f'height="{max(0.5, bottom - top):.1f}"/>'
        )
    if dated:
        yield f'<text class="month" x="{x}" y="12">{day:%d %b}</text>'
    yield f'<text x="{x + _COLUMN // 2 - 4}" y="{_TOP - 6}">{_WEEK[day.weekday()]}</text>'


def _y(instant: datetime, table: Timetable, day: date) -> float:
    wall = instant.astimezone(table.zone)
    if wall.date() > day:
        return float(_TOP + _HEIGHT)
    return _TOP + _HEIGHT * (wall.hour * 60 + wall.minute) / 1440


def _mark(each: Fire | NoFire, table: Timetable, first: date) -> str:
    if isinstance(each, NoFire):
        x = _LEFT + (each.day - first).days * _COLUMN + _COLUMN / 2 - 1
        y = _TOP + _HEIGHT / 2
        said = escape(clean(f"{each.day:%a %d %b}: {each.reason}"))
        return (
            f'<g><title>{said}</title><rect x="{x - _COLUMN / 2 + 1:g}" y="{_TOP}" '
            f'width="{_COLUMN - 2}" height="{_HEIGHT}" fill="transparent"/>'
            f'<line class="none" x1="{x - 5:g}" x2="{x + 5:g}" y1="{y:g}" y2="{y:g}"/></g>'
        )
    wall = each.at.astimezone(table.zone)
    x = _LEFT + (wall.date() - first).days * _COLUMN + _COLUMN / 2 - 1
    said = escape(f"{wall:%a %d %b %H:%M:%S}")
    y = _y(each.at, table, wall.date())
    return f'<circle class="fire" cx="{x:g}" cy="{y:.1f}" r="3.5"><title>{said}</title></circle>'


def _words(strip: Strip) -> str:
    rows = []
    for day, said in days(strip)[:_MOST_ROWS]:
        rows.append(f"<tr><td>{day:%a %d %b %Y}</td><td>{escape(clean(said))}</td></tr>")
    return (
        "<details><summary>every day in words</summary><table><tr><th>day</th><th>fires, or why "
        f"there is none</th></tr>{''.join(rows)}</table></details>"
    )


def days(strip: Strip) -> list[tuple[date, str]]:
    """Each day with its fires, or why there is none."""
    zone = strip.table.zone
    found = []
    for day, each in groupby(strip.told, lambda x: x.day if isinstance(x, NoFire) else
                             x.at.astimezone(zone).date()):  # fmt: skip
        whole = list(each)
        times = [f"{x.at.astimezone(zone):%H:%M:%S}" for x in whole if isinstance(x, Fire)]
        if times:
            shown = ", ".join(times[:12])
            found.append((day, shown + (f" and {len(times) - 12} more" if times[12:] else "")))
        else:
            found += [(day, f"none: {x.reason}") for x in whole if isinstance(x, NoFire)]
    return found


def when(table: Timetable) -> str:
    """A schedule's trigger in a few words: `cron 30 10 * * 1-5 in Europe/Berlin`."""
    spec = table.schedule.spec
    if spec.cron:
        words = f"cron {spec.cron}"
    elif spec.interval is not None:
        words = f"every {spec.interval}"
    else:
        assert spec.random is not None, "a schedule has one of the three"
        words = f"at random, each {spec.random.mean_days:g} open days on average"
        if spec.random.gap_days:
            words += f", at least {spec.random.gap_days:g} apart,"
    later = f", up to {spec.jitter} later" if spec.jitter else ""
    return f"{words}{later} in {spec.timezone}"
