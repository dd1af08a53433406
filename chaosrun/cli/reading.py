"""Reading experiments for a command: from a file, or from standard input as `-`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from chaosrun.errors import Rejected

if TYPE_CHECKING:
    from chaosrun.loading import AnyLoaded, Checked, Loaded

STDIN = "-"
_MOST = 32 * 1024 * 1024


def load(file: str, sets: tuple[str, ...], values: str | None) -> Loaded:
    """The experiment in `file`. Raises Invalid with every problem, Rejected for another kind."""
    return only_experiment(file, load_any(file, sets, values))


def only_experiment(file: str, found: AnyLoaded) -> Loaded:
    """What was found in a file, when it is an experiment. Raises Rejected for another kind."""
    from chaosrun.loading import Loaded

    if not isinstance(found, Loaded):
        kind = type(found).__name__.removeprefix("Loaded").lower()
        raise Rejected(f"{file} is a {kind}: this command takes an experiment")
    return found


def load_any(file: str, sets: tuple[str, ...], values: str | None) -> AnyLoaded:
    """The experiment, suite or schedule in `file`. Raises Invalid with every problem."""
    from chaosrun.cli.command import parse_sets
    from chaosrun.loading import Invalid
    from chaosrun.loading import load_any as load_path

    given = parse_sets(sets)
    with real_file(file) as path:
        try:
            found = load_path(path, sets=given, values=Path(values) if values else None)
        except Invalid as error:
            if file != STDIN:
                raise
            problems = [replace(problem, file=STDIN) for problem in error.problems]
            raise Invalid(problems, error.count) from None
    return found if file != STDIN else replace(found, source=STDIN)


def check(files: tuple[str, ...], sets: tuple[str, ...], values: str | None) -> list[Checked]:
    """What came of each file, in order; a directory stands for the files in it."""
    from chaosrun.cli.command import parse_sets
    from chaosrun.loading import Checked, Invalid, check_files

    given, values_file = parse_sets(sets), Path(values) if values else None
    found: list[Checked] = []
    for file in files:
        if file != STDIN:
            found += check_files([file], sets=given, values=values_file)
            continue
        try:
            found.append(Checked(file=file, loaded=load_any(file, sets, values)))
        except Invalid as error:
            found.append(Checked(file=file, problems=error.problems, count=error.count))
    return found


@contextmanager
def real_file(file: str) -> Iterator[Path]:
    """The file itself; standard input as a file that lasts as long as the `with`."""
    if file != STDIN:
        yield Path(file)
        return
    import tempfile

    content = sys.stdin.buffer.read(_MOST + 1)
    if len(content) > _MOST:
        raise Rejected(f"standard input is longer than {_MOST >> 20} MiB")
    suffix = ".json" if content.lstrip()[:1] == b"{" else ".yaml"
    with tempfile.NamedTemporaryFile(suffix=suffix) as copy:
        copy.write(content)
        copy.flush()
        yield Path(copy.name)
