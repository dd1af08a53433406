"""Processes of containers as this machine sees them, where the engine is on it.

Law: a process id that an engine gives means something only on the engine's machine, and in its
namespace of process ids; it is believed when the process's cgroup bears the container's id.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from chaosrun import procfs
from chaosrun.errors import Refused
from chaosrun.fault import Permission
from chaosrun.mechanisms.inside import cgroup_files
from chaosrun.procfs import Identity

KILL = Permission("linux", "CAP_KILL", "the first processes of containers on this machine")


def is_here(pid: int, container: str) -> bool:
    """Whether that process is on this machine and in that container."""
    try:
        return pid > 0 and container in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


def alive(pid: int, container: str) -> bool:
    """Whether it is still there and runs code of its own."""
    seen = procfs.process(pid)
    return seen is not None and not seen.ended and is_here(pid, container)


def members(pid: int) -> list[Identity]:
    """The processes of a first process's control group, by id. Kernel threads are in none."""
    files = cgroup_files(pid)
    found = {int(word) for path in files for word in path.read_text().split()}
    seen = (procfs.process(each) for each in sorted(found))
    return [each.identity for each in seen if each is not None and not each.ended]


def may_signal(pid: int) -> bool:
    """Whether we are allowed to signal it; it is not."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False
    except ProcessLookupError:
        pass
    return True


def send_signal(pid: int, container: str, number: int) -> None:
    """Signal it if it still is in that container. Raises Refused."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            if is_here(pid, container):  # looked at after the handle was taken: no mistake
                signal.pidfd_send_signal(handle, number)
        except PermissionError:
            raise Refused(
                f"not allowed to signal process {pid}", hint="run as root, or with CAP_KILL"
            ) from None
        finally:
            os.close(handle)
