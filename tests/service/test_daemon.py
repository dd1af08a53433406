"""`chaosrun serve` as a process: it runs what is due, stops well, and dies without leaving harm."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from typing import Any

from chaosrun.cli.suite_runs import find_suite, summary_of
from chaosrun.events import StopRequested, Verdict
from chaosrun.journal import Halt
from chaosrun.journal.agenda import Fact, FireRow, FireState
from chaosrun.run import fold
from tests.service.place import Place, until


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def fires(place: Place, *states: FireState) -> list[FireRow]:
    return [f for f in place.journal.agenda.newest(limit=0) if not states or f.state in states]


def ended(place: Place) -> list[FireRow]:
    return fires(place, FireState.ENDED)


def verdicts(place: Place) -> list[Verdict | None]:
    return [row.verdict for row in place.journal.runs()]


def begun(place: Place, name: str = "often") -> None:
    until(lambda: place.journal.agenda.seen().get(name), what="the daemon reading the schedule")


def test_what_is_due_is_run_and_says_which_schedule_asked(place: Place) -> None:
    place.experiment()
    place.schedule(interval="1s", parameters={"hold": "50ms"})
    daemon = place.daemon("serve", str(place.schedules))
    until(lambda: len(ended(place)) >= 2, what="two fires")
    address = place.address()
    assert get(f"{address}/healthz") == (200, "ok\n")
    assert get(f"{address}/readyz") == (200, "ok\n")
    figures = dict(line.rsplit(" ", 1) for line in get(f"{address}/metrics")[1].splitlines()
                   if not line.startswith("#"))  # fmt: skip
    assert float(figures['chaosrun_fires_total{state="due"}']) >= 2
    assert float(figures['chaosrun_runs_total{verdict="passed"}']) >= 2
    assert float(figures["chaosrun_fire_lateness_seconds_count"]) >= 2
    assert figures["chaosrun_journal_up"] == "1.0"
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(60) == 0
    row = ended(place)[0]
    assert row.reason == "passed: the steady state held"
    started = next(iter(place.journal.events(row.run)))
    assert started.schedule == "often"  # type: ignore[union-attr]
    assert started.parameters == {"hold": "50ms"}  # type: ignore[union-attr]
    assert {line["event"] for line in place.said()} >= {
        "daemon started", "schedule read", "fire due", "fire claimed", "injected", "restored",
        "finished", "fire ended", "daemon stopped",
    }  # fmt: skip
    assert not place.marked()


def test_term_reverts_what_is_in_place_and_ends_well(place: Place) -> None:
    place.experiment(hold="10m")
    place.schedule(interval="1s")
    daemon = place.daemon("serve", str(place.schedules))
    until(place.marked, what="the mark")
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(60) == 0
    assert not place.marked()
    (row,) = place.journal.runs()
    assert row.verdict is Verdict.CANCELLED
    assert "SIGTERM" in ended(place)[-1].reason
    assert place.journal.locks() == []


def test_with_drain_a_run_goes_on_to_its_own_end(place: Place) -> None:
    place.experiment(hold="1500ms")
    place.schedule(interval="1s")
    daemon = place.daemon("serve", str(place.schedules), "--drain", "1m")
    until(place.marked, what="the mark")
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(60) == 0
    assert verdicts(place) == [Verdict.PASSED]


def test_what_a_killed_daemon_left_in_place_is_reverted_by_the_next_within_seconds(
    place: Place,
) -> None:
    place.experiment(hold="10m")
    place.schedule(interval="2s", concurrency="forbid")
    killed = place.daemon("serve", str(place.schedules))
    until(place.marked, what="the mark")
    (first,) = [row.run for row in place.journal.runs(unfinished=True)]
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert place.marked()
    place.daemon("worker")
    began = time.monotonic()
    until(lambda: not place.marked(), patience=60, what="the mark being gone")
    until(lambda: place.journal.agenda.claimed() == [], what="the fire being over")
    assert time.monotonic() - began < 60
    run = fold(place.journal.events(first))
    assert run.finished is not None
    assert run.owed == ()
    assert "its worker died" in ended(place)[-1].reason


def test_halt_stops_the_runs_of_another_process_within_seconds_and_skips_fires(
    place: Place,
) -> None:
    place.experiment(hold="10m")
    place.schedule(interval="1s", concurrency="allow")
    place.daemon("serve", str(place.schedules))
    until(place.marked, what="the mark")
    (row,) = [row for row in place.journal.runs() if row.verdict is None][:1]
    at = time.time()
    place.journal.set_halt(Halt(by="ann@host", reason="incident 4711", at=at))
    until(lambda: not place.marked(), what="the mark being gone")
    stop = next(e for e in place.journal.events(row.run) if isinstance(e, StopRequested))
    assert stop.at - at < 10
    until(lambda: fires(place, FireState.SKIPPED), what="a fire being skipped")
    assert "halted by ann@host: incident 4711" in {f.reason for f in fires(place)}
    count = place.injected()
    place.journal.set_halt(None)
    until(lambda: place.injected() > count, what="the next mark")


def test_pause_and_resume_work_on_a_daemon_that_runs(place: Place) -> None:
    place.experiment()
    place.schedule(interval="1s", parameters={"hold": "50ms"})
    place.daemon("serve", str(place.schedules))
    until(lambda: ended(place), what="a fire")
    paused = place.chaosrun("schedule", "pause", "often", "--reason", "release week")
    assert paused.returncode == 0, paused.stderr
    until(lambda: fires(place, FireState.SKIPPED), what="a skipped fire")
    assert fires(place, FireState.SKIPPED)[0].reason.endswith(": release week")
    now = place.journal.now()
    place.journal.agenda.note(
        Fact(schedule="often", fact="resumed", by="bob@host", reason="done", at=now)
    )
    until(lambda: any(f.at > now for f in ended(place)), what="a fire after it")


def test_a_fire_that_replaces_stops_the_last_run_first(place: Place) -> None:
    place.experiment(hold="10m")
    place.schedule(interval="2s", concurrency="replace", misfire={"within": "20s"})
    place.daemon("serve", str(place.schedules))
    until(lambda: place.injected() >= 2, what="the second mark")
    until(lambda: verdicts(place).count(Verdict.CANCELLED) >= 1, what="the first run's end")
    first = place.journal.runs()[-1]
    stop = next(e for e in place.journal.events(first.run) if isinstance(e, StopRequested))
    assert stop.by == "schedule"
    assert stop.reason == "the next fire of often replaces it"


def test_a_fire_that_must_not_run_beside_the_last_is_skipped_and_names_it(place: Place) -> None:
    place.experiment(hold="10m")
    place.schedule(interval="1s")
    place.daemon("serve", str(place.schedules))
    until(lambda: fires(place, FireState.SKIPPED), what="a skipped fire")
    (run,) = [row.run for row in place.journal.runs()]
    assert fires(place, FireState.SKIPPED)[0].reason == f"run {run} of this schedule still goes on"


def suite_of_two(place: Place, *, hold: str) -> None:
    """A suite of two experiments, as suite.json: `first`, then `second`."""
    for name in ("first", "second"):
        place.experiment(name, hold=hold)
    suite: dict[str, Any] = {
        "apiVersion": "chaosrun.dev/v1",
        "kind": "Suite",
        "metadata": {"name": "both"},
        "spec": {
            "title": "Both",
            "experiments": [
                {"name": name, "experiment": f"{name}.json"} for name in ("first", "second")
            ],
        },
    }
    (place.directory / "suite.json").write_text(json.dumps(suite))


def test_a_scheduled_suite_runs_in_its_order(place: Place) -> None:
    suite_of_two(place, hold="50ms")
    place.schedule(interval="3s", suite="../suite.json")
    place.daemon("serve", str(place.schedules))
    until(lambda: ended(place), what="the suite")
    fire = ended(place)[-1]
    assert fire.reason == "first: passed; second: passed"
    runs = {row.run: row for row in place.journal.runs()}
    first, second = runs[f"{fire.run}-01"], runs[f"{fire.run}-02"]
    assert (first.name, second.name) == ("first", "second")
    assert first.started_at < second.started_at
    started = next(iter(place.journal.events(first.run)))
    assert started.suite == fire.run  # type: ignore[union-attr]
    told = summary_of(place.journal, find_suite(place.journal, fire.run))
    assert (told.suite, told.name, told.verdict) == (fire.run, "both", Verdict.PASSED)
    assert [part.name for part in told.parts] == ["first", "second"]


def test_a_suite_whose_worker_was_killed_is_reverted_and_its_rest_is_not_started(
    place: Place,
) -> None:
    suite_of_two(place, hold="10m")
    place.schedule(interval="2s", suite="../suite.json")
    killed = place.daemon("serve", str(place.schedules))
    until(lambda: place.marked("first"), what="the mark")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    place.daemon("worker")
    until(lambda: not place.marked("first"), what="the mark being gone")
    until(lambda: not place.journal.agenda.claimed(), what="the fire being over")
    assert [row.name for row in place.journal.runs()] == ["first"]
    assert place.injected("second") == 0
    told = summary_of(place.journal, find_suite(place.journal, "last"))
    assert told.verdict is Verdict.CANCELLED
    why = "not started: the process that ran the suite ended during first"
    assert told.parts[1].reason == why


def test_a_fire_can_be_left_to_the_daemon_by_hand(place: Place) -> None:
    place.experiment(hold="50ms")
    path = place.schedule(cron="@yearly")
    place.daemon("worker")
    done = place.chaosrun("schedule", "run", str(path), "--daemon")
    assert done.returncode == 0, done.stderr
    assert "often is due now" in done.stdout
    until(lambda: ended(place), what="the fire")
    assert place.injected() == 1


def test_a_daemon_without_its_journal_says_so_and_goes_on_when_it_is_back(place: Place) -> None:
    place.experiment(hold="50ms")
    place.schedule(interval="1s")
    place.daemon("serve", str(place.schedules))
    until(lambda: ended(place), what="a fire")
    address = place.address()
    state = place.directory / "state"
    state.rename(place.directory / "away")
    until(lambda: get(f"{address}/readyz")[0] == 503, what="not being ready")
    assert "the journal is not available" in get(f"{address}/readyz")[1]
    assert get(f"{address}/healthz")[0] == 200
    (place.directory / "away").rename(state)
    until(lambda: get(f"{address}/readyz")[0] == 200, what="being ready again")
    now = time.time()
    until(lambda: any(f.at > now for f in ended(place)), what="a fire after it")


def test_a_daemon_says_what_is_wrong_with_its_command_line(place: Place) -> None:
    done = place.chaosrun("serve", "nowhere")
    assert done.returncode == 2
    assert "there is no nowhere" in done.stderr
    done = place.chaosrun("serve", "schedules", "--listen", "nonsense")
    assert done.returncode == 2
    assert "cannot listen on nonsense" in done.stderr


def test_a_fire_is_under_the_policies_as_they_are_when_it_is_claimed(place: Place) -> None:
    place.experiment(hold="50ms")
    place.schedule(interval="1s")
    policies = place.directory / "policies"
    policies.mkdir()
    policy: dict[str, Any] = {
        "apiVersion": "chaosrun.dev/v1",
        "kind": "Policy",
        "metadata": {"name": "no-commands"},
        "spec": {"faults": {"forbidden": ["aws.*"]}},
    }
    (policies / "policy.json").write_text(json.dumps(policy))
    place.daemon("serve", str(place.schedules), "--policy", str(policies))
    until(lambda: Verdict.PASSED in verdicts(place), what="a fire that the policy allows")
    policy["spec"]["faults"]["forbidden"] = ["host.*"]
    (policies / "policy.json").write_text(json.dumps(policy))
    until(lambda: Verdict.REFUSED in verdicts(place), what="a fire that the policy refuses")
    count = place.injected()
    (policies / "policy.json").write_text("{broken")
    until(lambda: any("a policy is wrong" in f.reason for f in fires(place, FireState.SKIPPED)),
          what="a fire that is skipped")  # fmt: skip
    assert place.injected() == count
