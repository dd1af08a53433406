"""What a calendar says, and what it refuses to be."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import msgspec
import pytest

from chaosrun.calendars import Calendar, Closure, PublicHolidays, public_holidays
from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import Refused
from tests.calendars.oracle import at

HAIFA: dict[str, Any] = {
    "timezone": "Asia/Jerusalem",
    "days": ["sun-thu"],
    "hoursOf": {"thu": ["09:00-13:00"]},
    "holidays": [{"country": "IL"}],
    "companyDays": [{"dates": "2026-11-26", "name": "stocktaking"}],
    "freezes": [{"dates": "2026-11-29..2026-11-30", "name": "Black Friday"}],
}


def calendar(**changes: Any) -> Calendar:
    return from_plain({**HAIFA, **changes}, Calendar)


@pytest.mark.parametrize(
    ("instant", "closed_by"),
    [
        ("2026-11-24T10:00", ""),
        ("2026-11-24T06:59", "outside of 09:00-17:00"),
        ("2026-11-24T15:00", "outside of 09:00-17:00"),
        ("2026-11-19T12:00", "outside of 09:00-13:00"),
        ("2026-11-27T10:00", "Friday is not a working day"),
        ("2026-11-26T10:00", "company day stocktaking (2026-11-26)"),
        ("2026-11-30T10:00", "freeze Black Friday (2026-11-29..2026-11-30)"),
        ("2026-09-13T10:00", "public holiday of IL: Rosh Hashanah"),
    ],
)
def test_the_rule_that_closed_it_is_named(instant: str, closed_by: str) -> None:
    assert calendar().opening(at(instant)) == (not closed_by, closed_by)


def test_a_closed_calendar_says_what_time_it_is_there_the_rule_and_when_it_opens() -> None:
    found = calendar().is_open(at("2026-11-25T22:30"))
    assert not found.open
    assert found.measured == (
        "it is Thu 2026-11-26 00:30 in Asia/Jerusalem: company day stocktaking (2026-11-26)"
    )
    assert found.rule == (
        "open sun-thu 09:00-17:00, thu 09:00-13:00 in Asia/Jerusalem, but for public holidays of "
        "IL, company days, freezes"
    )
    assert found.hint == "it opens Tue 2026-12-01 09:00 in Asia/Jerusalem"


def test_an_open_calendar_says_when_it_closes() -> None:
    found = calendar().is_open(at("2026-11-24T10:00"))
    assert (found.open, found.hint) == (True, "")
    assert found.measured == (
        "it is Tue 2026-11-24 12:00 in Asia/Jerusalem; it closes Tue 2026-11-24 17:00 in "
        "Asia/Jerusalem"
    )


def test_a_calendar_that_stays_closed_for_years_says_so() -> None:
    frozen = calendar(freezes=[{"dates": "2026-01-01..2030-12-31"}])
    assert frozen.next_open(at("2026-11-24T10:00")) is None
    assert frozen.is_open(at("2026-11-24T10:00")).hint == "it does not open within two years"


def test_a_calendar_that_never_closes_has_no_next_close() -> None:
    always = Calendar(timezone="UTC", days=("mon-sun",), hours=("00:00-24:00",))
    assert always.next_close(at("2026-11-24T10:00")) is None
    assert always.is_open(at("2026-11-24T10:00")).measured == "it is Tue 2026-11-24 10:00 in UTC"


def test_seconds_count() -> None:
    closing = at("2026-11-24T15:00")
    assert calendar().opening(closing.replace(minute=59, hour=14, second=59)).open
    late = closing.replace(second=1, microsecond=5)
    assert calendar().next_open(late) == at("2026-11-25T07:00")


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="needs its time zone"):
        calendar().opening(datetime(2026, 11, 24, 10))


def test_a_calendar_survives_json() -> None:
    assert from_plain(to_plain(calendar()), Calendar) == calendar()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"timezone": "Europe/Atlantis"}, "not a time zone such as"),
        ({"timezone": "Europe"}, "not a time zone such as"),
        ({"timezone": ""}, "not a time zone such as"),
        ({"timezone": "../../etc/passwd"}, "not a time zone such as"),
        ({"days": ["monday"]}, "not of the form fri or sun-thu"),
        ({"days": ["mon-"]}, "not of the form fri or sun-thu"),
        ({"days": []}, "it would never open"),
        ({"hours": ["9-17"]}, "not of the form 09:00-17:00"),
        ({"hours": ["09:00-25:00"]}, "not of the form 09:00-17:00"),
        ({"hours": ["22:00-06:00"]}, "write 22:00-24:00 and 00:00-06:00"),
        ({"hours": ["09:00-09:00"]}, "end before they begin"),
        ({"hoursOf": {"fri": ["09:00-12:00"]}}, "not one of the working `days`"),
        ({"hoursOf": {"friday": ["09:00-12:00"]}}, "not one of mon, tue"),
        ({"hoursOf": {"thu": ["noon"]}}, "not of the form"),
        ({"holidays": [{"country": "XX"}]}, "not a code such as DE, IL or US"),
        ({"holidays": [{"country": "DE", "subdivision": "XX"}]}, "not one of DE: BB"),
        ({"holidays": [{"country": "IL", "subdivision": "XX"}]}, "none is known"),
        ({"freezes": [{"dates": "tomorrow"}]}, "not of the form 2026-12-24"),
        ({"freezes": [{"dates": "2026-02-30"}]}, "day"),
        ({"freezes": [{"dates": "02-30"}]}, "day"),
        ({"freezes": [{"dates": "2026-12-24..2026-12-23"}]}, "it ends before it begins"),
        ({"freezes": [{"dates": "2026-12-24T10:00"}]}, "a time needs an end"),
        ({"freezes": [{"dates": "2026-12-24T10:00..2026-12-24T10:00"}]}, "ends before it begins"),
        ({"freezes": [{"dates": "9999-12-31"}]}, "range"),
        ({"freezes": [{"dates": "12-24..2027-01-01"}]}, "not of the form"),
        ({"openOn": ["sat"]}, "openOn"),
    ],
)
def test_what_is_no_calendar_is_told_what_to_write(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        calendar(**wrong)


def test_a_leap_day_of_every_year_is_closed_in_leap_years() -> None:
    leap = Calendar(
        timezone="UTC", days=("mon-sun",), hours=("00:00-24:00",),
        company_days=(Closure(dates="02-29"),),
    )  # fmt: skip
    assert not leap.opening(at("2028-02-29T12:00")).open
    assert leap.next_close(at("2024-03-01")) is None  # there is none within two years
    assert leap.next_close(at("2026-06-01")) == at("2028-02-29")


def test_a_closure_over_the_new_year_closes_both_sides_of_it() -> None:
    closure = Closure(dates="12-24..01-02")
    zone = calendar().zone
    days = ["2026-12-23", "2026-12-24", "2026-12-31", "2027-01-01", "2027-01-02", "2027-01-03"]
    assert [closure.covers(at(f"{day}T12:00"), zone) for day in days] == [
        False, True, True, True, True, False,
    ]  # fmt: skip


def test_holidays_of_a_year_that_nobody_knows_are_refused() -> None:
    with pytest.raises(Refused, match="not known for 2150"):
        PublicHolidays(country="IL").on(at("2150-01-01").date())


def test_without_the_library_holidays_a_calendar_with_holidays_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "holidays", None)  # as if it were not installed
    public_holidays.check.cache_clear()
    with pytest.raises(msgspec.ValidationError, match=r"pip install 'chaosrun\[calendars\]'"):
        calendar()
    assert not calendar(holidays=[]).opening(at("2026-11-27T10:00")).open
