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

    def slow() -> None:
        time.sleep(0.1)
        ended.release()

    for _ in range(200):
        workers.submit(slow, Lane.ORDINARY)
    began = time.monotonic()
    while not ended.acquire(timeout=0):
        workers.unblock()
        time.sleep(0.005)
    for _ in range(199):
        assert ended.acquire(timeout=10)
    assert time.monotonic() - began < 2.5, "8 threads alone would need 2.5 s"
    workers.close()


def test_work_that_hangs_does_not_keep_other_work_waiting() -> None:
    workers = Workers(64)
    hang, done = threading.Event(), threading.Event()

    def wait_long() -> None:
        hang.wait(20)

    for _ in range(30):
        workers.submit(wait_long, Lane.ORDINARY)
    workers.submit(done.set, Lane.ORDINARY)
    wait(lambda: True if done.is_set() else workers.unblock() and None)
    urgent = threading.Event()
    workers.submit(urgent.set, Lane.URGENT)
    assert urgent.wait(5)
    hang.set()
    workers.close()


def test_work_that_is_given_up_before_it_begins_is_never_done() -> None:
    workers = Workers(1)
    hang, done = threading.Event(), threading.Event()

    def wait_long() -> None:
        hang.wait(20)

    workers.submit(wait_long, Lane.ORDINARY)
    job = workers.submit(done.set, Lane.ORDINARY)
    job.give_up()
    last = threading.Event()
    workers.submit(last.set, Lane.ORDINARY)
    hang.set()
    assert last.wait(5)
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
