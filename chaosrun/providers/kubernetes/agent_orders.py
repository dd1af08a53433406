"""What agents are told: to begin, to look, to end; and that another cleans up after a killed one.

Law (L2): what was for an agent is taken away when its end was seen, the mark last. Law (L6): what
is said to be there, or gone, the agent saw or the kubelet.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence

from chaosrun.errors import ChaosrunError, Indeterminate, Transient
from chaosrun.fault import Hold
from chaosrun.mechanisms.asking import seen_of
from chaosrun.mechanisms.harm import Seen
from chaosrun.providers.kubernetes import agent_pods, marks
from chaosrun.providers.kubernetes.access import access_of
from chaosrun.providers.kubernetes.agent_states import Pods, State, answer_of, watched
from chaosrun.providers.kubernetes.agents import RUN, At
from chaosrun.providers.kubernetes.answers import NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import uid_of
from chaosrun.providers.kubernetes.pod_kill import ref_of

_ANSWERS_WITHIN = 15.0
_ENDS_WITHIN = 60.0
TELL_AGAIN = 1.0
"""An order that was not heard is given again after so many seconds."""


def ask(hold: Hold, client: Kubernetes, at: At, word: str) -> Seen:
    """What the agent says to `go`, `look` or `end`. Raises what it raised.

    When it begins it is told how long it may last, by the clock that made the deadline.
    """
    words: Sequence[str] = (*RUN, word, at.errand.mark)
    if word == "go":
        words = (*words, f"{at.errand.deadline - time.time():.3f}")
    said = client.execute(access_of(hold), at.pod, at.name, words, _ANSWERS_WITHIN)
    answer = answer_of(said)
    if answer is None:
        raise Indeterminate(f"the agent at {at.target.label} said {said[-200:]!r}")
    return seen_of(answer)


def goes(hold: Hold, client: Kubernetes, at: At, now: Pods) -> bool:
    """Whether it is there, having told the agent to begin. Raises what it failed of."""
    state = now.state(at, hold)
    if state.error is not None:
        seen_of(state.error)
    if state.word in ("ended", "killed"):
        raise Indeterminate(f"the agent at {at.target.label} has gone: {state.said}")
    if state.word != "running":
        return False
    try:
        return ask(hold, client, at, "go").there
    except (Transient, Indeterminate):  # it ended meanwhile, or has not begun: the state will tell
        return False


def end(hold: Hold, client: Kubernetes, at: At) -> None:
    """Have an agent end what it did, see that it has, and take away all that was for it."""
    now = Pods(hold, client)
    pod, marked = now.target(at), now.is_marked(at, hold)
    state = now.state(at, hold)
    if state.word == "running":
        state = _await_end(hold, client, at, tell=True)
    lost = state.word == "absent" and at.way == "helper" and marked
    if pod is not None and (state.word == "killed" or lost):
        _clean_up(hold, client, at)
    _take_away(hold, client, (at, *at.others()))
    if marked:
        with contextlib.suppress(NotFound):
            client.change(
                access_of(hold), ref_of(at.target), lambda found: marks.take(found, hold),
                uid=at.target.id,
            )  # fmt: skip


def as_before(hold: Hold, client: Kubernetes, at: At, now: Pods) -> tuple[bool, str]:
    """Whether nothing is left of what an agent did, and why that is known or not."""
    pod, state = now.target(at), now.state(at, hold)
    if pod is None:  # one that has ended is there yet, with its mark
        if now.is_marked(at, hold):
            return False, "has ended, and is still marked"
        return True, "is gone, and with it what was done to it"
    match state.word:
        case "running":
            try:
                looked = ask(hold, client, at, "look")
            except (NotFound, Transient, Indeterminate) as error:
                return False, f"the agent does not answer, and may be about to end: {error}"
            return not looked.any, looked.detail
        case "waiting":
            return True, "its agent has not begun, and does nothing unless it is told to"
        case "ended":
            return True, "the agent has ended it"
        case "killed":
            others = [now.state(other, hold) for other in at.others()]
            cleaned = any(each.word == "ended" and not _has_failed(each) for each in others)
            return cleaned, f"the agent: {state.said}" if not cleaned else "another has ended it"
    lost = at.way == "helper" and now.is_marked(at, hold)
    return not lost, "its agent was deleted, and nobody saw the end" if lost else "as it was"


def _await_end(hold: Hold, client: Kubernetes, at: At, *, tell: bool) -> State:
    """How it ended: by itself, or told to, and again where it was not heard.

    Raises Indeterminate when it does not end.
    """
    last: list[State] = []

    def over(now: Kubernetes) -> bool:
        last[:] = [Pods(hold, now).state(at, hold)]
        if tell and last[0].word == "running":
            with contextlib.suppress(ChaosrunError):  # it may end before it has answered
                ask(hold, now, at, "end")
        return last[0].word in ("ended", "killed", "absent")

    said = f"the agent at {at.target.label} should end"
    client.until(over, said, _ENDS_WITHIN, watched(hold), TELL_AGAIN)
    return last[0]


def _clean_up(hold: Hold, client: Kubernetes, at: At) -> None:
    """Let another agent take away what one left that was killed."""
    now = Pods(hold, client)
    state = State("absent", "nobody has taken it away")
    for other in at.others():
        state = now.state(other, hold)
        if _has_failed(state):
            continue
        if state.word == "absent":
            agent_pods.start(hold, client, other, "undo")
        state = _await_end(hold, client, other, tell=False)
        break
    if state.word != "ended" or _has_failed(state):
        _take_away(hold, client, at.others())  # so that their names are free for the next try
        raise Indeterminate(f"what the agent at {at.target.label} left is there: {state.said}")


def _has_failed(state: State) -> bool:
    """Whether an agent was killed, or has ended with an error."""
    return state.word == "killed" or (state.word == "ended" and state.error is not None)


def _take_away(hold: Hold, client: Kubernetes, these: Iterable[At]) -> None:
    """Delete the helper pods, at once: their containers have ended, or were never told to begin."""
    now = Pods(hold, client)
    for each in these:
        if (found := now.helper(each, hold)) is not None:
            client.delete(access_of(hold), each.pod, uid_of(found), 0)
