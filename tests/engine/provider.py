"""A small provider on real files and in real time, for tests of the real engine.

A fault is a file named by its mark; a probe reads a file that says how the system is. Both
can be told to hang or to fail.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import ClassVar

import msgspec

from chaosrun.discovery import Provider
from chaosrun.errors import Transient
from chaosrun.fault import Evidence, Fault, Hold
from chaosrun.probe import Probe
from chaosrun.targeting import Target
from chaosrun.units import Duration


class FileFault(Fault[None], frozen=True, kw_only=True):
    """Puts a file into a directory; `hang` makes the injection wait first.

    `lag` makes the revert wait first, and three times as long the answer of what was looked at.
    """

    name: ClassVar[str] = "file.fault"
    directory: str
    thing: str = "thing"
    hang: Duration = Duration(0)
    lag: Duration = Duration(0)
    workload: str = ""
    reserved: str = ""
    of: int = 1

    def plan(self, client: None, rng: random.Random) -> Hold:
        undo = {
            "directory": self.directory, "hang": self.hang.seconds, "lag": self.lag.seconds,
        }  # fmt: skip
        target = Target(
            kind="file", id=f"{self.directory}/{self.thing}", undo=undo,
            groups={"workload": self.workload}, reserved=self.reserved,
        )  # fmt: skip
        return Hold(
            fault=self.name, targets=(target,), population=self.of, effect="a file is there",
            populations={f"file workload={self.workload}": self.of} if self.workload else {},
        )  # fmt: skip

    @classmethod
    def inject(cls, hold: Hold, client: None) -> None:
        time.sleep(hold.targets[0].undo["hang"])
        _file(hold).write_text("here", encoding="utf-8")

    @classmethod
    def revert(cls, hold: Hold, client: None) -> None:
        time.sleep(hold.targets[0].undo["lag"])
        reverted = _file(hold).with_suffix(".reverted")
        reverted.write_text(str(time.time()), encoding="utf-8")
        _file(hold).unlink(missing_ok=True)

    @classmethod
    def took_effect(cls, hold: Hold, client: None) -> Evidence:
        return Evidence(_file(hold).exists(), "looked for the file")

    @classmethod
    def restored(cls, hold: Hold, client: None) -> Evidence:
        gone, looked_at = not _file(hold).exists(), time.time()
        time.sleep(3 * hold.targets[0].undo["lag"])
        return Evidence(gone, "looked for the file", measured={"looked_at": looked_at})


class FileSays(msgspec.Struct, frozen=True):
    text: str
    read_at: float


class FileProbe(Probe[None, FileSays], frozen=True, kw_only=True):
    """Reads a file: `hang` makes it wait, `raise` fail, `bug` fail in a way nobody foresaw."""

    name: ClassVar[str] = "file.probe"
    Result: ClassVar[type[msgspec.Struct]] = FileSays
    path: str
    timeout: Duration = Duration(1)

    def observe(self, client: None) -> FileSays:
        text = Path(self.path).read_text(encoding="utf-8")
        if text == "hang":
            time.sleep(20)
        if text == "raise":
            raise Transient("cannot look now")
        if text == "bug":
            raise ZeroDivisionError
        return FileSays(text, time.time())


def _file(hold: Hold) -> Path:
    return Path(hold.targets[0].undo["directory"]) / hold.mark


provider = Provider(
    name="file",
    package="tests.engine",
    faults={"file.fault": "provider:FileFault"},
    probes={"file.probe": "provider:FileProbe"},
)
