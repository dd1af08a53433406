"""Four tiny worlds, and what is told at the end: how often which phase was hit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from tests.kills.world import World

WORLDS = 4
hits = pytest.StashKey[Counter[str]]()


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleQueue[World]]:
    """Worlds that nobody uses at the moment. Whoever finds one unsound puts back a new one."""
    directory = tmp_path_factory.mktemp("worlds")
    free: SimpleQueue[World] = SimpleQueue()
    for number in range(WORLDS):
        free.put(World(directory / str(number), number))
    yield free
    remains = []
    for _ in range(WORLDS):
        world = free.get()
        remains.append(world.remains())
        world.close()
    assert remains == [[]] * WORLDS


@pytest.fixture
def counted(request: pytest.FixtureRequest) -> Counter[str]:
    """How often each phase was hit, over the whole session."""
    return request.config.stash.setdefault(hits, Counter())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    counted = config.stash.get(hits, None)
    if counted:
        terminalreporter.section(f"{counted.total()} kills, by what the run was doing")
        for phase, count in counted.most_common():
            terminalreporter.write_line(f"{count:5}  {phase}")
