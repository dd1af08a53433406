"""An agent does nothing until it is told, and ends when it was told to, whatever its clock says."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import pytest

from chaosrun.codec import from_json, to_json
from chaosrun.errors import Transient
from chaosrun.mechanisms import agent, supervisor
from chaosrun.mechanisms.agent import Errand, Press
from chaosrun.mechanisms.asked.pressure import Busy
from chaosrun.mechanisms.asking import Answer
from chaosrun.units import Share
from tests.mechanisms.conftest import eventually


@contextlib.contextmanager
def sent(deadline: float) -> Iterator[tuple[Errand, subprocess.Popen[bytes]]]:
    """An agent that would keep a processor a little busy, with that deadline of its runner."""
    wish = Press(cpu=Busy(load=Share(0.05), cores=1, mechanism="worker"))
    errand = Errand(mark=uuid.uuid4().hex, deadline=deadline, wish=wish)
    words = [sys.executable, *supervisor.SIGN, "agent", errand.mark, to_json(errand).decode()]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            assert eventually(lambda: errand.mark in supervisor.holders())
            yield errand, process
        finally:
            process.terminate()


def answer(process: subprocess.Popen[bytes]) -> Answer:
    said, _ = process.communicate(timeout=20)
    return from_json(said, Answer)


@pytest.mark.parametrize("ahead", [600, -600])
def test_clocks_that_differ_neither_prolong_nor_shorten_it(ahead: float) -> None:
    with sent(time.time() + 8 - ahead) as (
        errand,
        process,
    ):  # the node's clock is ahead of the runner's
        began = time.monotonic()
        assert agent.go(errand.mark, 8).there
        assert agent.go(errand.mark, 600).there  # the first end counts
        process.wait(timeout=150)
        assert 7 < time.monotonic() - began < 120
        assert errand.mark not in supervisor.holders()


def test_one_that_is_told_too_late_does_nothing() -> None:
    with sent(time.time() + 600) as (errand, process):
        with pytest.raises(Transient):
            agent.go(errand.mark, -1)
        assert "deadline has passed" in answer(process).error
