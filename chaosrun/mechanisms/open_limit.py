"""Running processes may open only a few files more: their own soft limit is lowered.

Law (L2): the limit that was there is in the order. A soft limit may be raised up to the hard one
again without any right, so the way back is always open; what they have open stays open.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator

import msgspec

from chaosrun import procfs
from chaosrun.errors import Refused
from chaosrun.mechanisms.harm import Harm, Here, Seen
from chaosrun.procfs import Identity


class Limited(msgspec.Struct, frozen=True, kw_only=True):
    """One process and the soft limit that it has; -1 is none."""

    pid: int
    started: int
    soft: int

    @property
    def identity(self) -> Identity:
        return Identity(self.pid, self.started)


class OpenLimit(Harm, frozen=True, kw_only=True, tag="open-limit"):
    """Each of `processes` can open `leave` files more."""

    processes: tuple[Limited, ...]
    leave: int

    def apply(self, here: Here) -> None:  # noqa: ARG002
        for each in self.processes:
            with _still(each):
                soft, hard = resource.prlimit(each.pid, resource.RLIMIT_NOFILE)
                if soft == each.soft:
                    _set(each.pid, _limit_for(each.pid, self.leave, soft), hard)

    def look(self, here: Here) -> Seen:  # noqa: ARG002
        words, there, left, ended = [], 0, 0, 0
        measured: dict[str, int] = {}
        for each in self.processes:
            try:
                with _still(each):
                    soft = resource.prlimit(each.pid, resource.RLIMIT_NOFILE)[0]
                    opened = len(os.listdir(f"/proc/{each.pid}/fd"))
            except _Ended:
                ended += 1
                continue
            lowered = _is_lower(soft, each.soft)
            there += lowered
            left += lowered
            measured[f"limit.{each.pid}"], measured[f"open.{each.pid}"] = soft, opened
            words.append(f"process {each.pid} has {opened} open of {_word(soft)}")
        if ended:
            words.append(f"{ended} ended")
        whole = there > 0 and there + ended == len(self.processes)
        return Seen(whole, "; ".join(words), dict(measured), left=left > 0)

    def remove(self, here: Here) -> None:  # noqa: ARG002
        for each in self.processes:
            for pid in (each.pid, *_descendants(each.pid)):
                with contextlib.suppress(_Ended, ProcessLookupError), _still(each):
                    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
                    if _is_lower(soft, each.soft):
                        _set(pid, each.soft, hard)


class _Ended(Exception):
    pass


@contextlib.contextmanager
def _still(each: Limited) -> Iterator[None]:
    """Something with exactly that process. Raises _Ended, and Refused when we may not.

    There is no handle for this call, so it is looked at before and after: an id is not given
    to another within that time unless all of them were given in between.
    """
    if not procfs.runs(each.identity):
        raise _Ended
    try:
        yield
    except PermissionError:
        raise Refused(
            f"not allowed to limit process {each.pid}",
            hint="run as its user, or with CAP_SYS_RESOURCE",
        ) from None
    except (ProcessLookupError, FileNotFoundError):
        raise _Ended from None


def _set(pid: int, soft: int, hard: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def _limit_for(pid: int, leave: int, soft: int) -> int:
    """The limit under which just `leave` numbers are free: it bounds numbers, not how many."""
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    number, free = 0, 0
    while free < leave or number in used:
        free += number not in used
        number += 1
        if soft != resource.RLIM_INFINITY and number >= soft:
            return soft
    return number


def _is_lower(soft: int, before: int) -> bool:
    infinite = resource.RLIM_INFINITY
    return soft != infinite and (before == infinite or soft < before)


def _descendants(pid: int) -> list[int]:
    """What it started, which got the limit from it, as far as /proc still tells."""
    children: dict[int, list[int]] = {}
    for each in procfs.processes():
        children.setdefault(each.parent, []).append(each.pid)
    found, left = [], [pid]
    while left:
        for child in children.get(left.pop(), []):
            found.append(child)
            left.append(child)
    return found


def _word(limit: int) -> str:
    return "any number" if limit == resource.RLIM_INFINITY else str(limit)
