"""A world of AWS to practise on: it comes up with the shop, and nothing of it is left."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaosrun.errors import ChaosrunError, Rejected
from chaosrun.lab import processes
from chaosrun.lab.aws import control
from chaosrun.lab.experiments import lab_experiments, write_aws_experiments
from chaosrun.units import Duration
from tests.lab.ports import free_first_port, wait_until

SHORT = Duration(120)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "lab-aws"
    control.down(tmp_path / "lab-aws")


def chaosrun(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chaosrun", *words], capture_output=True, text=True, timeout=120,
        env={**os.environ, **environment},
    )  # fmt: skip


def test_a_person_can_practise_on_it_without_an_account(tmp_path: Path) -> None:
    directory, first = str(tmp_path / "lab"), free_first_port()
    try:
        up = chaosrun("lab", "up", "--aws", "--directory", directory, "--base-port", str(first))
        assert up.returncode == 0, up.stderr
        exported = [line.split()[1] for line in up.stdout.splitlines() if "export " in line]
        environment = dict(word.split("=", 1) for word in exported)
        assert environment["AWS_ENDPOINT_URL"] == f"http://127.0.0.1:{first + 90}"
        again = chaosrun("lab", "up", "--aws", "--directory", directory, "--base-port", str(first))
        assert again.returncode == 0
        shown = chaosrun("lab", "status", "--directory", directory)
        assert shown.returncode == 0
        assert f"a world of AWS is up at http://127.0.0.1:{first + 90}" in shown.stdout
        copies = str(tmp_path / "aws")
        words = ["lab", "experiments", "--aws", "--write", copies, "--directory", directory]
        assert chaosrun(*words).returncode == 0
        for name, code, *more in (
            ("02-refused-while-nothing-would-heal", 3),
            ("04-survives-the-loss-of-a-zone", 0, "--set", "hold=1s"),
            ("15-replaces-a-stopped-task", 0),
            ("21-survives-a-silent-disk", 0, "--set", "hold=1s"),
        ):
            ran = chaosrun("run", f"{copies}/{name}.yaml", *more, **environment)
            assert ran.returncode == code, ran.stdout[-2000:]
    finally:
        down = chaosrun("lab", "down", "--directory", directory)
    assert "the lab is down; 1 process ended" in down.stdout
    assert chaosrun("lab", "status", "--directory", directory).returncode == 1
    assert "no world of AWS is up" in chaosrun(*words).stderr


def test_it_ends_by_itself(place: Path) -> None:
    control.up(place, port=free_first_port(), lasts=Duration(1))
    wait_until(lambda: processes.of_lab(place) == [])
    assert control.status(place) is None


def test_what_is_missing_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec

    def without(name: str, *more: Any) -> Any:
        return None if name == "moto" else real(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(Rejected, match="needs moto, not installed") as caught:
        control.up(place, lasts=SHORT)
    assert caught.value.hint == "pip install 'chaosrun[aws-lab]'"
    assert not place.exists()


def test_a_busy_port_is_named_and_nothing_is_started(place: Path) -> None:
    port = free_first_port()
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(Rejected, match=f"the port {port} cannot be used"),
    ):
        control.up(place, port=port, lasts=SHORT)
    assert processes.of_lab(place) == []


def test_a_world_that_does_not_come_up_says_its_last_words(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = place.parent / "moto"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise RuntimeError('broken on purpose')")
    monkeypatch.setenv("PYTHONPATH", str(place.parent))
    with pytest.raises(ChaosrunError, match=r"did not come up.*broken on purpose"):
        control.up(place, port=free_first_port(), lasts=SHORT)
    assert processes.of_lab(place) == []


def test_copies_know_the_parameters_of_the_world(tmp_path: Path) -> None:
    given = {"vpc": "vpc-7", "zone": "eu-west-1c", "02/group": "stuck"}
    written = write_aws_experiments(tmp_path, given)
    assert len(written) == len(lab_experiments("aws"))
    text = next(path for path in written if path.name.startswith("04-")).read_text()
    assert "vpc: {type: string, default: vpc-7, description" in text
    assert "zone: {type: string, default: eu-west-1c, description" in text
    groups = {path.name[:2]: "default: stuck" in path.read_text() for path in written}
    assert [number for number, stuck in groups.items() if stuck] == ["02"]
