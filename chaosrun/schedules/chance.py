"""Fires at random times whose mean is exactly the one that was asked for. Pure.

Law: chance is a function of the seed and the day, so every replica draws the same. On the axis
of open days, candidates are a Poisson process; one that comes within the gap of a fire is left out.
So the time between fires is the gap and then an exponential, and a rate of 1 / (mean - gap)
makes the mean exact: neither the gap nor closed days change it. (A coin of 1 / mean thrown each day
and thrown in vain within the gap, as is usual, makes it longer.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date
from hashlib import blake2b
from typing import NamedTuple

from chaosrun.schedules.days import Days

_MOST = 1000
"""Days whose candidates are remembered: one looks back over the same ones again and again."""


class Draw(NamedTuple):
    """A candidate: the share of its day's open time before it, and whether it fires."""

    share: float
    fires: bool


def shares(seed: str) -> Iterator[float]:
    """Numbers from 0 to below 1 without end, even and unrelated; the same for the same seed.

    A hash and not a generator: one is made for each day that is looked at, and must cost nothing.
    """
    number = 0
    while True:
        drawn = blake2b(f"{seed}/{number}".encode()).digest()
        for place in range(0, 64, 8):
            yield (int.from_bytes(drawn[place : place + 8], "big") >> 11) / 2**53
        number += 1


class Chance:
    """The random times of one schedule."""

    def __init__(self, seed: str, mean: float, gap: float, days: Days) -> None:
        self._seed = seed
        self._mean, self._gap = mean, gap
        self._days = days
        self._known: dict[date, list[float]] = {}

    def draws(self, day: date) -> list[Draw]:
        """The candidates of a day, in order; none where it is closed."""
        if not self._days.open_on(day):
            return []
        drawn = self._candidates(day)
        if not drawn or not self._gap:
            return [Draw(share, True) for share in drawn]
        last = self._last_before(day)
        found = []
        for share in drawn:
            fires = share - last >= self._gap
            last = share if fires else last
            found.append(Draw(share, fires))
        return found

    def _candidates(self, day: date) -> list[float]:
        known = self._known.get(day)
        if known is not None:
            return known
        between, at = self._mean - self._gap, 0.0
        found: list[float] = []
        for share in shares(f"{self._seed}/{day.isoformat()}"):
            at -= between * math.log(1.0 - share)
            if at >= 1.0:
                break
            found.append(at)
        if len(self._known) > _MOST:
            self._known.clear()
        self._known[day] = found
        return found

    def _last_before(self, day: date) -> float:
        """Where the last fire before that day is: the day begins at 0, the one before at -1.

        One looks back until a candidate that had none within the gap before it, which fires
        whatever was earlier; at most to the beginning of the year before.
        """
        limit = date(day.year - 1, 1, 1)
        known: list[float] = []
        back, beginning = day, 0.0
        while True:
            earlier = self._days.previous(back, limit)
            if earlier is None:
                return self._from_the_limit(day, limit, beginning, known)
            back, beginning = earlier, beginning - 1.0
            known[:0] = [beginning + share for share in self._candidates(back)]
            begin = self._renewal(known, beginning)
            if begin is not None:
                return self._walk(known[begin:], -math.inf)
            if not known and beginning <= -self._gap:
                return -math.inf

    def _renewal(self, known: list[float], beginning: float) -> int | None:
        """The index of the first candidate that surely fires."""
        before = beginning
        for index, at in enumerate(known):
            if at - before >= self._gap:
                return index
            before = at
        return None

    def _walk(self, candidates: list[float], last: float) -> float:
        for at in candidates:
            if at - last >= self._gap:
                last = at
        return last

    def _from_the_limit(
        self, day: date, limit: date, beginning: float, known: list[float]
    ) -> float:
        """Begin as if the schedule had been there forever; and keep the gap to the year before."""
        chance = shares(f"{self._seed}/before {limit.isoformat()}")
        within = next(chance) < self._gap / self._mean
        last = self._walk(known, beginning - next(chance) * self._gap if within else -math.inf)
        back, at = day, 0.0
        while at > -self._gap and (earlier := self._days.previous(back, limit)):
            back, at = earlier, at - 1.0
            if back.year < day.year:
                last = max([last, *(at + draw.share for draw in self.draws(back) if draw.fires)])
        return last
