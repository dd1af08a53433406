"""The journal: append-only events, target locks, requests to runs, and the halt switch.

Law (L1, L7): an append has returned only when it is durable. A run's events are unique by
(run, sequence), so a driver that lost its run cannot append and therefore cannot act.
SQLite (`sqlite.py`) by default, PostgreSQL (`postgres.py`) by a URL; one contract.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from chaosrun.errors import Rejected
from chaosrun.events import AnyEvent, Verdict
from chaosrun.journal.agenda import Agenda
from chaosrun.journal.claims import Approval, Standing


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `chaosrun runs`. `verdict` is None until the run finished.

    `sequence` is that of its last event. `driver_alive` is known by liveness (a lock that dies
    with its process), not by guess.
    """

    run: str
    name: str
    started_at: float
    driver: str
    driver_alive: bool
    sequence: int
    verdict: Verdict | None = None


class Halt(msgspec.Struct, frozen=True, kw_only=True):
    """The halt switch, when it is on."""

    by: str
    reason: str
    at: float


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody asks for a running run to be aborted."""

    id: int
    run: str
    by: str
    reason: str
    at: float


class TargetLock(msgspec.Struct, frozen=True, kw_only=True):
    """A target that a run holds."""

    target: str
    run: str
    lease: str
    at: float


class Journal(Protocol):
    """What every store promises. All methods may raise JournalUnavailable, and are thread-safe."""

    blink: float
    """For how many seconds a living driver may look dead: until it has connected anew."""

    def register(self, driver: str) -> None:
        """Make this process known as alive under that name, until it ends or closes."""

    def alive(self, driver: str) -> bool:
        """Whether the process that registered under that name still runs."""

    def append(self, run: str, sequence: int, events: Sequence[AnyEvent]) -> None:
        """Make events `sequence`, `sequence + 1`, ... of `run` durable, all or none.

        A Leased takes the locks of its targets; a Restored, or an Injected or InjectFailed
        that is late, gives them up or takes them again; the same with what it claims, and with
        the place of a run, which lasts until its Finished. Raises SequenceTaken when the run has
        such an event already, TargetLocked when another run holds a target, and TermExceeded
        when one of the lease's terms is not met. After a
        JournalUnavailable the events may be there or not: append the same ones again, and
        they are there once.
        """

    def append_many(
        self, batches: Sequence[tuple[str, int, Sequence[AnyEvent]]]
    ) -> list[Exception | None]:
        """`append` for many runs with one sync to disk; for each its error or None."""

    def events(self, run: str, since: int = 0) -> Iterator[AnyEvent]:
        """The run's events in order, from sequence `since` (the first is 0)."""

    def driver(self, run: str) -> str:
        """The driver of `run` now: of its latest Started or Resumed. Empty for an unknown run."""

    def runs(self, *, limit: int = 0, unfinished: bool = False) -> list[RunRow]:
        """Runs, newest first. `unfinished`: only those without verdict, or stranded."""

    def find(self, prefix: str) -> str:
        """The one run whose id starts with `prefix`; `last` is the newest. Raises Rejected."""

    def locks(self) -> list[TargetLock]:
        """Targets that runs hold now."""

    def standing(
        self, run: str, names: Sequence[str], targets: Sequence[str], digest: str = ""
    ) -> Standing:
        """What runs other than `run` claim under these names; which of them holds each of these
        targets, and whose the last fault on it was; approvals of the experiment with a digest."""

    def approve(self, approval: Approval) -> None:
        """Keep an approval."""

    def request_abort(self, run: str, by: str, reason: str, at: float) -> None:
        """Ask the driver of `run` to stop it."""

    def requests(self, after: int) -> list[Request]:
        """Requests with an id above `after`, oldest first."""

    def halt(self) -> Halt | None:
        """The halt switch: None when off."""

    def set_halt(self, halt: Halt | None) -> None:
        """Turn the switch on, or off with None."""

    def prune(self, before: float) -> int:
        """Delete finished runs that ended before that time and owe nothing; how many."""

    def close(self) -> None:
        """Release everything, the registration too."""


class Store(Journal, Protocol):
    """A journal on a disk, which also keeps the agenda of schedules."""

    @property
    def agenda(self) -> Agenda:
        """The fires of schedules."""

    def now(self) -> float:
        """The time, by the one clock that all who share this journal have."""


def open_journal(url: str) -> Store:
    """The journal at a `sqlite:///path` or `postgresql://...` URL, migrated to this version.

    Raises JournalUnavailable when it cannot be opened, and Rejected for a wrong URL.
    """
    if url.startswith("sqlite:///"):
        from chaosrun.journal.sqlite import SqliteJournal

        return SqliteJournal.open(url.removeprefix("sqlite:///"))
    if url.startswith(("postgresql://", "postgres://")):
        try:
            from chaosrun.journal.postgres import PostgresJournal
        except ImportError as error:
            raise Rejected(
                f"a journal in PostgreSQL needs its driver: {error}",
                hint="pip install 'chaosrun[postgres]'",
            ) from None
        return PostgresJournal.open(url)
    raise Rejected(
        "a journal's URL starts with sqlite:/// or postgresql://",
        hint="sqlite:////var/lib/chaosrun/journal.db",
    )


def default_url() -> str:
    """The URL of the journal that is used when none is named.

    `CHAOSRUN_JOURNAL`, or `journal.db` under `CHAOSRUN_STATE_DIR`, else under
    `$XDG_STATE_HOME/chaosrun`, else under `~/.local/state/chaosrun`.
    """
    if url := os.environ.get("CHAOSRUN_JOURNAL"):
        return url
    return f"sqlite:///{os.path.join(state_directory(), 'journal.db')}"


def state_directory() -> str:
    """The directory of what this user's chaosrun keeps: the journal, policies."""
    directory = os.environ.get("CHAOSRUN_STATE_DIR")
    if not directory:
        states = os.environ.get("XDG_STATE_HOME", "")
        if not os.path.isabs(states):  # the XDG specification: a relative path is ignored
            states = os.path.expanduser("~/.local/state")
        directory = os.path.join(states, "chaosrun")
    return os.path.abspath(directory)
