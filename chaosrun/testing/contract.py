"""The promises of a fault, each a test over a real world.

Law (L1-L3, L6): what chaosrun says about a fault is what was seen here. A promise is a function
of a lab that raises BrokenPromise; `PROMISES` are all of them.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from chaosrun import discovery
from chaosrun.codec import from_json, from_plain, to_json
from chaosrun.discovery import Provider
from chaosrun.fault import Expiry, Fault, Hold, Reversal
from chaosrun.testing.clients import Counting, Failure, Shuffling
from chaosrun.testing.lab import BrokenPromise, Lab
from chaosrun.units import JSON

Promise = Callable[[Lab], None]
_ANSWERS_WITHIN = 30.0
_MOST_CALLS = 200
_TIMES_LONGER = (1, 2, 4, 8)


def check(promise: Promise, lab: type[Lab]) -> None:
    """Raise BrokenPromise when the fault of that lab does not keep the promise."""
    with lab() as world:
        promise(world)


def without_lab(labs: Iterable[type[Lab]], *providers: Provider) -> list[str]:
    """The faults of these providers that no lab is for; of all built-in ones if none is given."""
    known = {lab.fault for lab in labs}
    names = {n for p in providers or discovery.builtin_providers() for n in p.faults}
    return sorted(names - known)


def it_explains_itself(lab: Lab) -> None:
    """It has a name, a help text, and an example that is valid."""
    kind = lab.kind()
    _want(kind.name == lab.fault, f"its name is {kind.name!r}")
    _want(bool((kind.__doc__ or "").strip()), "it has no docstring, which is its help")
    _want(kind.__doc__ != Fault.__doc__, "its docstring is that of Fault")
    _want(bool(kind.example), "it has no example")
    _want(set(kind.example) <= {"target", "with"}, "its example is not {target, with}")
    fields = dict(kind.example.get("with", {}))
    if "target" in kind.example:
        fields["target"] = kind.example["target"]
    try:
        from_plain(fields, kind)
    except msgspec.ValidationError as error:
        raise BrokenPromise(f"its example is not valid: {error}") from error


def planning_changes_nothing(lab: Lab) -> None:
    """A plan only looks, and says what will be harmed and how it comes back."""
    before = lab.snapshot()
    hold = lab.plan()
    _same(lab, before, "planning changed the world")
    kind = lab.kind()
    _want(hold.fault == lab.fault, f"the hold is of {hold.fault!r}")
    _want(bool(hold.targets), "the hold has no target")
    _want(len({t.key for t in hold.targets}) == len(hold.targets), "a target is there twice")
    _want(hold.population >= len(hold.targets), "there are more targets than population")
    _want(bool(hold.effect), "the hold does not say what the effect is")
    _want(bool(hold.way_back), "the hold does not say the way back")
    expiry = Expiry.TARGET if lab.only_said else _expiry(lab)
    _want(hold.expiry is expiry, f"the hold says that the {hold.expiry} ends it")
    declared = {*kind.permissions, *lab.typed().needs()}
    for permission in hold.used:
        _want(permission in declared, f"{permission} is used and not declared")


def the_same_seed_gives_the_same_plan(lab: Lab) -> None:
    """Whatever order things were listed in."""
    first = lab.plan(seed=7)
    _want(lab.plan(seed=7) == first, "the same seed gave another plan")
    for shuffle in range(5):
        other = lab.plan(seed=7, client=Shuffling(lab.client, shuffle))
        _want(other == first, "another order of the same list gave another plan")


def the_hold_survives_json(lab: Lab) -> None:
    """The journal gives back what was put into it."""
    hold = lab.lease()
    try:
        written = to_json(hold)
        back = to_json(from_json(written, Hold))
    except (TypeError, NotImplementedError, msgspec.MsgspecError) as error:
        raise BrokenPromise(f"the hold cannot be written as JSON: {error}") from error
    _want(back == written, "the hold comes back from JSON as another")


def it_takes_effect_and_is_restored(lab: Lab) -> None:
    """Both proofs see the difference, and the world is as it was."""
    before, hold, kind = lab.snapshot(), lab.lease(), lab.kind()
    _want(not lab.took_effect(hold).seen, "took_effect sees it before the injection")
    kind.inject(hold, lab.client)
    seen = lab.took_effect(hold)
    _want(seen.seen, f"took_effect does not see it after the injection: {seen.detail}")
    if kind.reversal is Reversal.REVERTED:
        _want(lab.snapshot() != before, "the injection changed nothing that the lab can see")
        _want(not lab.restored(hold).seen, "restored says yes while the fault is there")
    kind.revert(hold, lab.client)
    _restored(lab, hold, before)
    if kind.reversal is Reversal.REVERTED:
        _want(not lab.took_effect(hold).seen, "took_effect still sees it after the revert")


def injecting_twice_is_once(lab: Lab) -> None:
    """Also with no harm done to another target, and with one revert enough for both."""
    before, hold, kind = lab.snapshot(), lab.lease(), lab.kind()
    kind.inject(hold, lab.client)
    once = lab.snapshot()
    kind.inject(hold, lab.client)
    if kind.reversal is Reversal.REVERTED:
        _same(lab, once, "a second injection changed the world")
    kind.revert(hold, lab.client)
    _restored(lab, hold, before)


def reverting_twice_is_once(lab: Lab) -> None:
    """A revert that was done may be done again."""
    before, hold, kind = lab.snapshot(), lab.lease(), lab.kind()
    kind.inject(hold, lab.client)
    kind.revert(hold, lab.client)
    _restored(lab, hold, before)
    kind.revert(hold, lab.client)
    _restored(lab, hold, before)


def reverting_what_was_not_injected_is_harmless(lab: Lab) -> None:
    """A crash may come between the lease and the injection."""
    before, hold = lab.snapshot(), lab.lease()
    lab.kind().revert(hold, lab.client)
    _same(lab, before, "a revert without injection changed the world")
    _want(lab.restored(hold).seen, "restored says no, though nothing was injected")


def a_failure_at_any_call_can_be_reverted(lab: Lab) -> None:
    """Each call to the target fails in turn, before and after it was done; so in reverts."""
    if lab.kind().reversal is Reversal.IRREVERSIBLE:
        return
    before, kind = lab.snapshot(), lab.kind()
    for acts in (False, True):
        for _ in _failing(lab, acts, lambda hold, client: kind.inject(hold, client), before):
            pass
        for hold in _failing(lab, acts, lambda hold, client: kind.revert(hold, client), before):
            kind.inject(hold, lab.client)


def another_process_can_revert(lab: Lab) -> None:
    """From the hold alone, as it is in the journal."""
    before, hold = lab.snapshot(), lab.lease()
    lab.kind().inject(hold, lab.client)
    with _acting(lab, "revert", hold):
        pass
    _restored(lab, hold, before)


def it_ends_though_the_runner_is_killed(lab: Lab) -> None:
    """With `expiry: target` by itself at its deadline; else by a revert from another process."""
    kind = lab.kind()
    if kind.reversal is Reversal.IRREVERSIBLE:
        return
    before = lab.snapshot()
    hold = _left_by_a_killed_runner(lab, before)
    if _expiry(lab) is Expiry.RUNNER:
        kind.revert(hold, lab.client)
    elif time.time() < hold.deadline - 0.5:
        seen = lab.took_effect(hold)
        in_time = time.time() < hold.deadline  # else it may have ended while it was looked at
        said = f"it ended with its runner, and not at its deadline: {seen.detail}"
        _want(seen.seen or not in_time, said)
    while _expiry(lab) is Expiry.TARGET and time.time() < hold.deadline:
        time.sleep(0.01)
    _restored(lab, hold, before)
    late = time.time() - hold.deadline
    _want(
        _expiry(lab) is Expiry.RUNNER or late < lab.late, f"it ended {late:.1f}s after its deadline"
    )


def a_sweep_finds_it(lab: Lab) -> None:
    """By its mark while it is there, with what is needed to revert it; and not afterwards."""
    provider = discovery.provider_of("faults", lab.fault)
    _want(bool(provider.sweep), "its provider has no sweep")
    before, hold, kind = lab.snapshot(), lab.lease(), lab.kind()
    kind.inject(hold, lab.client)
    found = [each for each in provider.marks(lab.client) if each.mark == hold.mark]
    if lab.found_by_sweep:
        _want(len(found) == 1, f"a sweep finds it {len(found)} times")
        _want(found[0].fault == lab.fault, f"a sweep takes it for {found[0].fault}")
        if found[0].hold is not None:
            kind.revert(found[0].hold, lab.client)
            _restored(lab, hold, before)
    kind.revert(hold, lab.client)
    _restored(lab, hold, before)
    left = [each for each in provider.marks(lab.client) if each.mark == hold.mark]
    _want(not left, "a sweep still finds it after the revert")


PROMISES: tuple[Promise, ...] = (
    it_explains_itself,
    planning_changes_nothing,
    the_same_seed_gives_the_same_plan,
    the_hold_survives_json,
    it_takes_effect_and_is_restored,
    injecting_twice_is_once,
    reverting_twice_is_once,
    reverting_what_was_not_injected_is_harmless,
    a_failure_at_any_call_can_be_reverted,
    another_process_can_revert,
    it_ends_though_the_runner_is_killed,
    a_sweep_finds_it,
)


def _failing(
    lab: Lab, acts: bool, act: Callable[[Hold, Any], None], before: JSON
) -> Iterator[Hold]:
    """Do it with a failure at its first call, then its second, ...; each time revert after it.

    What is yielded before each is the hold, for what must come first.
    """
    for number in range(_MOST_CALLS):
        hold = lab.lease()
        yield hold
        client = Counting(lab.client, fail_at=number, acts=acts)
        with contextlib.suppress(Failure):
            act(hold, client)
        lab.kind().revert(hold, lab.client)
        _restored(lab, hold, before, f" after a failure at call {number + 1}: {client.calls}")
        if number >= len(client.calls):
            return
    raise BrokenPromise(f"it makes more than {_MOST_CALLS} calls")


def _left_by_a_killed_runner(lab: Lab, before: JSON) -> Hold:
    """Injected by a process that is killed. On a busy machine that may take longer than the fault
    has: then all is put back, and the next one has more time."""
    for longer in _TIMES_LONGER:
        hold = lab.lease(seconds=lab.expires_after * longer)
        try:
            with _acting(lab, "inject", hold) as process:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        except BrokenPromise:
            if longer == _TIMES_LONGER[-1] or time.time() < hold.deadline:
                raise
        if time.time() < hold.deadline:
            break
        if longer != _TIMES_LONGER[-1]:
            lab.kind().revert(hold, lab.client)
            _restored(lab, hold, before)
    return hold


def _expiry(lab: Lab) -> Expiry:
    """Who ends the fault at its deadline in that world."""
    return Expiry.RUNNER if lab.ends_by_runner else lab.kind().expiry


def _restored(lab: Lab, hold: Hold, before: JSON, when: str = "") -> None:
    lab.eventually(lambda: lab.restored(hold), lambda e: e.seen, f"restored says no{when}")
    if lab.kind().reversal is not Reversal.IRREVERSIBLE:
        said = f"the world is not as it was ({before!r:.500}), though restored says so{when}"
        lab.eventually(lab.snapshot, lambda now: now == before, said)


def _same(lab: Lab, before: JSON, said: str) -> None:
    now = lab.snapshot()
    _want(now == before, f"{said}: {before!r} became {now!r}"[:2000])


def _want(true: bool, said: str) -> None:
    if not true:
        raise BrokenPromise(said)


@contextlib.contextmanager
def _acting(lab: Lab, act: str, hold: Hold) -> Iterator[subprocess.Popen[bytes]]:
    """Another process, in a group of its own, that has done it; it is killed in the end."""
    kind = lab.kind()
    words = [act, f"{kind.__module__}:{kind.__qualname__}", lab.connect()]
    with subprocess.Popen(
        [sys.executable, "-m", "chaosrun.testing.act", *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            process.stdin.write(to_json(hold))
            process.stdin.close()
            ready = select.select([process.stdout], [], [], _ANSWERS_WITHIN)[0]
            if not ready or process.stdout.readline() != b"done\n":
                process.kill()
                said = process.stderr.read().decode(errors="replace")
                raise BrokenPromise(f"{act} in another process failed: {said[-1000:]}")
            yield process
        finally:
            process.kill()
