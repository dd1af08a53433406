"""Secrets are used and never seen again (law L9)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from chaosrun import events as e
from chaosrun.events import Verdict
from tests.engine.conftest import Driven, World


@pytest.mark.parametrize("value", ["break", "targets", "type", "hunter2-hunter2"])
def test_a_secret_is_in_no_event_whatever_word_it_is(
    world: World, driven: Driven, tmp_path: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", value)
    (world.faults / value).mkdir()
    experiment = world.experiment(
        with_={"directory": f"{world.faults}/${{secrets.word}}", "thing": "${secrets.word}"}
    )
    spec = replace(experiment.spec, secrets={"word": {"env": "A_SECRET"}})
    driven.start(replace(experiment, spec=spec))
    finished = driven.end()
    assert finished.verdict is Verdict.PASSED, finished.reason
    holds = [x.hold for x in driven.events if isinstance(x, e.Leased)]
    assert all("${secrets.word}" in hold.targets[0].id for hold in holds)
    assert all(value not in hold.targets[0].id.replace(str(world.faults), "") for hold in holds)
    if value == "hunter2-hunter2":
        stored = (tmp_path / "state" / "journal.db").read_bytes()
        stored += (tmp_path / "state" / "journal.db-wal").read_bytes()
        assert value.encode() not in stored
    assert os.listdir(world.faults / value)[0].endswith(".reverted")
