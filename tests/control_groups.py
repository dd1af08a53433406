"""A control group of a test's own, in the hierarchy that counts processes."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

_V1 = Path("/sys/fs/cgroup/pids")
_V2 = Path("/sys/fs/cgroup")
_ROOT = _V1 if _V1.is_dir() else _V2


class ControlGroup:
    """One directory below /sys/fs/cgroup."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = directory.name
        self.path = f"/{directory.relative_to(_ROOT)}"

    def take(self, pid: int) -> None:
        """Move a process here."""
        (self.directory / "cgroup.procs").write_text(str(pid))

    def below(self, name: str) -> ControlGroup:
        """A group in this one."""
        child = ControlGroup(self.directory / name)
        child.directory.mkdir()
        return child

    def read(self, name: str) -> str:
        return (self.directory / name).read_text().strip()

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)


@contextlib.contextmanager
def made() -> Iterator[ControlGroup]:
    """A new group; what runs in it moves out at the end, and it goes away."""
    directory = _ROOT / f"chaosrun-test-{uuid.uuid4().hex[:12]}"
    try:
        directory.mkdir()
    except OSError as error:
        pytest.skip(f"needs control groups that can be made ({error}): run as root, "
                    "in Docker with --privileged")  # fmt: skip
    try:
        yield ControlGroup(directory)
    finally:
        for each in sorted([directory, *directory.rglob("*/")], reverse=True):
            _empty(each)
            each.rmdir()


def _empty(group: Path) -> None:
    until = time.monotonic() + 60
    while pids := (group / "cgroup.procs").read_text().split():
        if time.monotonic() > until:
            raise TimeoutError(f"{group} still holds {pids}")
        for pid in pids:
            with contextlib.suppress(OSError):  # it ended
                (_ROOT / "cgroup.procs").write_text(pid)
        os.sched_yield()
