"""Computes what is due and puts it into the agenda. Any number of replicas do the same.

Law: what is due follows from the schedules' files and the journal's clock alone, so a replica
whose own clock is wrong computes what the others do. A schedule that cannot be read does not fire.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from msgspec.structs import replace

from chaosrun.errors import ChaosrunError
from chaosrun.journal import Store
from chaosrun.journal.agenda import Fact, FireRow, FireState, paused
from chaosrun.loading import Invalid
from chaosrun.loading.schedules import candidates, is_schedule, load_schedule, timetable
from chaosrun.schedules.fires import Fire, Timetable, next_fire
from chaosrun.service import logs
from chaosrun.service.metrics import Metrics
from chaosrun.service.questions import Questions, Signature, signature

REREAD = 2.0
"""Seconds between two looks at the files of schedules; more where a look takes long."""
_SHARE = 50
"""A look at the files takes at most one part of so many of the time."""
MAKE_UP = 86400.0
"""How many seconds back missed fires are looked for."""
LONGEST_WAIT = 1.0
_MOST_MISSED = 1000
_SET_BACK = 5.0

AHEAD = 60.0
"""Seconds before a fire is due, from which on its question may be read."""
_AT_ONCE = 100


class _Entry:
    """A schedule, and its next fire."""

    def __init__(self, path: Path, signature: Signature, table: Timetable) -> None:
        self.path = path
        self.signature = signature
        self.table = table
        self.next: Fire | None = None


class Scheduler:
    """The schedules of some files and directories. One thread calls `tick`."""

    def __init__(
        self,
        journal: Store,
        paths: Sequence[str],
        offer: Callable[[Sequence[FireRow]], None],
        driver: str,
        metrics: Metrics,
    ) -> None:
        self._journal = journal
        self._paths = tuple(paths)
        self._offer = offer
        self._driver = driver
        self._metrics = metrics
        self._entries: dict[str, _Entry] = {}
        self._broken: dict[Path, Signature] = {}
        self._heap: list[tuple[float, str]] = []
        self._questions = Questions()
        self._prepare_at = 0.0
        self._reread_at = 0.0
        self._now = 0.0

    @property
    def schedules(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def tick(self, now: float) -> float:
        """Do what is due at that time; how many seconds to wait. Raises JournalUnavailable."""
        if now < self._now - _SET_BACK:  # the journal's clock was set back
            self._reread_at = self._prepare_at = 0.0
        self._now = now
        if now >= self._reread_at:
            began = time.monotonic()
            self._reread(now)
            self._reread_at = now + max(REREAD, _SHARE * (time.monotonic() - began))
        if self._fire(now) or self._prepare(now):
            return 0.0
        first = self._heap[0][0] if self._heap else now + LONGEST_WAIT
        return max(0.0, min(LONGEST_WAIT, first - now))

    # --- the files ----------------------------------------------------------------------

    def _reread(self, now: float) -> None:
        there: dict[Path, Signature] = {}
        by_path = {entry.path: entry for entry in self._entries.values()}
        for path in candidates(self._paths):
            if not path.exists():
                continue
            entry = by_path.get(path)
            there[path] = _signature(path, entry.table if entry else None)
        for name, entry in list(self._entries.items()):
            if there.get(entry.path) != entry.signature:
                del self._entries[name]
                if entry.path not in there:
                    logs.say("schedule removed", schedule=name, file=str(entry.path))
        known = {entry.path for entry in self._entries.values()}
        fresh = [
            path
            for path, signature in there.items()
            if path not in known and self._broken.get(path) != signature
        ]
        added = [entry for path in fresh if (entry := self._load(path, there[path])) is not None]
        if added:
            try:
                self._begin(added, now)
            except ChaosrunError:
                for entry in added:  # nobody knows where they go on: they are to be read again
                    del self._entries[entry.table.name]
                raise
        self._metrics.schedules.set(len(self._entries))

    def _load(self, path: Path, signature: Signature) -> _Entry | None:
        try:
            if not is_schedule(path):
                self._broken[path] = signature
                return None
            table = timetable(load_schedule(path, question=False))
        except Invalid as error:
            self._broken[path] = signature
            for problem in error.problems:
                place = f"{problem.file}:{problem.line}:{problem.column}"
                logs.wrong("schedule invalid", place=place, problem=problem.message)
            return None
        other = self._entries.get(table.name)
        if other is not None:
            self._broken[path] = signature
            logs.wrong(
                "schedule invalid", schedule=table.name, file=str(path),
                problem=f"{other.path} has the same name",
            )  # fmt: skip
            return None
        entry = _Entry(path, _signature(path, table), table)
        self._entries[table.name] = entry
        return entry

    def _begin(self, entries: list[_Entry], now: float) -> None:
        """Find where each goes on: after what the agenda has, or from when it was first seen."""
        seen, latest = self._journal.agenda.seen(), self._journal.agenda.latest()
        new = [entry.table.name for entry in entries if entry.table.name not in seen]
        self._journal.agenda.note(
            *(Fact(schedule=n, fact="seen", by=self._driver, reason="", at=now) for n in new)
        )
        for entry in entries:
            name = entry.table.name
            since = max(now - MAKE_UP, seen.get(name, now))
            entry.next = next_fire(entry.table, _instant(since))
            while entry.next is not None and entry.next.key <= latest.get(name, 0):
                entry.next = next_fire(entry.table, entry.next.at)
            self._push(entry)
            at = entry.next.at.isoformat(timespec="seconds") if entry.next else "never"
            logs.say("schedule read", schedule=name, file=str(entry.path), next=at)

    def _push(self, entry: _Entry) -> None:
        if entry.next is not None:
            heapq.heappush(self._heap, (entry.next.at.timestamp(), entry.table.name))

    # --- the fires ----------------------------------------------------------------------

    def _prepare(self, now: float) -> bool:
        """Read some questions that are due soon; whether there are more to read."""
        if now < self._prepare_at:
            return False
        soon = [name for at, name in self._heap if at < now + AHEAD]
        entries = [self._entries.get(name) for name in soon]
        more = self._questions.prepare([entry.path for entry in entries if entry is not None])
        if not more:
            self._prepare_at = now + AHEAD / 4
        return more

    def _fire(self, now: float) -> bool:
        """Put what is due into the agenda, some at once; whether there is more."""
        touched: list[tuple[_Entry, Fire]] = []
        try:
            rows = self._take_due(now, touched)
            added = self._journal.agenda.add(rows)
        except ChaosrunError:
            for entry, fire in touched:  # nothing is on record: it is all due still
                entry.next = fire
                self._push(entry)
            raise
        for entry, _ in touched:
            self._push(entry)
        for row in added:
            self._metrics.fires.labels(row.state.value).inc()
            say = logs.say if row.state is FireState.DUE else logs.warn
            reason = {"reason": row.reason} if row.reason else {}
            say(
                f"fire {row.state}",
                schedule=row.schedule,
                due=_instant(row.at).isoformat(),
                **reason,
            )
        if offered := [row for row in added if row.state is FireState.DUE]:
            self._offer(offered)
        return bool(self._heap) and self._heap[0][0] <= now

    def _take_due(self, now: float, touched: list[tuple[_Entry, Fire]]) -> list[FireRow]:
        """The fires of some schedules that are due; `touched` are these with their first."""
        rows: list[FireRow] = []
        pauses = None
        while self._heap and self._heap[0][0] <= now and len(touched) < _AT_ONCE:
            _, name = heapq.heappop(self._heap)
            entry = self._entries.get(name)
            if entry is None or entry.next is None or entry.next.at.timestamp() > now:
                continue  # it was read anew meanwhile
            touched.append((entry, entry.next))
            if pauses is None:
                pauses = paused(self._journal.agenda.facts())
            rows += self._rows(entry, now, pauses.get(name))
        return rows

    def _rows(self, entry: _Entry, now: float, pause: Fact | None) -> list[FireRow]:
        """The fires of one schedule up to now; `entry.next` is the first after them."""
        spec = entry.table.schedule.spec
        within = spec.misfire.within.seconds
        due: list[Fire] = []
        while entry.next is not None and entry.next.at.timestamp() <= now:
            due.append(entry.next)
            entry.next = next_fire(entry.table, entry.next.at)
        rows = []
        for fire in islice(reversed(due), _MOST_MISSED):
            at = fire.at.timestamp()
            late = now - at > within
            made_up = late and spec.misfire.policy == "once" and fire is due[-1]
            row = FireRow(
                schedule=entry.table.name, due=fire.key, at=at,
                start_by=self._start_by(entry.table, now if made_up else at, within),
                concurrency=spec.concurrency, changed_at=now,
            )  # fmt: skip
            if late and not made_up:
                why = f"no scheduler ran within {within:g}s of its time"
                row = replace(row, state=FireState.MISSED, reason=why)
            elif row.start_by < now:
                row = replace(row, state=FireState.MISSED, reason="its window is closed by now")
            elif spec.paused or pause is not None:
                why = f"paused by {pause.by}: {pause.reason}" if pause else "paused in its file"
                row = replace(row, state=FireState.SKIPPED, reason=why)
            else:
                row = self._asked(entry, row)
            rows.append(row)
        return rows[::-1]

    def _start_by(self, table: Timetable, at: float, within: float) -> float:
        """Until when the fire may start: within the misfire window, and while it is open."""
        calendar = table.days.calendar
        if calendar is None:
            return at + within
        closes = calendar.next_close(_instant(at), timedelta(seconds=within))
        return min(at + within, closes.timestamp() - 0.001 if closes else at + within)

    def _asked(self, entry: _Entry, row: FireRow) -> FireRow:
        """The fire with its question; skipped when that is wrong."""
        asked = self._questions.of(entry.path)
        if asked.wrong:
            return replace(row, state=FireState.SKIPPED, reason=asked.wrong)
        return replace(row, body=asked.body)


def _signature(path: Path, table: Timetable | None) -> Signature:
    """What changes when the file, or an iCalendar that it names, changes."""
    calendar = table.schedule.spec.calendar if table else None
    files = calendar.files if calendar else ()
    return signature((str(path), *(str(path.parent / name) for name in files)))


def _instant(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
