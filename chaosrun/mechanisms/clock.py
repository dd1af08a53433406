"""Processes that were started with libfaketime are told another time, by the file they ask.

The kernel gives no process that runs a clock of its own (a time namespace takes only what is
started in it). libfaketime asks a file how far its clock is off, and asks again when
FAKETIME_CACHE_DURATION has passed. Law (L2): what the file said before is in the order, and it
says that again afterwards.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chaosrun.errors import Refused
from chaosrun.mechanisms.harm import Harm, Here, Seen

_ASKS_WITHIN = 10.0
_CLOSE = 0.5


class Clock(Harm, frozen=True, kw_only=True, tag="clock"):
    """`file` says that clocks are `offset` seconds ahead. `library` is what those processes load.

    `before` is what the file said, or None where there was none.
    """

    survives_restart = True

    file: str
    offset: float
    library: str
    before: str | None = None

    def apply(self, here: Here) -> None:  # noqa: ARG002
        _write(self.file, said(self.offset))

    def look(self, here: Here) -> Seen:  # noqa: ARG002
        measured = self._measure()
        text = _read(self.file)
        ours = text == said(self.offset) and text != self.before
        if measured is None:
            return Seen(False, "no clock can be asked: libfaketime is gone", left=ours)
        return Seen(
            ours and abs(measured - self.offset) < _CLOSE,
            f"a clock that reads that file is {measured:+.1f} s off",
            {"offset": round(measured, 2)},
            left=ours,
        )

    def remove(self, here: Here) -> None:  # noqa: ARG002
        if _read(self.file) != said(self.offset):
            return  # somebody else has written since: it is no more ours
        if self.before is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.file)
        else:
            _write(self.file, self.before)

    def _measure(self) -> float | None:
        """How far a clock is off that is asked the way those processes ask theirs."""
        environment = {
            "LD_PRELOAD": self.library, "FAKETIME_TIMESTAMP_FILE": self.file,
            "FAKETIME_NO_CACHE": "1",
        }  # fmt: skip
        program = "import time; print(time.time())"
        try:
            done = subprocess.run(
                [sys.executable, "-S", "-I", "-c", program], env=environment,
                capture_output=True, text=True, timeout=_ASKS_WITHIN, check=True,
            )  # fmt: skip
            return float(done.stdout) - time.time()
        except (OSError, ValueError, subprocess.SubprocessError):
            return None


def said(offset: float) -> str:
    """What the file says for an offset, as libfaketime reads it."""
    return f"{offset:+.3f}\n"


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except OSError:
        return None


def _write(path: str, text: str) -> None:
    """In one step: nobody reads half of it. Owner and rights stay. Raises Refused."""
    directory = os.path.dirname(path)
    try:
        handle, draft = tempfile.mkstemp(prefix=".chaosrun-", dir=directory)
        with os.fdopen(handle, "w") as file:
            file.write(text)
            with contextlib.suppress(FileNotFoundError):
                seen = os.stat(path)
                os.fchown(file.fileno(), seen.st_uid, seen.st_gid)
                os.fchmod(file.fileno(), seen.st_mode & 0o7777)
        os.rename(draft, path)
    except OSError as error:
        raise Refused(f"cannot write {path}: {error.strerror}") from None
