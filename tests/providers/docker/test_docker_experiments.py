"""Every experiment in experiments/docker/ is run by the command line on a real shop, and ends as
it says, with the shop as it was."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from chaosrun import discovery
from chaosrun.events import Verdict
from chaosrun.verdicts import exit_code
from tests.contract.labs.docker import need_root
from tests.docker_engine import docker_engine, point_at
from tests.providers.docker.shop import ComposedShop

FILES = sorted(Path("experiments/docker").glob("*.yaml"))
_SHOPS = 3
_FRESH = 20
_TRIES = 3
_NOTICED = [exit_code(each) for each in (Verdict.DEVIATED, Verdict.REFUSED, Verdict.INCONCLUSIVE)]
Outcome = tuple[int, str, list[int]]


def _ready(shop: ComposedShop) -> None:
    """Wait until customers buy, as what they say from now on tells."""
    shop.up()
    before, until = len(shop.said("client")), time.monotonic() + 60
    while True:
        fresh = shop.said("client")[before:][-_FRESH:]
        if len(fresh) == _FRESH and all(line.startswith("ok") for line in fresh):
            return
        assert time.monotonic() < until, fresh[-5:]
        time.sleep(0.05)


def verdict_of(file: Path) -> str:
    found = re.search(r"^# verdict: (\S+)$", file.read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def hold_of(file: Path) -> str:
    """Requests to what is gone may hang for some seconds before a customer says so."""
    return "5s" if verdict_of(file) == "deviated" else "1500ms"


def _run(shop: ComposedShop, file: Path, directory: Path) -> Outcome:
    """Its exit code, what it said, and how many of each service run afterwards.

    Of a machine that stands still for two seconds a sample sees no line: then it is asked again.
    What a fault does it does each time.
    """
    for _ in range(_TRIES):
        outcome = _run_once(shop, file, directory)
        if outcome[0] == exit_code(Verdict(verdict_of(file))) or outcome[0] not in _NOTICED:
            break
    return outcome


def _run_once(shop: ComposedShop, file: Path, directory: Path) -> Outcome:
    _ready(shop)
    words = [sys.executable, "-m", "chaosrun", "run", str(file), "--no-input", "--output", "json"]
    done = subprocess.run(
        [*words, "--set", f"project={shop.project}", "--set", f"hold={hold_of(file)}"],
        capture_output=True, text=True, timeout=120,
        env={**os.environ, "CHAOSRUN_JOURNAL": f"sqlite:///{directory}/{shop.project}.db"},
    )  # fmt: skip
    running = [len(shop.runs(service)) for service in ("web", "store", "client")]
    return done.returncode, done.stdout[-6000:] + done.stderr[-2000:], running


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Outcome]]]:
    """All of them, in several shops at the same time."""
    need_root()
    engine, directory = docker_engine(), tmp_path_factory.mktemp("runs")
    with ExitStack() as cleanup:
        point_at(engine, cleanup)
        shops = [ComposedShop(engine, f"shop{number}") for number in range(_SHOPS)]
        for shop in shops:
            cleanup.callback(shop.down)

        def in_turn(shop: ComposedShop, futures: list[tuple[Path, Future[Outcome]]]) -> None:
            for file, future in futures:
                try:
                    future.set_result(_run(shop, file, directory))
                except (AssertionError, OSError, subprocess.SubprocessError) as error:
                    future.set_exception(error)

        found: dict[str, Future[Outcome]] = {file.stem: Future() for file in FILES}
        pool = cleanup.enter_context(ThreadPoolExecutor(_SHOPS))
        for number, shop in enumerate(shops):
            pool.submit(in_turn, shop, [(f, found[f.stem]) for f in FILES[number::_SHOPS]])
        yield found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_ends_as_it_says_and_leaves_the_shop_as_it_was(
    outcomes: dict[str, Future[Outcome]], file: Path
) -> None:
    code, said, running = outcomes[file.stem].result(timeout=600)
    assert code == exit_code(Verdict(verdict_of(file))), said
    assert running == ([2, 1, 1] if "removed" in file.name else [3, 1, 1])


def test_every_fault_and_gate_is_in_an_experiment() -> None:
    provider = discovery.provider_of("faults", "docker.stop")
    text = "\n".join(file.read_text() for file in FILES)
    names = [*provider.faults, *provider.gates, "docker.logs", "docker.containers"]
    assert [name for name in names if not re.search(rf"{re.escape(name)}\b", text)] == []
