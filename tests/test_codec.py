"""Typed values are read by any number of threads, also by those that meet a type first."""

from __future__ import annotations

import subprocess
import sys

_MEETING = """
import sys, threading
from msgspec import Struct
from chaosrun.codec import from_json, from_plain

sys.setswitchinterval(1e-6)
PLAIN = {"parts": [{"name": "a"}], "last": {"name": "b"}}
TEXT = b'{"parts": [{"name": "a"}], "last": {"name": "b"}}'

for _ in range(ROUNDS):
    class Part(Struct):
        name: str
        size: int | None = None
    class Whole(Struct):
        last: Part
        parts: tuple[Part, ...]
    start, read = threading.Barrier(4), []
    def meet(number):
        start.wait()
        read.append(from_plain(PLAIN, Whole) if number % 2 else from_json(TEXT, Whole))
    threads = [threading.Thread(target=meet, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [each.last.name for each in read] == ["b"] * 4, read
print("read")
""".replace("ROUNDS", "300")


def test_threads_may_meet_a_type_at_the_same_time() -> None:
    """In a process of its own, since what they could do to it is to end it."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", _MEETING],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr
