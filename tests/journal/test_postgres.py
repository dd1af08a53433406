"""What can happen to a server: it is killed, it hangs, its answers are lost; and no password."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from threading import Barrier, Thread

import psycopg
import pytest

from chaosrun.errors import ChaosrunError, JournalUnavailable, SequenceTaken, TargetLocked
from chaosrun.events import AnyEvent
from chaosrun.journal import Journal, open_journal
from chaosrun.journal import postgres as postgres_module
from chaosrun.journal.postgres import PostgresJournal
from tests.journal.making import leased, restored, sampled, started
from tests.postgres import PASSWORD, PostgresServer

pytestmark = pytest.mark.postgres


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def journal(url: str) -> Iterator[PostgresJournal]:
    opened = PostgresJournal.open(url)
    yield opened
    opened.close()


@pytest.fixture
def beside(url: str) -> Iterator[psycopg.Connection]:
    """Another connection to the journal's database."""
    with psycopg.connect(url, autocommit=True, options="-csearch_path=chaosrun") as connection:
        yield connection


def eventually(promise: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not promise():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Wire:
    """A TCP proxy to the server that can lose the server's answers."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.lose_answer_to = b""
        self.lost = 0
        self._threads = [Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def url(self, url: str) -> str:
        """The same database through this wire."""
        return url.replace(f":{self._server}/", f":{self.port}/") + "?sslmode=disable"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = Thread(target=self._carry, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._server))
        answers = Thread(target=self._pour, args=(server, client), daemon=True)
        answers.start()
        with contextlib.suppress(OSError):
            while sent := client.recv(65536):
                lose = self.lose_answer_to and self.lose_answer_to in sent
                if lose:
                    self.lost += 1
                    self.lose_answer_to = b""
                    client.shutdown(socket.SHUT_RD)
                    client.close()  # our end of it: whatever the server says now is lost
                server.sendall(sent)
                if lose:
                    break
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)
        answers.join()
        client.close()
        server.close()

    def _pour(self, server: socket.socket, client: socket.socket) -> None:
        while True:
            try:
                received = server.recv(65536)
            except OSError:
                return
            if not received:
                break
            with contextlib.suppress(OSError):
                client.sendall(received)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def wire(postgres_server: PostgresServer) -> Iterator[Wire]:
    proxy = Wire(postgres_server.port)
    yield proxy
    proxy.close()


def test_a_server_that_was_killed_takes_up_where_it_was(
    postgres_server: PostgresServer, journal: PostgresJournal
) -> None:
    journal.register("driver-1")
    journal.append("r", 0, [started("r"), leased("l", "1")])
    postgres_server.kill()
    try:
        began = time.monotonic()
        for use in (lambda: journal.append("r", 2, [sampled()]), journal.halt, journal.runs):
            with pytest.raises(JournalUnavailable) as caught:
                use()
            assert PASSWORD not in str(caught.value)
        assert time.monotonic() - began < 10
    finally:
        postgres_server.start()
    journal.append("r", 2, [sampled()])
    assert list(journal.events("r")) == [started("r"), leased("l", "1"), sampled()]
    assert [lock.target for lock in journal.locks()] == ["process:1"]
    assert journal.alive("driver-1"), "it is known again from its next use on"


def test_a_connection_that_the_server_closed_is_opened_again_unseen(
    journal: PostgresJournal, beside: psycopg.Connection
) -> None:
    journal.append("r", 0, [started("r")])
    beside.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chaosrun'"
        " AND datname = current_database()"
    )
    assert eventually(
        lambda: (
            beside.execute(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = 'chaosrun'"
                " AND datname = current_database()"
            ).fetchone()
            is None
        )
    )
    journal.append("r", 1, [sampled()])
    assert len(list(journal.events("r"))) == 2


def test_a_driver_that_lost_its_connection_is_not_alive_until_it_uses_the_journal(
    url: str, journal: PostgresJournal, beside: psycopg.Connection
) -> None:
    other = open_journal(url)
    journal.register("driver-1")
    assert other.alive("driver-1")
    beside.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    assert eventually(lambda: not other.alive("driver-1"))
    assert journal.halt() is None
    assert other.alive("driver-1")
    other.close()


def test_a_server_that_hangs_is_not_waited_for_without_end(
    journal: PostgresJournal, beside: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append("r", 0, [started("r")])
    pids = beside.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'chaosrun'"
        " AND datname = current_database()"
    ).fetchall()
    assert pids
    for (pid,) in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with monkeypatch.context() as patch:
            patch.setattr(postgres_module, "ANSWER_SECONDS", 0.4)
            with pytest.raises(JournalUnavailable, match=r"no answer within 0\.4s"):
                journal.append("r", 1, [sampled()])
        assert time.monotonic() - began < 20
        journal.append("r", 1, [sampled()])
    finally:
        for (pid,) in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    assert len(list(journal.events("r"))) == 2


def test_reading_goes_on_while_an_append_waits_for_a_lock(
    url: str, beside: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, journal: PostgresJournal
) -> None:
    quick = postgres_module._SESSION.replace("lock_timeout = '5s'", "lock_timeout = '300ms'")
    monkeypatch.setattr(postgres_module, "_SESSION", quick)
    locked = PostgresJournal.open(url)
    locked.append("r", 0, [started("r")])
    failed: list[Exception] = []

    def append() -> None:
        try:
            locked.append("r", 1, [sampled()])
        except JournalUnavailable as error:
            failed.append(error)

    with beside.transaction():
        beside.execute("LOCK TABLE events IN EXCLUSIVE MODE")
        thread = Thread(target=append)
        thread.start()
        assert locked.halt() is None
        thread.join(10)
    assert "lock timeout" in str(failed[0])
    locked.append("r", 1, [sampled()])
    locked.close()


@pytest.mark.parametrize("statement", [b"COMMIT\0", b"SAVEPOINT"])
def test_an_append_whose_answer_was_lost_may_be_repeated(
    wire: Wire, url: str, statement: bytes
) -> None:
    direct, journal = open_journal(url), open_journal(wire.url(url))
    journal.append("r", 0, [started("r")])
    wire.lose_answer_to = statement
    group: list[AnyEvent] = [leased("l", "1"), sampled(note="once")]
    with pytest.raises(JournalUnavailable):
        journal.append("r", 1, group)
    assert wire.lost == 1
    if statement == b"COMMIT\0":
        assert eventually(lambda: len(list(direct.events("r"))) == 3), "it was committed"
    journal.append("r", 1, [*group, sampled(note="and more")])
    assert list(direct.events("r")) == [started("r"), *group, sampled(note="and more")]
    with pytest.raises(SequenceTaken):
        journal.append("r", 1, group)
    for opened in (journal, direct):
        opened.close()


def test_a_repeated_append_is_still_fenced_off_by_another_driver(wire: Wire, url: str) -> None:
    direct, journal = open_journal(url), open_journal(wire.url(url))
    journal.append("r", 0, [started("r")])
    wire.lose_answer_to = b"BEGIN"
    with pytest.raises(JournalUnavailable):
        journal.append("r", 1, [sampled(note="mine")])
    direct.append("r", 1, [sampled(note="theirs")])
    with pytest.raises(SequenceTaken):
        journal.append("r", 1, [sampled(note="mine")])
    for opened in (journal, direct):
        opened.close()


def race(url: str, contend: Callable[[Journal, int], None]) -> None:
    """Run `contend` in two threads, each with a journal of its own, in step."""
    barrier = Barrier(2)
    failed: list[BaseException] = []

    def one(number: int) -> None:
        journal = open_journal(url)
        try:
            barrier.wait(10)
            contend(journal, number)
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            failed.append(error)
        finally:
            journal.close()

    threads = [Thread(target=one, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []


def test_of_two_runs_exactly_one_gets_a_target(url: str, journal: PostgresJournal) -> None:
    rounds = 25
    got: list[tuple[int, int]] = []
    step = Barrier(2)

    def contend(mine: Journal, number: int) -> None:
        run = f"r{number}"
        mine.append(run, 0, [started(run)])
        sequence = 1
        for turn in range(rounds):
            step.wait(10)
            targets = (f"{turn}-a", f"{turn}-b")[:: 1 - 2 * number]
            try:
                mine.append(run, sequence, [leased(f"{run}-{turn}", *targets)])
                got.append((turn, number))
                sequence += 1
            except TargetLocked:
                pass

    race(url, contend)
    assert sorted(turn for turn, _ in got) == list(range(rounds))
    assert len(journal.locks()) == 2 * rounds


def test_groups_of_two_drivers_that_fight_for_the_same_runs_neither_tear_nor_stick(
    url: str, journal: PostgresJournal
) -> None:
    runs = ["a", "b", "c"]
    journal.append_many([(run, 0, [started(run)]) for run in runs])
    won: list[tuple[str, int, int]] = []

    def contend(mine: Journal, number: int) -> None:
        order = runs[:: 1 - 2 * number]
        for turn in range(30):
            errors = mine.append_many(
                [
                    (run, 1 + 2 * turn, [leased(f"{run}{turn}", run), restored(f"{run}{turn}")])
                    for run in order
                ]
            )
            for run, error in zip(order, errors, strict=True):
                assert error is None or isinstance(error, ChaosrunError)
                if error is None:
                    won.append((run, turn, number))

    race(url, contend)
    assert len({(run, turn) for run, turn, _ in won}) == len(won), "nothing was written twice"
    for run in runs:
        turns = sorted(turn for name, turn, _ in won if name == run)
        assert turns == list(range(30))
        assert len(list(journal.events(run))) == 61
    assert journal.locks() == []


def test_no_error_holds_the_password(postgres_server: PostgresServer, url: str) -> None:
    secret = "p%40ss-w0rd"
    wrong = [
        postgres_server.url("postgres", password=secret),
        postgres_server.url("postgres", password="p@ss-w0rd"),
        postgres_server.url("postgres", password="p/ss-w0rd"),
        postgres_server.url("postgres", password="p?ss-w0rd"),
        postgres_server.url("postgres", password="p#ss-w0rd"),
        postgres_server.url("postgres", password="p:ss-w0rd"),
        f"postgresql://ann:{secret}@127.0.0.1:1/x",
        f"postgresql://ann:{secret}@[::1/x",
        f"postgresql://ann:{secret}@127.0.0.1:5432/x?{secret}=1",
        f"postgresql://ann:{secret}@127.0.0.1:5432/x?sslmode={secret}",
        url.replace("/test", "/no-such-database"),
    ]
    for one in wrong:
        with pytest.raises(ChaosrunError) as caught:
            open_journal(one)
        text = "".join(traceback.format_exception(caught.value)) + caught.value.hint
        # The source lines of a traceback are this file's.
        said = f"{caught.value} {caught.value.hint} {caught.value!r} {caught.value.__cause__}"
        for part in ("ss-w0rd", "w0rd", PASSWORD):
            assert part not in said, said
            assert part not in text, text
        assert caught.value.hint


def test_a_url_names_the_journal_without_its_password(journal: PostgresJournal) -> None:
    assert PASSWORD not in journal.where
    assert journal.where.startswith("the journal postgresql://chaosrun@127.0.0.1:")
    assert PASSWORD not in repr(vars(journal))


def test_a_commit_waits_for_the_disk_whatever_the_database_says(
    url: str, journal: PostgresJournal, beside: psycopg.Connection
) -> None:
    name = url.rpartition("/")[2]

    def setting() -> object:
        opened = PostgresJournal.open(url)
        with opened._transaction() as connection:
            ((found,),) = connection.execute("SHOW synchronous_commit").fetchall()
        opened.close()
        return found

    for before, after in (("off", "on"), ("local", "on"), ("on", "on"), ("remote_apply",) * 2):
        beside.execute(f"ALTER DATABASE {name} SET synchronous_commit = {before}".encode())
        assert setting() == after


def test_a_standby_is_not_written_to(url: str, beside: psycopg.Connection) -> None:
    open_journal(url).close()
    name = url.rpartition("/")[2]
    beside.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    with pytest.raises(JournalUnavailable, match="read-only"):
        open_journal(url)


def test_other_tables_of_the_database_are_left_alone(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE events (id INTEGER)")
        journal = open_journal(url)
        journal.append("r", 0, [started("r")])
        journal.close()
        assert connection.execute("SELECT COUNT(*) FROM public.events").fetchone() == (0,)
        assert connection.execute("SELECT COUNT(*) FROM chaosrun.events").fetchone() == (1,)
