"""Freezes out of iCalendar text: what closes, and what is refused."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from chaosrun.calendars import Calendar
from chaosrun.calendars.icalendars import check, events_near
from chaosrun.calendars.zones import zone_of
from chaosrun.errors import Refused
from tests.calendars.oracle import at

BERLIN = zone_of("Europe/Berlin")


def icalendar(*lines: str) -> str:
    event = ["BEGIN:VEVENT", "UID:1", "SUMMARY:Freeze", *lines, "END:VEVENT"]
    whole = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//shop//EN", *event, "END:VCALENDAR", ""]
    return "\r\n".join(whole)


@pytest.mark.parametrize(
    ("lines", "start", "end"),
    [
        (
            ["DTSTART;VALUE=DATE:20261125", "DTEND;VALUE=DATE:20261128"],
            "2026-11-24T23:00", "2026-11-27T23:00",
        ),
        (["DTSTART;VALUE=DATE:20261125"], "2026-11-24T23:00", "2026-11-25T23:00"),
        (["DTSTART:20261125T100000"], "2026-11-25T09:00", "2026-11-25T23:00"),
        (["DTSTART:20261125T100000Z", "DURATION:PT2H"], "2026-11-25T10:00", "2026-11-25T12:00"),
        (
            ["DTSTART;TZID=America/New_York:20261125T100000", "DURATION:PT1H"],
            "2026-11-25T15:00", "2026-11-25T16:00",
        ),
        (
            ["DTSTART:20261125T100000Z", "DTEND:20261125T110000Z", "TRANSP:TRANSPARENT"],
            "2026-11-25T10:00", "2026-11-25T11:00",
        ),
        (
            ["DTSTART:20200101T100000Z", "DTEND:20290101T110000Z"],  # far over the edges
            "2020-01-01T10:00", "2029-01-01T11:00",
        ),
    ],
    ids=[
        "days", "a day", "without an end", "with a duration", "in its own zone", "marked free",
        "for years",
    ],
)  # fmt: skip
def test_an_event_closes_from_its_start_to_its_end(lines: list[str], start: str, end: str) -> None:
    found = events_near(icalendar(*lines), at("2026-11-25T10:30"), BERLIN)
    assert found == ((at(start), at(end), "Freeze"),)


def test_a_repeated_event_without_its_exception_closes_each_time() -> None:
    text = icalendar(
        "DTSTART;TZID=America/New_York:20261020T100000",
        "DTEND;TZID=America/New_York:20261020T113000",
        "RRULE:FREQ=WEEKLY;COUNT=4",
        "EXDATE;TZID=America/New_York:20261027T100000",
    )
    near = {
        *events_near(text, at("2026-10-20"), BERLIN),
        *events_near(text, at("2026-11-20"), BERLIN),
    }
    assert sorted(event.start for event in near) == [
        at("2026-10-20T14:00"), at("2026-11-03T15:00"), at("2026-11-10T15:00"),
    ]  # fmt: skip


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin"])
@pytest.mark.parametrize("ahead", range(-2, 3))
def test_a_day_closes_from_midnight_to_midnight_wherever_it_is_looked_up(
    zone: str, ahead: int
) -> None:
    edge = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=32 * 650)  # of what is read at once
    day = (edge + timedelta(days=ahead)).date()
    text = icalendar(f"DTSTART;VALUE=DATE:{day:%Y%m%d}")
    calendar = Calendar(
        timezone=zone, days=("mon-sun",), hours=("00:00-24:00",), icalendars=(text,)
    )
    for hour in range(-120, 120):
        instant = edge + timedelta(hours=hour)
        there = instant.astimezone(ZoneInfo(zone)).date()
        assert calendar.opening(instant).open is (there != day)


def test_a_cancelled_event_closes_nothing() -> None:
    text = icalendar("DTSTART:20261125T100000Z", "STATUS:CANCELLED")
    assert events_near(text, at("2026-11-25"), BERLIN) == ()


def test_the_reason_names_the_event_and_its_end() -> None:
    text = icalendar("DTSTART;VALUE=DATE:20261125", "DTEND;VALUE=DATE:20261128")
    calendar = Calendar(timezone="Europe/Berlin", icalendars=(text,))
    found = calendar.is_open(at("2026-11-26T10:00"))
    assert not found.open
    assert "freeze Freeze, until Sat 2026-11-28 00:00 in Europe/Berlin" in found.measured
    assert found.hint == "it opens Mon 2026-11-30 09:00 in Europe/Berlin"


WHOLE = icalendar("DTSTART:20261125T100000Z")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html><body>Sign in</body></html>",
        "BEGIN:VEVENT\r\nUID:1\r\nDTSTART:20261125T100000Z\r\nEND:VEVENT\r\n",
        WHOLE.removesuffix("END:VCALENDAR\r\n"),
        WHOLE[: len(WHOLE) // 2],
        icalendar(),
        icalendar("DTSTART:2026"),
        icalendar("DTSTART:20261125T100000Z", "DTEND:rubbish"),
        icalendar("DTSTART:20261125T100000Z", "DURATION:rubbish"),
        icalendar("DTSTART:20261125T100000Z", "RRULE:FREQ=NEVER"),
        icalendar("DTSTART:20261125T100000Z", "RRULE:FREQ=WEEKLY;UNTIL=rubbish"),
        icalendar("DTSTART:20261125T100000Z", "EXDATE:rubbish"),
        icalendar("DTSTART:20261125T100000Z", "RRULE:FREQ=SECONDLY"),
        icalendar("DTSTART;TZID=Mars/Base:20261125T100000"),
        icalendar("DTSTART:20261125T100000Z") + "x" * 5_000_000,
    ],
)
def test_what_cannot_be_read_whole_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="iCalendar"):
        check(text)


def test_no_cut_through_a_calendar_is_taken_for_a_calendar_with_fewer_events() -> None:
    for end in range(len(WHOLE) - len("\r\n")):
        with pytest.raises(Refused):
            check(WHOLE[:end])


@pytest.mark.parametrize("library", ["icalendar", "recurring_ical_events"])
def test_without_its_libraries_an_icalendar_is_refused(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed
    with pytest.raises(Refused) as caught:
        check(icalendar("DTSTART:20261125T100000Z", f"COMMENT:{library}"))
    assert caught.value.hint == "pip install 'chaosrun[calendars]'"
