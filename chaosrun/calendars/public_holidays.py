"""Public holidays by country and subdivision, as the library `holidays` knows them.

Law: years that the library does not know are refused, not taken for years without holidays.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Annotated

from msgspec import Meta

from chaosrun.calendars.closures import Part
from chaosrun.errors import Refused


class PublicHolidays(Part, frozen=True, kw_only=True):
    """The public holidays of a country, or of one of its states."""

    country: Annotated[str, Meta(description="Its ISO 3166 code", examples=["DE", "IL", "US"])]
    subdivision: Annotated[
        str,
        Meta(description="Its state, province or canton, as in ISO 3166-2", examples=["BY", "CA"]),
    ] = ""

    def __post_init__(self) -> None:
        check(self.country, self.subdivision)

    def __str__(self) -> str:
        return f"{self.country}-{self.subdivision}" if self.subdivision else self.country

    def on(self, day: date) -> str:
        """The name of the holiday on that day, in English where it has one, or nothing.

        Raises Refused for a year that is not known.
        """
        return _of_year(self.country, self.subdivision, day.year).get(day, "")


@lru_cache(256)
def check(country: str, subdivision: str) -> None:
    """Raises ValueError for a country or a subdivision that is not known."""
    try:
        from holidays import list_supported_countries
    except ImportError:
        raise ValueError(
            "public holidays need the library `holidays`: pip install 'chaosrun[calendars]'"
        ) from None
    known = list_supported_countries()
    if country not in known:
        raise ValueError(f"`country` {country!r} is not a code such as DE, IL or US")
    if subdivision and subdivision not in known[country]:
        some = ", ".join(known[country]) or "none is known"
        raise ValueError(f"`subdivision` {subdivision!r} is not one of {country}: {some}")


@lru_cache(1024)  # a whole year at once: the library's own table fills while others read it
def _of_year(country: str, subdivision: str, year: int) -> Mapping[date, str]:
    from holidays import country_holidays

    found = country_holidays(
        country, subdiv=subdivision or None, years=year, expand=False, language="en_US"
    )
    if not found.start_year <= year <= found.end_year:
        raise Refused(
            f"the public holidays of {country} are not known for {year}",
            hint="a newer version of the library `holidays` may know them",
        )
    return dict(found.items())
