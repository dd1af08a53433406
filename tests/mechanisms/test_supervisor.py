"""A harm is held until its deadline by a process of its own, and undone whoever is gone by then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from msgspec.structs import replace

from chaosrun.codec import from_json
from chaosrun.errors import Indeterminate, Refused
from chaosrun.mechanisms import asking, supervisor
from chaosrun.mechanisms.harm import Order, order, write_order
from chaosrun.mechanisms.inside import Inside
from chaosrun.mechanisms.notes import held, note_path
from chaosrun.mechanisms.open_limit import Limited, OpenLimit
from chaosrun.mechanisms.partition import Partition
from chaosrun.mechanisms.traffic import Traffic
from chaosrun.procfs import runs
from tests.mechanisms.conftest import eventually, sh


def ordered(namespace: str, seconds: float = 60.0, peer: str = "127.0.0.2/32") -> Order:
    harm = Partition(traffic=Traffic(peers=(peer,)))
    inside = Inside(net=namespace).found()
    return order(uuid.uuid4().hex, time.time() + seconds, harm, inside, about={"fault": "test"})


def ruleset(namespace: str) -> str:
    return sh("ip", "netns", "exec", namespace, "nft", "list", "ruleset")


def test_it_is_held_until_its_deadline_and_leaves_nothing(namespace: str, runtime: Path) -> None:
    before = ruleset(namespace)
    given = ordered(namespace, seconds=6)
    assert asking.hold(given).there
    assert asking.look(given).there
    assert asking.notes() == [given]
    assert eventually(lambda: not supervisor.holders().get(given.mark))
    assert -1 < time.time() - given.deadline < 10
    assert ruleset(namespace) == before
    assert list(runtime.iterdir()) == []


def test_holding_twice_is_once(namespace: str) -> None:
    given = ordered(namespace)
    asking.hold(given)
    rules = ruleset(namespace).count("chain")
    asking.hold(given)
    assert ruleset(namespace).count("chain") == rules
    assert eventually(lambda: len(supervisor.holders()[given.mark]) == 1)
    assert not asking.end(given).any
    assert not asking.end(given).any


def test_it_ends_by_its_mark_alone_though_its_holder_was_killed(namespace: str) -> None:
    before = ruleset(namespace)
    given = ordered(namespace)
    asking.hold(given)
    (holder,) = supervisor.holders()[given.mark]
    os.kill(holder.pid, signal.SIGKILL)
    assert eventually(lambda: not runs(holder))
    assert asking.look(given).there
    assert not asking.end(given.mark).any
    assert ruleset(namespace) == before
    assert asking.notes() == []


def test_the_kernel_ends_a_partition_though_all_of_ours_was_killed(namespace: str) -> None:
    given = ordered(namespace, seconds=5)
    asking.hold(given)
    (holder,) = supervisor.holders()[given.mark]
    os.kill(holder.pid, signal.SIGKILL)
    assert eventually(lambda: not asking.look(given).there)
    assert -1 < time.time() - given.deadline < 10
    assert asking.look(given).left
    (swept,) = asking.sweep()
    assert swept.state == "ended"
    assert not asking.look(given).any


@pytest.mark.parametrize("number", supervisor.ENDING)
def test_a_signal_makes_it_end_at_once(namespace: str, number: signal.Signals) -> None:
    given = ordered(namespace)
    asking.hold(given)
    (holder,) = supervisor.holders()[given.mark]
    os.kill(holder.pid, number)
    assert eventually(lambda: not runs(holder))
    assert not asking.look(given).any
    assert asking.notes() == []


def test_another_holder_takes_over_from_one_that_was_killed(namespace: str) -> None:
    given = ordered(namespace)
    asking.hold(given)
    (first,) = supervisor.holders()[given.mark]
    os.kill(first.pid, signal.SIGKILL)
    assert eventually(lambda: not runs(first))
    assert asking.hold(given).there
    (second,) = supervisor.holders()[given.mark]
    assert second != first
    asking.end(given)


def test_ending_what_was_never_done_is_harmless(namespace: str) -> None:
    before = ruleset(namespace)
    assert not asking.end(ordered(namespace)).any
    assert asking.end("no-such-mark").detail == "there is no word of it"
    assert ruleset(namespace) == before


def test_a_deadline_that_has_passed_is_refused(namespace: str) -> None:
    given = ordered(namespace, seconds=-1)
    with pytest.raises(Refused, match="the deadline has passed"):
        asking.hold(given)
    assert asking.notes() == []


def test_a_harm_that_fails_is_undone_and_says_why(namespace: str) -> None:
    given = replace(ordered(namespace), harm={"harm": "no-such-harm"})
    with pytest.raises(Refused, match="does not know the harm 'no-such-harm'"):
        asking.hold(given)
    assert asking.notes() == []


def test_another_order_under_the_same_mark_is_refused(namespace: str) -> None:
    given = ordered(namespace)
    with held(given.mark, within=0) as note:
        note.write(given)
    with pytest.raises(Refused, match="another order has that mark"):
        asking.hold(replace(given, deadline=given.deadline + 1))
    asking.end(given)


def test_a_mark_that_is_held_is_held_by_one(namespace: str) -> None:
    given = ordered(namespace)
    with held(given.mark, within=0), pytest.raises(Indeterminate), held(given.mark, within=0.05):
        pass
    assert not note_path(given.mark).exists()


def test_half_a_note_is_none(namespace: str) -> None:
    given = ordered(namespace)
    note_path(given.mark).write_bytes(write_order(given)[:50])
    assert asking.notes() == []
    assert asking.hold(given).there
    asking.end(given)


def test_when_its_namespace_is_gone_so_is_the_harm(namespace: str) -> None:
    given = ordered(namespace)
    asking.hold(given)
    (holder,) = supervisor.holders()[given.mark]
    os.kill(holder.pid, signal.SIGKILL)
    assert eventually(lambda: not runs(holder))
    sh("ip", "netns", "del", namespace)
    sh("ip", "netns", "add", namespace)  # of the same name, and another
    assert "is gone" in asking.look(given).detail
    assert not asking.end(given).any
    assert asking.notes() == []


def in_another_container(word: str, given: Order, before: str = "true") -> asking.Answer:
    """What one of our programs answers that is in a namespace of processes of its own."""
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c",
         f'{before} && exec "$@"', "sh", sys.executable, *supervisor.SIGN, word, given.mark, "-"],
        input=write_order(given), capture_output=True, timeout=30, env=asking.environment(),
    )  # fmt: skip
    return from_json(done.stdout, asking.Answer)


def test_what_is_in_the_kernel_is_seen_and_ended_from_another_container(namespace: str) -> None:
    """Nothing is over because the processes that are seen are others: the boot is the same."""
    before = ruleset(namespace)
    given = ordered(namespace)
    asking.hold(given)
    (holder,) = supervisor.holders()[given.mark]
    os.kill(holder.pid, signal.SIGKILL)
    assert eventually(lambda: not runs(holder))
    seen = in_another_container("look", given).seen
    assert seen is not None
    assert seen.there
    ended = in_another_container("end", given).seen
    assert ended is not None
    assert not ended.any
    assert ruleset(namespace) == before
    assert asking.notes() == []


def test_what_another_container_cannot_see_is_not_called_gone(namespace: str) -> None:
    given = ordered(namespace)
    asking.hold(given)
    for word in ("look", "end"):
        answer = in_another_container(word, given, before="mount -t tmpfs none /run/netns")
        assert (answer.kind, answer.code) == ("Refused", "another-machine")
    asking.end(given)


def test_what_is_in_processes_is_not_called_gone_in_another_container(namespace: str) -> None:
    harm = OpenLimit(processes=(Limited(pid=os.getpid(), started=0, soft=64),), leave=1)
    given = order(uuid.uuid4().hex, time.time() + 60, harm)
    for word in ("look", "end"):
        answer = in_another_container(word, given)
        assert "among other processes" in answer.error
        assert (answer.kind, answer.code) == ("Refused", "another-machine")


def test_after_a_restart_of_the_machine_it_is_gone(namespace: str) -> None:
    given = ordered(namespace)
    earlier = replace(given, place=replace(given.place, boot="an earlier one", processes="1"))
    assert asking.look(earlier).detail == "the machine was restarted since"
    assert asking.end(earlier).detail == "the machine was restarted since"


def test_in_the_foreground_it_ends_when_it_is_told_to(namespace: str) -> None:
    given = ordered(namespace)
    text = write_order(given).decode()
    with subprocess.Popen(
        [sys.executable, *supervisor.SIGN, "run", given.mark, text],
        env=asking.environment(), stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        answer = from_json(process.stdout.readline(), asking.Answer)
        assert answer.seen is not None
        assert answer.seen.there
        assert asking.look(given).there
        process.terminate()
        assert process.wait(10) == 0
    assert not asking.look(given).any


def test_words_that_are_not_understood_are_explained() -> None:
    done = subprocess.run(
        [sys.executable, *supervisor.SIGN, "helo"], capture_output=True, text=True,
        env=asking.environment(), timeout=30,
    )  # fmt: skip
    assert done.returncode == 2
    assert "hold MARK ORDER" in done.stderr
