"""What a provider calls: hold a harm, look at it, end it, list what is held.

Law (L3): `hold` returns when the harm is in place and its end is armed in a process of its own;
who called may die then. Each of them may be repeated.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from typing import Literal

import msgspec

from chaosrun.codec import from_json
from chaosrun.errors import ChaosrunError, Indeterminate, Refused, Transient
from chaosrun.mechanisms import supervisor
from chaosrun.mechanisms.directory import VARIABLE, runtime_directory
from chaosrun.mechanisms.harm import Order, Seen, write_order
from chaosrun.mechanisms.notes import notes, read_note

__all__ = ["end", "hold", "look", "notes", "read_note", "sweep"]

_WITHIN = 30.0
_LONGEST = 800
"""Characters of an error: of what a container says at its end, a kubelet keeps 2048 bytes."""
_KINDS: dict[str, type[ChaosrunError]] = {
    kind.__name__: kind for kind in (Refused, Transient, Indeterminate)
}


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The line that `python -m chaosrun.mechanisms` says."""

    seen: Seen | None = None
    kind: str = ""
    error: str = ""
    hint: str = ""
    code: str = ""


def answer_of(said: Seen | ChaosrunError) -> Answer:
    """What was seen or went wrong as a line to say."""
    if isinstance(said, Seen):
        return Answer(seen=said)
    kind = next((name for name, kind in _KINDS.items() if isinstance(said, kind)), "Indeterminate")
    return Answer(kind=kind, error=str(said)[:_LONGEST], hint=said.hint, code=said.code)


def seen_of(answer: Answer) -> Seen:
    """What an answer says that was seen. Raises the error that it is."""
    if answer.seen is None:
        kind = _KINDS.get(answer.kind, Indeterminate)
        raise kind(answer.error, hint=answer.hint, code=answer.code)
    return answer.seen


def hold(order: Order) -> Seen:
    """Have it done and held until its deadline by a process of its own; what that one saw.

    Raises Refused, Transient, and Indeterminate when there is no answer.
    """
    runtime_directory(create=True)
    return _ask(["hold", order.mark, "-"], order)


def look(order: Order) -> Seen:
    """Whether it is there now. Raises like `hold`."""
    if order.inside.is_here:
        return supervisor.look(order)
    return _ask(["look", order.mark, "-"], order)


def end(order: Order | str) -> Seen:
    """Undo it, whoever holds it, and see that it is gone. By its mark alone, from the note.

    Raises like `hold`.
    """
    if isinstance(order, str):
        note = read_note(order)
        if note is None or note.inside.is_here:
            return supervisor.end(order, note)
        return _ask(["end", order], None)
    if order.inside.is_here:
        return supervisor.end(order.mark, order)
    return _ask(["end", order.mark, "-"], order)


class Swept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a sweep did about one note: held, ended or failed."""

    mark: str
    state: Literal["held", "ended", "failed"]
    detail: str


def sweep() -> list[Swept]:
    """End what is past its deadline or held by nobody; leave the rest."""
    holders, found = supervisor.holders(), []
    for order in notes():
        if order.mark in holders and time.time() < order.deadline:
            found.append(Swept(order.mark, "held", "until its deadline"))
            continue
        try:
            found.append(Swept(order.mark, "ended", end(order.mark).detail))
        except ChaosrunError as error:
            found.append(Swept(order.mark, "failed", str(error)))
    return found


def environment() -> dict[str, str]:
    """What our own programs need of the environment, and nothing that could be a secret."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join(os.path.abspath(path or ".") for path in sys.path),
        VARIABLE: str(runtime_directory()),
    }


def _ask(words: list[str], order: Order | None) -> Seen:
    """Run one of our own programs, and wait for the line that it says."""
    until = time.monotonic() + _WITHIN
    with subprocess.Popen(
        [sys.executable, *supervisor.SIGN, *words], env=environment(), cwd="/",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        said = b""
        try:
            with process.stdin:
                process.stdin.write(write_order(order) if order else b"")
            while not said.endswith(b"\n"):
                left = until - time.monotonic()
                if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                    raise Indeterminate(f"{words[0]} was not answered within {_WITHIN:g}s")
                part = os.read(process.stdout.fileno(), 65536)
                if not part:
                    break
                said += part
            process.wait(max(0.1, until - time.monotonic()))
        except (BrokenPipeError, subprocess.TimeoutExpired):
            pass
        finally:
            process.kill()
    try:
        answer = from_json(said, Answer)
    except msgspec.DecodeError:
        raise Indeterminate(f"{words[0]} was not answered") from None
    return seen_of(answer)
