"""Each file in broken/ begins with what must be said about it, and nothing else may be.

`# expect: LINE:COLUMN message = suggestion`, one line each; for JSON in a file beside it. To
add one, write the file, run the test, and read with care what it says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosrun.loading import Invalid, load_file
from tests.loading.making import in_one_line

BROKEN = Path(__file__).parent / "broken"
FILES = sorted(path for path in BROKEN.iterdir() if path.suffix in (".yaml", ".json"))
TOUCHING = ("socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.kill", "os.exec")

_touched: list[str] = []
_watching = False


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if not _watching:
        return
    if event in TOUCHING or (event == "open" and set(str(arguments[1])) & set("wax+")):
        _touched.append(f"{event} {arguments!r}")


sys.addaudithook(_watch)


@pytest.fixture
def _untouched() -> Iterator[None]:
    """Nothing is connected to, started, signalled or written."""
    global _watching
    _touched.clear()
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    _watching = True
    yield
    _watching = False
    sys.dont_write_bytecode = before
    assert _touched == []


@pytest.mark.usefixtures("_untouched")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_broken_file_is_told_every_mistake_once_at_its_place(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHAOSRUN_TEST_UNSET", raising=False)
    with pytest.raises(Invalid) as caught:
        load_file(file)
    assert [in_one_line(problem) for problem in caught.value.problems] == _expected(file)
    assert caught.value.count == len(caught.value.problems)
    assert all(problem.file == str(file) for problem in caught.value.problems)


def test_at_least_60_kinds_of_broken_file_are_known() -> None:
    assert len(FILES) >= 60


def _expected(file: Path) -> list[str]:
    if file.suffix == ".json":
        return (BROKEN / f"{file.name}.expect").read_text().splitlines()
    lines = file.read_text().splitlines()
    return [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]
