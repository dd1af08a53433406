"""Gates in whole runs, through the command line: what is not open is not run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import Chaosrun
from tests.providers.incident.fakes import FakePagerDuty, pager_incident, serving

ALWAYS = "window: {timezone: Asia/Jerusalem, days: [sun-sat], hours: [00:00-24:00]}"
FROZEN = "freeze: {dates: [{dates: 2026-01-01..2999-12-31, name: For good}]}"
CALENDAR = "freeze: {files: [freezes.ics]}"


def gates(*lines: str) -> str:
    return "  gates:\n" + "".join(f"    - {line}\n" for line in lines)


def test_an_open_window_lets_a_run_start(chaosrun: Chaosrun) -> None:
    ended = chaosrun("run", chaosrun.experiment(gates=gates(ALWAYS)))
    assert ended.returncode == 0
    assert "in Asia/Jerusalem" in ended.stdout


def test_a_freeze_refuses_a_run_and_names_itself(chaosrun: Chaosrun) -> None:
    ended = chaosrun("run", chaosrun.experiment(gates=gates(ALWAYS, FROZEN)))
    assert ended.returncode == 3
    said = " ".join(ended.stdout.split())
    assert "freeze For good (2026-01-01..2999-12-31)" in said
    assert "it does not open within two years" in said
    assert not chaosrun.marked


def test_a_freeze_calendar_that_is_not_there_refuses_a_run(chaosrun: Chaosrun) -> None:
    ended = chaosrun("run", chaosrun.experiment(gates=gates(CALENDAR)))
    assert ended.returncode == 3
    assert "cannot read the iCalendar freezes.ics" in " ".join(ended.stdout.split())
    assert not chaosrun.marked


@pytest.mark.parametrize(
    ("items", "exit_code"), [([], 0), ([pager_incident("Checkout is down")], 3)]
)
def test_an_open_incident_refuses_a_run_and_its_token_stays_secret(
    items: list[dict[str, Any]], exit_code: int, chaosrun: Chaosrun
) -> None:
    with serving(FakePagerDuty(items)) as fake:
        text = gates(f'incident.pagerduty: {{url: "{fake.url}", token: "${{secrets.token}}"}}')
        file = chaosrun.experiment(gates=text + "  secrets: {token: {env: PD_TOKEN}}\n")
        ended = chaosrun("run", file, "--events", "events.jsonl", PD_TOKEN=FakePagerDuty.token)
    assert ended.returncode == exit_code
    assert ("Checkout is down" in ended.stdout) is bool(items)
    written = ended.stdout + ended.stderr + (chaosrun.place / "events.jsonl").read_text()
    assert FakePagerDuty.token not in written


def test_every_gate_is_asked_again_before_an_injection(chaosrun: Chaosrun) -> None:
    with serving(FakePagerDuty([])) as fake:
        text = gates(f'incident.pagerduty: {{url: "{fake.url}", token: "${{secrets.token}}"}}')
        file = chaosrun.experiment(gates=text + "  secrets: {token: {env: PD_TOKEN}}\n")
        ended = chaosrun("run", file, PD_TOKEN=FakePagerDuty.token)
    assert len(fake.asked) == 2
    assert ended.returncode == 0


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("window: {timezone: Europe/Berln}", "'Europe/Berln' is not a time zone"),
        ("window: {timezone: UTC, hours: [9-17]}", "not of the form 09:00-17:00"),
        ("freeze: {dates: [{dates: 2026-12-24..2026-12-23}]}", "it ends before it begins"),
        ("incident.alertmanager: {url: http://a, matchers: [critical]}", "is not of the form"),
    ],
)
def test_a_wrong_gate_is_found_before_anything_is_touched(
    gate: str, said: str, chaosrun: Chaosrun
) -> None:
    ended = chaosrun("validate", chaosrun.experiment(gates=gates(gate)))
    assert ended.returncode == 2
    assert said in ended.stdout + ended.stderr
