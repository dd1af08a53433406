"""`python -m chaosrun.mechanisms`: see supervisor.py. Answers one line of JSON; 1 for an error."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from chaosrun.codec import to_json
from chaosrun.errors import ChaosrunError, Indeterminate, Rejected
from chaosrun.mechanisms import asking, supervisor
from chaosrun.mechanisms.harm import Order, Seen, read_order

if TYPE_CHECKING:
    from chaosrun.mechanisms.agent import Errand


class _Teller:
    """Says the one line, and lets go of everybody who listens."""

    def __init__(self) -> None:
        self.failed = False

    def say(self, said: Seen | ChaosrunError) -> None:
        self.failed = isinstance(said, ChaosrunError)
        _write(to_json(asking.answer_of(said)))

    def say_and_let_go(self, said: Seen | ChaosrunError) -> None:
        self.say(said)
        nothing = os.open(os.devnull, os.O_RDWR)
        for file in (0, 1, 2):
            os.dup2(nothing, file)


def _write(line: bytes) -> None:
    with suppress(OSError):  # nobody listens any more
        os.write(1, line + b"\n")


def _order(text: str) -> Order:
    return read_order(sys.stdin.buffer.read() if text == "-" else text)


def main(words: list[str]) -> int:
    """Do what the words say."""
    teller = _Teller()
    try:
        match words:
            case ["hold", mark, text]:
                order = _of(mark, text)
                if os.fork():  # so that it is a child of init, and nobody waits for it
                    os._exit(0)
                os.setsid()
                os.chdir("/")
                supervisor.hold(order, teller.say_and_let_go)
            case ["run", mark, text]:
                supervisor.hold(_of(mark, text), teller.say)
            case ["agent", mark, text]:
                from chaosrun.mechanisms import agent

                agent.run(_errand(mark, text), teller.say)
            case ["go", mark, seconds]:
                from chaosrun.mechanisms import agent

                teller.say(agent.go(mark, float(seconds)))
            case ["undo", mark, text]:
                from chaosrun.mechanisms import agent

                teller.say(agent.undo(_errand(mark, text)))
            case ["look", mark, *rest]:
                found = _of(mark, rest[0]) if rest else asking.read_note(mark)
                nothing = Seen(False, "there is no word of it")
                teller.say(supervisor.look(found) if found else nothing)
            case ["end", mark, *rest]:
                teller.say(supervisor.end(mark, _of(mark, rest[0]) if rest else None))
            case ["offers"]:
                from chaosrun.mechanisms import kernel

                _write(to_json(kernel.here()))
            case ["sweep"]:
                swept = asking.sweep()
                _write(to_json(swept))
                teller.failed = any(each.state == "failed" for each in swept)
            case _:
                print((supervisor.__doc__ or "").strip(), file=sys.stderr)
                return 2
    except ChaosrunError as error:
        teller.say(error)
    except Exception as error:  # noqa: BLE001 - the top of a daemon: it must answer
        teller.say(Indeterminate(f"{type(error).__name__}: {error}"))
    return int(teller.failed)


def _errand(mark: str, text: str) -> Errand:
    from chaosrun.mechanisms import agent

    errand = agent.read_errand(text)
    if errand.mark != mark:
        raise Rejected("the errand has another mark")
    return errand


def _of(mark: str, text: str) -> Order:
    order = _order(text)
    if order.mark != mark:
        raise Rejected("the order has another mark")
    return order


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
