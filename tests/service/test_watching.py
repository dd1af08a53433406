"""What the README says about watching a schedule, done as it says."""

from __future__ import annotations

import re
import shlex
import signal
from pathlib import Path

import pytest

from chaosrun.journal.agenda import FireRow, FireState
from chaosrun.lab import control
from chaosrun.loading import check_files
from chaosrun.units import Duration
from tests.lab.ports import free_first_port
from tests.service.place import Place, until

ROOT = Path(__file__).parents[2]


def commands() -> list[list[str]]:
    """The command lines of the README's walk, each as words."""
    text = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"<!-- watch a schedule -->(.*?)<!-- /watch", text, re.DOTALL)
    return [shlex.split(line, comments=True) for line in block.strip().splitlines()]


def test_a_schedule_of_the_lab_is_watched_as_the_readme_says(place: Place) -> None:
    lab_up, next_, serve, list_, report = commands()
    assert lab_up == ["chaosrun", "lab", "up"]
    assert all((ROOT / words[3]).exists() for words in (next_, list_))
    up = control.up(place.directory / "lab", first_port=free_first_port(), lasts=Duration(120))
    try:
        assert up.world is not None
        written = (ROOT / serve[2]).read_text()
        experiment = (ROOT / serve[2]).parent / "../1-survives-the-loss-of-a-replica.yaml"
        written = written.replace("../1-survives", str(experiment.resolve()).split("1-surv")[0] +
                                  "1-survives")  # fmt: skip
        # The same but for the lab's ports, and for not waiting up to a minute.
        ports = str(up.world.first_port // 10)
        written = written.replace('cron: "* * * * *"', "interval: 5s")
        file = place.schedules / "every-minute.yaml"
        file.write_text(written + f'  parameters: {{lab: "{ports}"}}\n')

        told = place.chaosrun(*next_[1:3], str(file))
        assert told.returncode == 0, told.stderr
        assert "every-minute" in told.stdout
        daemon = place.daemon(*serve[1:2], str(file))
        until(lambda: any(f.state is FireState.ENDED for f in fires(place)), what="a run")
        daemon.send_signal(signal.SIGINT)
        assert daemon.wait(30) == 0
        told = place.chaosrun(*list_[1:3], str(place.schedules))
        assert "ended passed: the steady state held" in told.stdout
        first = min(row.run for row in place.journal.runs())
        told = place.chaosrun(report[1], first)
        assert "The shop keeps answering while one of its three replicas is gone" in told.stdout
        assert "passed" in told.stdout
    finally:
        control.down(place.directory / "lab")


def fires(place: Place) -> list[FireRow]:
    return list(place.journal.agenda.newest(limit=0))


def test_the_schedule_of_the_readme_is_valid(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "needed to be valid here")
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    experiment, schedule = blocks[:2]
    (place.directory / "experiment.yaml").write_text(experiment)
    (place.directory / "schedule.yaml").write_text(schedule)
    assert [one.problems for one in check_files([place.directory / "schedule.yaml"])] == [()]
