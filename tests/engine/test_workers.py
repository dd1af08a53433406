"""Lanes of workers: few threads while they suffice, more when they do not."""

from __future__ import annotations

import threading
import time

import pytest

from chaosrun.workers import Lane, Workers
from tests.engine.conftest import wait


def test_slow_work_gets_as_many_threads_as_it_needs() -> None:
    workers = Workers(64)
    ended = threading.Semaphore(0)
    now, most = set[int](), 0

    def slow() -> None:
        nonlocal most
        now.add(threading.get_ident())
        most = max(most, len(now))
        time.sleep(0.1)
        now.remove(threading.get_ident())
        ended.release()

    for _ in range(200):
        workers.submit(slow, Lane.ORDINARY)
    while not ended.acquire(timeout=0):
        workers.unblock()
        time.sleep(0.005)
    for _ in range(199):
        assert ended.acquire(timeout=60)
    assert most > 8, "it begins with 8"
    workers.close()


def test_work_that_hangs_does_not_keep_other_work_waiting() -> None:
    workers = Workers(64)
    hang, done = threading.Event(), threading.Event()

    def wait_long() -> None:
        hang.wait(120)

    for _ in range(30):
        workers.submit(wait_long, Lane.ORDINARY)
    workers.submit(done.set, Lane.ORDINARY)
    wait(lambda: True if done.is_set() else workers.unblock() and None)
    urgent = threading.Event()
    workers.submit(urgent.set, Lane.URGENT)
    assert urgent.wait(60)
    hang.set()
    workers.close()


def test_work_that_is_given_up_before_it_begins_is_never_done() -> None:
    workers = Workers(1)
    hang, done = threading.Event(), threading.Event()

    def wait_long() -> None:
        hang.wait(120)

    workers.submit(wait_long, Lane.ORDINARY)
    job = workers.submit(done.set, Lane.ORDINARY)
    job.give_up()
    last = threading.Event()
    workers.submit(last.set, Lane.ORDINARY)
    hang.set()
    assert last.wait(60)
    assert not done.is_set()
    workers.close()


@pytest.mark.parametrize("lane", list(Lane))
def test_work_waits_for_a_thread_that_the_system_does_not_give(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    workers, done = Workers(), threading.Event()
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", none_left)
        workers.submit(done.set, lane)
        assert workers.unblock()
    wait(lambda: True if done.is_set() else workers.unblock() and None)
    workers.close()
