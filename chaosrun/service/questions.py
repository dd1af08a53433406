"""The questions of schedules, read shortly before they are due, so that none waits for another.

Law (L4): what is asked is what its files say when it is due: what was read before counts only while
no file of it has changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from chaosrun.asking import Question
from chaosrun.codec import to_json
from chaosrun.loading import Invalid
from chaosrun.loading.schedules import load_schedule
from chaosrun.service.fire_runs import question_of

Signature = tuple[tuple[str, int, int], ...]
_MOST = 4000


class Asked(msgspec.Struct, frozen=True):
    """A question as the agenda has it; or why there is none."""

    body: str = ""
    wrong: str = ""
    files: tuple[str, ...] = ()
    signature: Signature = ()


class Questions:
    """The questions of some schedules, by the path of the schedule's file."""

    def __init__(self) -> None:
        self._ready: dict[Path, Asked] = {}

    def of(self, path: Path) -> Asked:
        """The question of the schedule in that file, as it is now."""
        known = self._ready.pop(path, None)
        if known is not None and signature(known.files) == known.signature:
            return known
        return _read(path)

    def prepare(self, paths: Sequence[Path], clock: Callable[[], float] = time.monotonic) -> bool:
        """Read some that are due soon, for a moment only; whether there are more to read."""
        until = clock() + 0.05
        for path in paths:
            if path in self._ready:
                continue
            if clock() > until:
                return True
            if len(self._ready) >= _MOST:
                return False
            self._ready[path] = _read(path)
        return False


def signature(files: Sequence[str]) -> Signature:
    """What changes when one of the files changes, comes or goes."""
    found = []
    for file in files:
        try:
            stat = Path(file).stat()
            found.append((file, stat.st_mtime_ns, stat.st_size))
        except OSError:
            found.append((file, 0, -1))
    return tuple(found)


def _read(path: Path) -> Asked:
    before = signature((str(path),))
    try:
        loaded = load_schedule(path, secrets_elsewhere=True).question
    except Invalid as error:
        return Asked(wrong=str(error))  # without a signature: it is read again
    assert loaded is not None, "a schedule that was loaded whole has its question"
    question = question_of(loaded)
    files = _files(path, question)
    now = signature(files)
    if now[0] != before[0]:
        return _read(path)
    return Asked(body=to_json(question).decode(), files=files, signature=now)


def _files(path: Path, question: Question) -> tuple[str, ...]:
    sources = {question.source, *(part.source for part in question.parts)} - {str(path)}
    return (str(path), *sorted(sources))
