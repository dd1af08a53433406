"""Running processes may open only a few files more: their own soft limit is lowered.

Law (L2): the limit that was there is in the order. A soft limit may be raised up to the hard one
again without any right, so the way back is always open; what they have open stays open. A process
gets its own limit back, and what it started meanwhile gets the same, never more than its hard one.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterable, Iterator
from itertools import chain

import msgspec

from chaosrun import procfs
from chaosrun.errors import ChaosrunError, Indeterminate, Refused
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
    """Each of `processes` can open `leave` files more.

    `youngest` is what the function of that name said when it was planned: what started later has
    its limit from one of them.
    """

    processes: tuple[Limited, ...]
    leave: int
    youngest: int = 0

    def apply(self, here: Here) -> None:  # noqa: ARG002
        for each in self.processes:
            with contextlib.suppress(_Ended), _still(each.identity):
                soft, hard = resource.prlimit(each.pid, resource.RLIMIT_NOFILE)
                if soft == each.soft:
                    _set(each.pid, _limit_for(each.pid, self.leave, soft), hard)

    def look(self, here: Here) -> Seen:  # noqa: ARG002
        words, there, left, ended = [], 0, 0, 0
        measured: dict[str, int] = {}
        for each in self.processes:
            try:
                with _still(each.identity):
                    soft, hard = resource.prlimit(each.pid, resource.RLIMIT_NOFILE)
                    opened = len(os.listdir(f"/proc/{each.pid}/fd"))
            except _Ended:
                ended += 1
                continue
            lowered = _is_lower(soft, _at_most(hard, each.soft))
            there += lowered
            left += lowered
            measured[f"limit.{each.pid}"], measured[f"open.{each.pid}"] = soft, opened
            words.append(f"process {each.pid} has {opened} open of {_word(soft)}")
        if ended:
            words.append(f"{ended} ended")
        whole = there > 0 and there + ended == len(self.processes)
        return Seen(whole, "; ".join(words), dict(measured), left=left > 0)

    def remove(self, here: Here) -> None:  # noqa: ARG002
        wrong: list[ChaosrunError] = []
        # Those that we limited are first: from then on nothing starts with a limit of ours.
        for identity, soft in chain(self._limited(), self._started_since()):
            try:
                _restore(identity, soft)
            except ChaosrunError as error:  # the others get theirs all the same
                wrong.append(error)
        if wrong:
            raise type(wrong[0])("; ".join(map(str, wrong)), hint=wrong[0].hint)

    def _limited(self) -> Iterator[tuple[Identity, int]]:
        for each in self.processes:
            yield each.identity, each.soft

    def _started_since(self) -> Iterator[tuple[Identity, int]]:
        """What they started meanwhile, as far as /proc still tells, each with their own limit.

        What was there before was not limited, and so neither was what that one started.
        """
        own, children = dict(self._limited()), _children()
        left = list(own.items())
        while left:
            parent, soft = left.pop()
            for child in children.get(parent.pid, []) if procfs.runs(parent) else ():
                if child not in own and child.started > self.youngest:
                    yield child, soft
                    left.append((child, soft))


def youngest(processes: Iterable[Identity]) -> int:
    """When the youngest of them, and of all that descend from them, started."""
    children, found = _children(), set(processes)
    left = list(found)
    while left:
        new = set(children.get(left.pop().pid, [])) - found
        found |= new
        left += new
    return max((each.started for each in found), default=0)


def _children() -> dict[int, list[Identity]]:
    """Who started whom, by the id of the one that did."""
    found: dict[int, list[Identity]] = {}
    for each in procfs.processes():
        found.setdefault(each.parent, []).append(each.identity)
    return found


class _Ended(Exception):
    pass


@contextlib.contextmanager
def _still(identity: Identity) -> Iterator[None]:
    """Something with exactly that process. Raises _Ended, and Refused when we may not.

    There is no handle for this call, so it is looked at before and after: an id is not given
    to another within that time unless all of them were given in between.
    """
    if not procfs.runs(identity):
        raise _Ended
    try:
        yield
    except PermissionError:
        raise Refused(
            f"not allowed to limit process {identity.pid}",
            hint="run as its user, or with CAP_SYS_RESOURCE",
        ) from None
    except (ProcessLookupError, FileNotFoundError):
        raise _Ended from None
    except (OSError, ValueError) as error:
        raise Indeterminate(f"the limit of process {identity.pid}: {error}") from None


def _restore(identity: Identity, before: int) -> None:
    with contextlib.suppress(_Ended), _still(identity):
        soft, hard = resource.prlimit(identity.pid, resource.RLIMIT_NOFILE)
        before = _at_most(hard, before)
        if _is_lower(soft, before):
            _set(identity.pid, before, hard)


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


def _at_most(hard: int, soft: int) -> int:
    """That soft limit; the hard one where it is lower, as a process may have made it."""
    return hard if _is_lower(hard, soft) else soft


def _word(limit: int) -> str:
    return "any number" if limit == resource.RLIM_INFINITY else str(limit)
