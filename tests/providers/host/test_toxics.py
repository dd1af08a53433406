"""What toxics come to, and that bytes keep their order whatever toxics do meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosrun.providers.host.proxy import toxics
from chaosrun.providers.host.proxy.line import Held, Line
from chaosrun.providers.host.proxy.toxics import Toxic, Toxics


def toxic(mark: str = "m", *, seconds: float = 60, **harm: object) -> Toxic:
    whole = {"ways": ("downstream",), "deadline": time.time() + seconds, **harm}
    return Toxic(mark=mark, **whole)  # type: ignore[arg-type]


def test_toxics_of_two_marks_come_to_their_sum_and_their_strictest() -> None:
    table = Toxics()
    table.set(toxic("a", latency=1.0, bandwidth=500.0, slow_close=1.0))
    table.set(toxic("b", latency=2.0, bandwidth=300.0, slow_close=2.0, blackhole=True))
    table.set(toxic("c", ways=("upstream",), latency=9.0))
    link = table.links["downstream"]
    assert (link.latency, link.rate, link.slow_close, link.blackhole) == (3.0, 300.0, 3.0, True)
    table.clear("b")
    assert (link.latency, link.rate, link.slow_close, link.blackhole) == (1.0, 500.0, 1.0, False)
    table.clear("a")
    assert link.clear
    assert not table.links["upstream"].clear


def test_setting_the_same_toxic_twice_is_once() -> None:
    table, same = Toxics(), toxic(latency=1.0)
    assert table.set(same) is not None
    assert table.set(same) is None
    assert len(list(table)) == 1


@pytest.mark.parametrize(
    ("wall", "boot", "over"),
    [(59, 59, False), (61, 61, True), (61, 10, True), (-3600, 61, True), (-3600, 59, False)],
    ids=["in time", "late", "wall set forward", "wall set back, late", "wall set back, in time"],
)
def test_a_toxic_ends_by_whichever_clock_comes_first(
    monkeypatch: pytest.MonkeyPatch, wall: float, boot: float, over: bool
) -> None:
    table, started, booted = Toxics(), time.time(), toxics.boot_time()
    table.set(toxic(seconds=60, latency=1.0))
    monkeypatch.setattr(time, "time", lambda: started + wall)
    monkeypatch.setattr(toxics, "boot_time", lambda: booted + boot)
    assert table.expire() is over
    assert table.links["downstream"].clear is over


HARM = st.fixed_dictionaries(
    {},
    optional={
        "latency": st.sampled_from([0.001, 0.01]),
        "jitter": st.sampled_from([0.001, 0.02]),
        "bandwidth": st.sampled_from([200_000.0, 5_000_000.0]),
        "blackhole": st.just(True),
        "slow_close": st.just(0.01),
    },
)
DEED = st.tuples(st.sampled_from(["send", "set", "clear", "wait"]), st.integers(0, 3), HARM)


@settings(max_examples=40)
@given(st.lists(DEED, max_size=12), st.integers(1, 60_000))
def test_bytes_keep_their_order_and_none_is_lost(
    deeds: list[tuple[str, int, dict[str, Any]]], size: int
) -> None:
    sent, heard, held = asyncio.run(asyncio.wait_for(_carry(deeds, size), 20))
    assert heard == sent
    assert held == 0


async def _carry(
    deeds: list[tuple[str, int, dict[str, Any]]], size: int
) -> tuple[bytes, bytes, int]:
    table, held, sent = Toxics(), Held(), bytearray()
    with contextlib.ExitStack() as stack:
        writer, source = (stack.enter_context(each) for each in socket.socketpair())
        sink, reader = (stack.enter_context(each) for each in socket.socketpair())
        for each in (writer, source, sink, reader):
            each.setblocking(False)
        line = Line(table.links["downstream"], held, source, sink, lambda _: None)
        listening = asyncio.create_task(_listen(reader))
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        writing = asyncio.create_task(_write(writer, queue))
        for number, (deed, mark, harm) in enumerate(deeds):
            if deed == "send":
                part = bytes([number]) * size
                sent += part
                queue.put_nowait(part)
            elif deed == "wait":
                await asyncio.sleep(0.005)
            else:
                _ = table.set(toxic(str(mark), **harm)) if deed == "set" else table.clear(str(mark))
                line.changed()
        for active in table:
            table.clear(active.toxic.mark)
        line.changed()
        queue.put_nowait(b"")
        await writing
        heard = await listening
        line.stop()
    return bytes(sent), heard, held.bytes


async def _write(writer: socket.socket, queue: asyncio.Queue[bytes]) -> None:
    while part := await queue.get():
        await asyncio.get_running_loop().sock_sendall(writer, part)
    writer.shutdown(socket.SHUT_WR)


async def _listen(reader: socket.socket) -> bytes:
    heard = bytearray()
    while part := await asyncio.get_running_loop().sock_recv(reader, 65536):
        heard += part
    return bytes(heard)
