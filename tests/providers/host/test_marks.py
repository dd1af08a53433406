"""A sweep finds what no journal knows, and what it finds can be reverted."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from pathlib import Path

from chaosrun.fault import Found, Hold
from chaosrun.providers.host import runtime
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.marks import find
from chaosrun.providers.host.process_pause import ProcessPause
from chaosrun.providers.host.tcp_proxy import TcpProxy
from tests.providers.host.conftest import Proxy, Workers, fault, leased


def found(host: Host, mark: str) -> list[Found]:
    return [each for each in find(host) if each.mark == mark]


def paused(workers: Workers, host: Host) -> Hold:
    workers.start()
    planned = fault("host.process-pause", target={"command": workers.word})
    hold = leased(planned.plan(host, random.Random(1)))
    ProcessPause.inject(hold, host)
    return hold


def test_a_pause_whose_watchdog_was_killed_is_found_and_can_be_reverted(
    workers: Workers, host: Host
) -> None:
    hold = paused(workers, host)
    (watchdog,) = host.watchdogs()[hold.mark]
    os.kill(watchdog.pid, signal.SIGKILL)
    assert host.wait_gone(watchdog, 5)
    (seen,) = found(host, hold.mark)
    assert seen.detail == "stopped, and its watchdog is gone"
    assert seen.hold == hold
    ProcessPause.revert(seen.hold, host)
    assert ProcessPause.restored(hold, host).seen
    assert not found(host, hold.mark)


def test_a_pause_whose_note_was_lost_is_found_by_its_watchdog(workers: Workers, host: Host) -> None:
    hold = paused(workers, host)
    runtime.remove_note(hold.mark)
    (seen,) = found(host, hold.mark)
    assert seen.hold is None
    assert "will continue its processes" in seen.detail
    assert seen.since > 0
    ProcessPause.revert(hold, host)


def test_a_note_of_what_is_over_is_not_a_mark(workers: Workers, host: Host) -> None:
    hold = paused(workers, host)
    ProcessPause.revert(hold, host)
    runtime.write_note(hold)
    assert not found(host, hold.mark)


def test_toxics_of_all_proxies_are_found_and_dead_proxies_are_passed_over(
    proxy: Proxy, host: Host, runtime: Path
) -> None:
    planned = fault("host.tcp-proxy", target={"listen": proxy.listen}, latency="1s")
    hold = leased(planned.plan(host, random.Random(1)))
    TcpProxy.inject(hold, host)
    (runtime / "proxy-127.0.0.1-1.sock").touch()
    (seen,) = found(host, hold.mark)
    assert "ends by itself in" in seen.detail
    assert seen.hold is not None
    assert seen.hold.targets[0].key == hold.targets[0].key
    TcpProxy.revert(seen.hold, host)
    assert TcpProxy.restored(hold, host).seen
    assert not found(host, hold.mark)


def test_what_a_command_left_running_is_found(host: Host, tmp_path: Path) -> None:
    mark = f"mark-{tmp_path.name}"
    host.run("sleep 600 &", timeout=5, env={}, cwd="/", mark=mark)
    try:
        (seen,) = found(host, mark)
        assert seen.target.startswith("sleep (pid ")
    finally:
        host.end_marked(mark)
    assert not found(host, mark)


def test_a_file_that_is_not_ours_in_the_runtime_directory_does_no_harm(
    host: Host, runtime: Path
) -> None:
    (runtime / "pause-x.json").write_text("{")
    with contextlib.suppress(OSError):
        (runtime / "pause-y.json").mkdir()
    assert host.pauses() == []
