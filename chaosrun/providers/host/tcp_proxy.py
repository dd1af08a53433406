"""TCP connections through a proxy become slow, narrow, silent, or break."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import Indeterminate, Refused
from chaosrun.fault import Evidence, Expiry, Fault, Hold
from chaosrun.network import has_reference
from chaosrun.place import Place, still_here
from chaosrun.procfs import Identity
from chaosrun.providers.host import runtime
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.proxy.messages import On, Request, Status
from chaosrun.providers.host.proxy.toxics import WAYS, Toxic, Way
from chaosrun.targeting import Target
from chaosrun.units import JSON, Duration, Share, Size


class Where(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """A running proxy: `python -m chaosrun.providers.host.proxy --listen ... --upstream ...`."""

    listen: Annotated[
        str,
        Meta(description="The address it listens on", examples=["127.0.0.1:8001"]),
    ]
    control: Annotated[
        str, Meta(description="Its control socket, if it was started with --control")
    ] = ""

    def __post_init__(self) -> None:
        if not has_reference(self.listen):
            runtime.parse_address(self.listen)


class Reset(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """Connections that are reset: open ones at once, new ones too, as many as `share` says."""

    share: Annotated[Share, Meta(description="The share of connections")] = Share(1)
    after: Annotated[
        Duration, Meta(description="How long they live, from the fault or from their start")
    ] = Duration(0)


class TcpProxy(Fault[Host], frozen=True, kw_only=True):
    """Harm the TCP connections that pass through a proxy which you run between two parts.

    Open connections are harmed too. Several of these faults on one proxy add up. The proxy ends
    the fault at its deadline by its own clock. What was held back is delivered then, in order;
    nothing is lost, but connections that were reset stay so.

    Each direction of a connection holds up to 4 MiB, so `latency` also bounds its throughput, to
    4 MiB in that time, as a network with that delay would.
    """

    name: ClassVar[str] = "host.tcp-proxy"
    expiry: ClassVar[Expiry] = Expiry.TARGET
    example: ClassVar[dict[str, JSON]] = {
        "target": {"listen": "127.0.0.1:8001"},
        "with": {"latency": "200ms", "jitter": "20ms"},
    }

    target: Where
    latency: Annotated[Duration, Meta(description="How much later bytes arrive")] = Duration(0)
    jitter: Annotated[
        Duration, Meta(description="Up to how much more or less than `latency`; order is kept")
    ] = Duration(0)
    bandwidth: (
        Annotated[Size, Meta(description="Bytes per second, in each direction of each connection")]
        | None
    ) = None
    reset: Reset | None = None
    blackhole: Annotated[bool, Meta(description="Connections open, and not a byte passes")] = False
    slow_close: Annotated[
        Duration, Meta(description="How much later the end of a connection arrives")
    ] = Duration(0)
    direction: Annotated[
        Literal["upstream", "downstream", "both"],
        Meta(
            description="Which bytes: requests go upstream, answers downstream. With `both` a "
            "question and its answer are delayed twice"
        ),
    ] = "downstream"

    def __post_init__(self) -> None:
        if self.bandwidth is not None and self.bandwidth.bytes < 1:
            raise ValueError("bandwidth is at least 1 byte per second; or use blackhole")
        if self.jitter > self.latency:
            raise ValueError(f"jitter ({self.jitter}) cannot be more than latency ({self.latency})")
        if self.reset is not None and self.reset.share.fraction == 0:
            raise ValueError("reset of 0% of connections does nothing")
        if not (self.latency or self.bandwidth or self.reset or self.blackhole or self.slow_close):
            raise ValueError("say what harm: latency, bandwidth, reset, blackhole or slowClose")

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        control = self.target.control or str(runtime.control_path(self.target.listen))
        status = client.proxy(control, Request(do="status"))
        if status is None:
            raise Refused(
                f"no proxy of ours listens on {self.target.listen}", hint=_running(client)
            )
        place = client.place()
        return Hold(
            fault=self.name,
            targets=(
                Target(
                    kind="tcp-proxy",
                    id=f"{status.listen}.{place.key}",
                    name=f"{status.listen} -> {status.upstream}",
                    domain=place.node,
                    labels={},
                    groups={"account": "", "namespace": "", "workload": "", "group": ""},
                ),
            ),
            population=1,
            effect=self._in_words(),
            undo={
                "place": to_plain(place),
                "control": control,
                "proxy": to_plain(client.identity(status.pid)),
                "toxic": to_plain(self._toxic()),
            },
            way_back="the proxy lets go of it at the deadline, or when chaosrun says so before",
            mechanism="a proxy between the two addresses",
            expiry=self.expiry,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Host) -> None:
        toxic = from_plain(hold.undo["toxic"], Toxic)
        toxic = msgspec.structs.replace(toxic, mark=hold.mark, deadline=hold.deadline)
        if client.proxy(hold.undo["control"], Request(do="set", toxic=toxic)) is None:
            raise Refused(f"the proxy of {hold.targets[0].label} has ended")

    @classmethod
    def revert(cls, hold: Hold, client: Host) -> None:
        _proxy_of(hold, client, Request(do="clear", mark=hold.mark))

    @classmethod
    def took_effect(cls, hold: Hold, client: Host) -> Evidence:
        status = client.proxy(hold.undo["control"], Request(do="status"))
        if status is None:
            return Evidence(False, "the proxy has ended")
        on = _ours(status, hold)
        if on is None:
            return Evidence(False, "the proxy does not have it on")
        return Evidence(True, _seen_in_words(on, status), _measured(on, status))

    @classmethod
    def restored(cls, hold: Hold, client: Host) -> Evidence:
        status = _proxy_of(hold, client, Request(do="status"))
        if status is None:
            return Evidence(True, "the proxy has ended, and what it did ended with it")
        if _ours(status, hold) is not None:
            return Evidence(False, "the proxy still has it on")
        others = len(status.toxics)
        return Evidence(
            True,
            "the proxy has let go of it"
            + (f"; {others} of others are still on" if others else "; it is clear"),
            {"others": others, "connections": status.connections},
        )

    def _toxic(self) -> Toxic:
        ways: tuple[Way, ...] = WAYS if self.direction == "both" else (self.direction,)
        return Toxic(
            mark="",
            deadline=0.0,
            ways=ways,
            latency=self.latency.seconds,
            jitter=self.jitter.seconds,
            bandwidth=float(self.bandwidth.bytes) if self.bandwidth else 0.0,
            reset_share=self.reset.share.fraction if self.reset else 0.0,
            reset_after=self.reset.after.seconds if self.reset else 0.0,
            blackhole=self.blackhole,
            slow_close=self.slow_close.seconds,
        )

    def _in_words(self) -> str:
        parts = [f"bytes arrive {self.latency} later"] if self.latency else []
        if self.jitter:
            parts[0] += f" (give or take {self.jitter})"
        if self.bandwidth:
            parts.append(f"at most {self.bandwidth}B/s pass")
        if self.blackhole:
            parts.append("no byte passes")
        if self.slow_close:
            parts.append(f"closes arrive {self.slow_close} later")
        if self.reset:
            after = f" after {self.reset.after}" if self.reset.after else ""
            parts.append(f"{self.reset.share} of connections are reset{after}")
        return f"{', '.join(parts)} ({self.direction})"


def _proxy_of(hold: Hold, client: Host, request: Request) -> Status | None:
    """What the proxy says. None when the one we knew has ended and no other took its place.

    Raises Indeterminate when it still runs and cannot be asked: then nobody knows.
    """
    if not still_here(from_plain(hold.undo["place"], Place)):
        return None
    status = client.proxy(hold.undo["control"], request)
    if status is None and client.state(from_plain(hold.undo["proxy"], Identity)):
        raise Indeterminate(
            f"the proxy of {hold.targets[0].label} runs, but its control socket is gone"
        )
    return status


def _ours(status: Status, hold: Hold) -> On | None:
    return next((on for on in status.toxics if on.toxic.mark == hold.mark), None)


def _measured(on: On, status: Status) -> dict[str, JSON]:
    seen = on.seen
    return {
        "connections": status.connections,
        "chunks": seen.chunks,
        "bytes": seen.bytes,
        "delayMean": round(seen.delay_total / seen.chunks, 6) if seen.chunks else 0.0,
        "delayMost": round(seen.delay_most, 6),
        "resets": seen.resets,
    }


def _seen_in_words(on: On, status: Status) -> str:
    """What was seen to happen, and if nothing was, that too."""
    seen, parts = on.seen, [f"on in the proxy, with {status.connections} connections open"]
    if seen.chunks:
        mean, most = seen.delay_total / seen.chunks, seen.delay_most
        parts.append(
            f"{seen.bytes} bytes were held {mean * 1000:.1f} ms on average, "
            f"{most * 1000:.1f} ms at most"
        )
    if seen.resets:
        parts.append(f"{seen.resets} connections were reset")
    if on.toxic.blackhole:
        parts.append(f"{status.held} bytes are held back")
    elif not (seen.chunks or seen.resets):
        parts.append("nothing has passed yet")
    return "; ".join(parts)


def _running(client: Host) -> str:
    """Which proxies there are, or how to start one."""
    answers = (client.proxy(control, Request(do="status")) for control in client.proxies())
    listening = sorted(status.listen for status in answers if status)
    if listening:
        return f"proxies listen on {', '.join(listening)}"
    return "start one: python -m chaosrun.providers.host.proxy --listen ADDRESS --upstream ADDRESS"
