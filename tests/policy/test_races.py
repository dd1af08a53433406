"""Real processes that start at once never pass a bound together: SQLite and PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chaosrun import events as e
from chaosrun.journal import Journal, open_journal
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]

RACERS = 6


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/state/journal.db"


@pytest.fixture
def journal(url: str) -> Iterator[Journal]:
    opened = open_journal(url)
    yield opened
    opened.close()


def race(tmp_path: Path, url: str, spec: str, hold: float) -> list[str]:
    """What each of the racers said."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        f"apiVersion: chaosrun.dev/v1\nkind: Policy\nmetadata: {{name: race}}\nspec: {spec}\n"
    )
    (tmp_path / "faults").mkdir()
    (tmp_path / "system").write_text("well")
    with ExitStack() as cleanup:
        racers = []
        for number in range(RACERS):
            racer = subprocess.Popen(
                [sys.executable, "-m", "tests.policy.racer", url, str(tmp_path), str(policy),
                 str(number), str(hold)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            cleanup.enter_context(racer)
            cleanup.callback(racer.kill)
            racers.append(racer)
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        return [racer.communicate(timeout=60)[0].strip() for racer in racers]


def most_at_once(journal: Journal) -> int:
    """The most leases that were in place at one time, by the journal."""
    moments: list[tuple[float, int]] = []
    for row in journal.runs():
        for event in journal.events(row.run):
            if isinstance(event, e.Leased):
                moments.append((event.at, 1))
            elif isinstance(event, e.Restored):
                moments.append((event.at, -1))
    present = most = 0
    for _, change in sorted(moments, key=lambda moment: (moment[0], moment[1])):
        present += change
        most = max(most, present)
    return most


@pytest.mark.parametrize(
    ("spec", "most"),
    [
        ("{concurrency: {runs: 1}}", 1),
        ("{concurrency: {perLabel: {team: 2}}}", 2),
        ("{budget: {perWorkload: {share: 34%}}}", 2),
    ],
    ids=["concurrency", "per-label", "share"],
)
def test_runs_that_start_at_once_never_pass_a_bound_together(
    tmp_path: Path, url: str, journal: Journal, spec: str, most: int
) -> None:
    said = race(tmp_path, url, spec, hold=1.0)
    passed = [line for line in said if line.startswith("passed")]
    assert most_at_once(journal) <= most
    assert passed, said
    for line in said:
        assert line.startswith(("passed", "refused policy ")), said
    assert list((tmp_path / "faults").glob("chaosrun-*")) == [] or all(
        path.suffix == ".reverted" for path in (tmp_path / "faults").iterdir()
    )
    assert journal.standing("nobody", ["runs", "all"], []).claims == {}
