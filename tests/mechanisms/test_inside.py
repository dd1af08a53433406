"""The namespace that was found is the one that is joined, by whatever way it is reached later."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from chaosrun import procfs
from chaosrun.codec import from_json, to_json
from chaosrun.errors import Refused
from chaosrun.mechanisms import asking
from chaosrun.mechanisms.harm import order
from chaosrun.mechanisms.inside import Gone, Inside
from chaosrun.mechanisms.partition import Partition
from chaosrun.mechanisms.traffic import Traffic
from tests import control_groups
from tests.mechanisms.conftest import sh

JOIN = """
import json, os, subprocess, sys
from chaosrun.codec import from_json
from chaosrun.mechanisms.inside import Inside
inside = from_json(sys.argv[1], Inside)
inside.join()
child = os.fork()
if not child:
    print(json.dumps({
        "net": os.readlink("/proc/self/ns/net"), "pid": os.getpid(),
        "there": os.path.exists("/mnt/there"),
    }), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


_HIDE = 'mount -t tmpfs none "$0" && exec "$@"'


@pytest.fixture
def process(namespace: str) -> Iterator[int]:
    """A process in namespaces of its own: its id."""
    script = "mount -t tmpfs none /mnt && touch /mnt/there; echo ready; exec sleep 600"
    words = ["ip", "netns", "exec", namespace, "unshare", "--pid", "--kill-child", "--mount"]
    with subprocess.Popen([*words, "sh", "-c", script], stdout=subprocess.PIPE) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == b"ready\n"
            yield next(each.pid for each in procfs.processes() if each.parent == started.pid)
        finally:
            started.kill()


def joined(inside: Inside, script: str = JOIN) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", script, to_json(inside).decode()],
        capture_output=True, text=True, timeout=30, env=asking.environment(),
    )  # fmt: skip
    assert not done.returncode, done.stderr
    found: dict[str, object] = from_json(done.stdout, dict)
    return found


def test_without_a_word_it_is_here() -> None:
    assert Inside().is_here
    assert Inside().found().is_here
    assert str(Inside()) == ""


def test_a_process_is_joined_by_its_id(namespace: str, process: int) -> None:
    inside = Inside(pid=process).found()
    assert not inside.is_here
    seen = joined(inside)
    assert seen["net"] == os.readlink(f"/proc/{process}/ns/net")
    assert not seen["there"]


def test_on_request_children_are_born_in_its_namespace_of_processes(
    namespace: str, process: int
) -> None:
    seen = joined(Inside(pid=process, joins=("net", "pid")).found())
    assert isinstance(seen["pid"], int)
    assert seen["pid"] < 10


def test_on_request_its_files_are_seen(namespace: str, process: int) -> None:
    script = JOIN.replace('os.readlink("/proc/self/ns/net")', '""')
    inside = Inside(pid=process, joins=("net", "mnt")).found()
    assert joined(inside, script)["there"]


def test_a_harm_inside_of_a_process_is_ended_after_that_process(
    namespace: str, process: int
) -> None:
    inside = Inside(pid=process).found()
    harm = Partition(traffic=Traffic(peers=("127.0.0.2/32",)))
    given = order(uuid.uuid4().hex, time.time() + 60, harm, inside)
    assert asking.hold(given).there
    os.kill(process, 9)
    assert asking.look(given).there  # the network namespace has a name, and lives
    assert not asking.end(given).any
    assert sh("ip", "netns", "exec", namespace, "nft", "list", "ruleset") == ""


def test_another_process_with_the_same_id_is_not_joined(namespace: str, process: int) -> None:
    inside = Inside(pid=process, joins=("net", "pid")).found()
    with pytest.raises(Gone, match="has ended"):
        replace(inside, started=inside.started - 1).join()


def test_a_control_group_that_is_not_to_be_seen_here_is_refused() -> None:
    """Who joined the others alone would not be confined as the process is."""
    with control_groups.made() as group, subprocess.Popen(["sleep", "600"]) as member:
        try:
            group.take(member.pid)
            inside = Inside(pid=member.pid, joins=("cgroup",)).found()
            script = (
                "from chaosrun.codec import from_json\n"
                "from chaosrun.mechanisms.inside import Inside\n"
                "import sys\n"
                "print(len(from_json(sys.argv[1], Inside).open_cgroups()))\n"
            )
            here = [sys.executable, "-c", script, to_json(inside).decode()]
            hidden = ["unshare", "--mount", "sh", "-c", _HIDE, str(group.directory.parent), *here]
            for words, code in ((here, 0), (hidden, 1)):
                done = subprocess.run(
                    words, capture_output=True, text=True, timeout=30, env=asking.environment()
                )
                assert done.returncode == code, done.stderr
            assert f"the control group {group.path} of process {member.pid}" in done.stderr
        finally:
            member.kill()


def test_what_is_not_there_is_refused_with_what_is(namespace: str) -> None:
    with pytest.raises(Refused, match="no network namespace nobody") as refused:
        Inside(net="nobody").found()
    assert namespace in refused.value.hint
    with pytest.raises(Refused, match="there is no process 4194304"):
        Inside(pid=4194304).found()


def test_a_namespace_that_is_gone_is_told(namespace: str) -> None:
    assert not Inside(net=namespace).found().gone()
    assert replace(Inside(net=namespace).found(), network="0:1").gone()
    with pytest.raises(Gone):
        replace(Inside(net=namespace).found(), network="0:1").join()
