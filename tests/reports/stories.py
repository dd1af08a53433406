"""Runs written by hand, one for each way that a run can end: events as a journal holds them."""

from __future__ import annotations

from copy import deepcopy
from math import sin
from typing import Any

from msgspec.structs import replace

from chaosrun import events as e
from chaosrun.codec import from_plain
from chaosrun.events import AnyEvent, Failure, Moment, Outcome, Verdict
from chaosrun.fault import Expiry, Hold, Reversal
from chaosrun.spec import Experiment
from chaosrun.targeting import Target
from chaosrun.units import JSON, Duration

EPOCH = 1_790_000_000.0
RUN = "20260921-checkout-7f3a"

SPEC: dict[str, JSON] = {
    "apiVersion": "chaosrun.dev/v1",
    "kind": "Experiment",
    "metadata": {"name": "checkout-survives-replica-loss", "labels": {"team": "payments"}},
    "spec": {
        "title": "Checkout keeps answering while a third of its replicas are killed",
        "description": "The front balances over three replicas and should route around one.",
        "owner": "payments@shop.example",
        "steadyState": [
            {
                "name": "checkout answers",
                "probe": "http",
                "with": {"url": "http://127.0.0.1:8080/checkout", "timeout": "2s"},
                "every": "500ms",
                "expect": 'status == 200 && latency < duration("300ms")',
                "tolerate": "5%",
                "samples": 3,
            },
            {
                "name": "enough replicas",
                "probe": "command",
                "with": {"command": "lab replicas"},
                "every": "1s",
                "expect": "json.ready >= 2",
            },
        ],
        "method": [
            {
                "name": "kill a replica",
                "fault": "host.process-kill",
                "target": {"command": "replica", "pick": "33%"},
                "hold": "10s",
            },
            {
                "name": "slow the backend",
                "fault": "host.tcp-proxy",
                "target": {"listen": "127.0.0.1:9100"},
                "with": {"latency": "80ms", "jitter": "20ms"},
                "hold": "8s",
            },
        ],
        "abortWhen": [
            {
                "name": "errors burn the budget",
                "probe": "prometheus",
                "with": {"url": "http://127.0.0.1:9090", "query": "errors_per_second"},
                "every": "1s",
                "when": "value > 5.0",
                "for": "2s",
            }
        ],
        "limits": {"share": "34%", "targets": 4, "duration": "5m"},
        "gates": [{"command": {"command": "lab rollout-complete"}}],
        "recoverWithin": "10s",
    },
}

KILL = Hold(
    fault="host.process-kill",
    targets=(
        Target(kind="process", id="4242:998877", name="replica-2 (pid 4242)", domain="rack-b"),
    ),
    population=3,
    effect="kill 1 process with KILL",
    way_back="its supervisor starts it again",
    mechanism="kill(2)",
    reversal=Reversal.SELF_HEALING,
)
SLOW = Hold(
    fault="host.tcp-proxy",
    targets=(Target(kind="tcp-proxy", id="127.0.0.1:9100", name="backend proxy", domain="rack-a"),),
    population=3,
    effect="delay what comes back by 80ms ± 20ms",
    way_back="remove the toxic from the proxy at 127.0.0.1:9100",
    mechanism="userspace proxy",
    expiry=Expiry.TARGET,
)


class Tale:
    """Writes a run's events with a clock that only goes forward."""

    def __init__(self, spec: dict[str, JSON] = SPEC, **started: Any) -> None:
        self.now = EPOCH
        self.events: list[AnyEvent] = []
        self.tick = 0
        self.experiment = from_plain(spec, Experiment)
        first: dict[str, Any] = {
            "run": RUN,
            "experiment": self.experiment,
            "digest": "sha256:4be1f06c",
            "seed": 4711,
            "driver": "host-a:311",
            "version": "0.1.0",
            "source": "experiments/lab/replica-loss.yaml",
            "parameters": {"share": "33%", "path": "/checkout"},
        }
        self.say(e.Started, **{**first, **started})

    def say(self, kind: type[AnyEvent], after: float = 0.0, **fields: Any) -> None:
        self.now = round(self.now + after, 6)
        self.events.append(kind(at=self.now, **fields))

    def gates(self, step: str = "", *, shut: str = "", hint: str = "") -> None:
        self.say(
            e.GateMeasured, 0.004, gate="halt", index=-1, open=True, step=step,
            measured="the switch is off", rule="the halt switch is off",
        )  # fmt: skip
        self.say(
            e.GateMeasured, 0.021, gate="command", index=0, open=not shut, step=step,
            measured=shut or "exit code 0: 3 of 3 replicas updated",
            rule="the command exits with 0", hint=hint,
        )  # fmt: skip

    def sample(self, name: str, moment: Moment, latency: float = 0.0, **given: Any) -> None:
        """One sample; a latency above 300 ms breaks `checkout answers`."""
        self.tick += 1
        subject = "guard" if name in [g.name for g in self.experiment.spec.abort_when] else "check"
        result: JSON = {}
        outcome, reason = Outcome.HELD, ""
        match name:
            case "checkout answers":
                status = given.pop("status", 200)
                result = {"status": status, "latency": str(Duration(round(latency / 1000, 5)))}
                if status != 200 or latency >= 300:
                    outcome = Outcome.BROKE
                    reason = f"status was {status}, latency was {result['latency']}"
            case "enough replicas":
                ready = given.pop("ready", 3)
                result = {"code": 0, "json": {"ready": ready}}
                if ready < 2:
                    outcome, reason = Outcome.BROKE, f"json.ready was {ready}"
            case "errors burn the budget":
                result = {"value": given.pop("value", 0.2)}
                if result["value"] > 5:
                    outcome, reason = Outcome.BROKE, f"value was {result['value']:g}"
        fields = {"outcome": outcome, "reason": reason, "result": result, **given}
        began = self.now
        self.say(
            e.Sampled, max(0.002, latency / 1000), subject=subject, name=name, moment=moment,
            began=began, **fields,
        )  # fmt: skip

    def baseline(self) -> None:
        self.say(e.Planned, 0.01, step="kill a replica", hold=KILL)
        self.say(e.Planned, 0.002, step="slow the backend", hold=SLOW)
        for _ in range(3):
            self.sample("checkout answers", Moment.BEFORE, 11 + 3 * sin(self.tick))
        self.sample("enough replicas", Moment.BEFORE)
        self.sample("errors burn the budget", Moment.BEFORE)

    def lease(self, hold: Hold, step: str, index: int) -> str:
        lease = f"{RUN}-{index}"
        self.gates(step)
        self.say(e.Planned, 0.008, step=step, hold=hold, final=True)
        leased = replace(hold, mark=f"chaosrun-{lease}", deadline=self.now + 20)
        self.say(e.Leased, 0.003, step=step, lease=lease, hold=leased)
        return lease

    def inject(self, hold: Hold, step: str, index: int, seen: str) -> str:
        lease = self.lease(hold, step, index)
        self.say(e.Injected, 0.012, lease=lease)
        self.say(e.EffectSeen, 0.006, lease=lease, detail=seen, measured={"found": 1})
        return lease

    def during(self, count: int, latency: float, *, guarded: bool = True) -> None:
        """`count` half seconds of healthy samples around a latency."""
        for index in range(count):
            wave = 1 + 0.35 * sin(self.tick * 1.7)
            self.sample("checkout answers", Moment.DURING, latency * wave)
            if index % 2 == 0:
                self.sample("enough replicas", Moment.DURING, ready=2)
                if guarded:
                    value = 0.4 + 0.3 * wave
                    self.sample("errors burn the budget", Moment.DURING, value=value)
            self.now = round(self.now + 0.45, 6)

    def undo(self, lease: str, detail: str = "3 of 3 replicas answer") -> None:
        self.say(e.Reverted, 0.035, lease=lease)
        self.say(e.Restored, 0.011, lease=lease, detail=detail)

    def after(self) -> None:
        self.sample("checkout answers", Moment.AFTER, 310)
        for _ in range(3):
            self.now = round(self.now + 0.48, 6)
            self.sample("checkout answers", Moment.AFTER, 12 + 2 * sin(self.tick))
        self.sample("enough replicas", Moment.AFTER)

    def finish(self, verdict: Verdict, reason: str) -> list[AnyEvent]:
        self.say(e.Finished, 0.004, verdict=verdict, reason=reason)
        return self.events

    def begun(self) -> str:
        """Gates, baseline, and the first fault in place."""
        self.gates()
        self.baseline()
        return self.inject(KILL, "kill a replica", 0, "pid 4242 is gone")


def passed() -> list[AnyEvent]:
    tale = Tale()
    first = tale.begun()
    tale.sample("checkout answers", Moment.DURING, 180)
    tale.sample("checkout answers", Moment.DURING, 412)
    tale.during(20, 14)
    tale.undo(first, "a new replica-2 runs as pid 4410")
    second = tale.inject(SLOW, "slow the backend", 1, "a connection took 81.3ms longer")
    tale.during(16, 96)
    tale.undo(second, "the proxy has no toxics")
    tale.after()
    return tale.finish(Verdict.PASSED, "the steady state held")


def deviated() -> list[AnyEvent]:
    tale = Tale()
    first = tale.begun()
    tale.during(8, 14)
    tale.sample("checkout answers", Moment.DURING, 640)
    tale.during(2, 18)
    tale.sample("checkout answers", Moment.DURING, 4, status=503)
    tale.undo(first)
    tale.after()
    return tale.finish(
        Verdict.DEVIATED,
        "the steady state did not hold: checkout answers: 2 of 12 samples failed, 5% tolerated: "
        "status was 503, latency was 4ms",
    )


def aborted() -> list[AnyEvent]:
    tale = Tale()
    first = tale.begun()
    tale.during(6, 15)
    for value in (6.5, 9.25):
        tale.sample("errors burn the budget", Moment.DURING, value=value)
        tale.during(1, 120, guarded=False)
        tale.now = round(tale.now + 0.5, 6)
    tale.sample("errors burn the budget", Moment.DURING, value=14.5)
    tale.undo(first)
    tale.after()
    return tale.finish(Verdict.ABORTED, "guard 'errors burn the budget' tripped: value was 14.5")


def refused_by_gate() -> list[AnyEvent]:
    tale = Tale()
    tale.gates(
        shut="exit code 1: 2 of 3 replicas updated", hint="wait until the rollout is complete"
    )
    return tale.finish(
        Verdict.REFUSED,
        "gate 'command' was closed: exit code 1: 2 of 3 replicas updated "
        "(rule: the command exits with 0)",
    )


def refused_by_policy() -> list[AnyEvent]:
    policy = e.PolicySource(name="production", file="/etc/chaosrun/policy.d/prod.yaml", digest="9f")
    source = f"{policy.name}, {policy.file}"
    ann = e.Override(rule="window", by="ann@desk", reason="the night of the move", ticket="CHG-7")
    tale = Tale(
        by="ann@desk", names=("ann", "ann@desk"), ticket="CHG-7", policies=(policy,),
        overrides=(ann,),
    )  # fmt: skip
    tale.gates()
    tale.say(e.Planned, 0.01, step="kill a replica", hold=KILL)
    tale.say(e.Planned, 0.002, step="slow the backend", hold=SLOW)
    rules = (
        e.RuleMeasured(
            rule="concurrency", within=True, measured="0 other runs with something in place",
            limit="at most 2 runs at once", source=source,
        ),
        e.RuleMeasured(
            rule="protected", within=False,
            measured="process replica-2 (pid 4242) would be touched",
            limit="process with zone rack-b is never touched: it is being moved",
            hint="leave it out of the target's selection", source=source,
        ),
        e.RuleMeasured(
            rule="window", within=False,
            measured="it is Mon 2026-09-21 23:13 in UTC: outside of 09:00-17:00",
            limit="open mon-fri 09:00-17:00 in UTC", hint="it opens Tue 2026-09-22 09:00 in UTC",
            source=source, override=ann,
        ),
    )  # fmt: skip
    tale.say(e.PolicyMeasured, 0.003, rules=rules)
    return tale.finish(
        Verdict.REFUSED,
        "policy protected: process replica-2 (pid 4242) would be touched (rule: process with zone "
        f"rack-b is never touched: it is being moved; {source})",
    )


def refused_unsteady() -> list[AnyEvent]:
    tale = Tale()
    tale.gates()
    tale.say(e.Planned, 0.01, step="kill a replica", hold=KILL)
    tale.say(e.Planned, 0.002, step="slow the backend", hold=SLOW)
    tale.sample("enough replicas", Moment.BEFORE, ready=1)
    return tale.finish(
        Verdict.REFUSED,
        "the steady state did not hold at the start: enough replicas: json.ready was 1",
    )


def inconclusive() -> list[AnyEvent]:
    tale = Tale()
    tale.gates()
    tale.baseline()
    lease = tale.lease(KILL, "kill a replica", 0)
    tale.say(e.Injected, 0.012, lease=lease)
    for _ in range(3):
        tale.say(e.EffectNotSeen, 0.2, lease=lease, detail="pid 4242 still runs")
        tale.during(7, 12)
    tale.say(e.EffectNotSeen, 0.2, lease=lease, detail="pid 4242 still runs")
    tale.undo(lease)
    tale.after()
    return tale.finish(
        Verdict.INCONCLUSIVE,
        "step 'kill a replica' had no visible effect: pid 4242 still runs",
    )


def cancelled() -> list[AnyEvent]:
    tale = Tale()
    first = tale.begun()
    tale.during(6, 15)
    tale.say(
        e.StopRequested, 0.1, verdict=Verdict.CANCELLED, by="SIGTERM",
        reason="the process was asked to end", signal=15,
    )  # fmt: skip
    tale.undo(first)
    return tale.finish(Verdict.CANCELLED, "SIGTERM: the process was asked to end")


def stranded() -> list[AnyEvent]:
    tale = Tale()
    first = tale.begun()
    tale.during(20, 14)
    tale.undo(first)
    second = tale.inject(SLOW, "slow the backend", 1, "a connection took 81.3ms longer")
    tale.during(16, 90)
    for wait in (0.1, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 58.0, 60.0):
        tale.say(
            e.RevertFailed, wait, lease=second, failure=Failure.TRANSIENT,
            error="the proxy at 127.0.0.1:9100 does not answer: connection refused",
            hint="start the proxy again",
        )  # fmt: skip
    return tale.finish(
        Verdict.STRANDED,
        "step 'slow the backend' is still in place: the proxy at 127.0.0.1:9100 does not answer: "
        "connection refused",
    )


def recovered() -> list[AnyEvent]:
    tale = Tale()
    first = tale.begun()
    tale.during(6, 15)
    tale.now += 42
    tale.say(e.Resumed, driver="host-a:977", reason="its driver host-a:311 died")
    tale.undo(first)
    return tale.finish(Verdict.CANCELLED, "its driver host-a:311 died")


def stranded_then_recovered() -> list[AnyEvent]:
    tale = Tale()
    tale.events = stranded()
    tale.now = tale.events[-1].at + 300
    tale.say(e.Resumed, driver="host-a:1201", reason="chaosrun recover by ann@host-a")
    tale.undo(f"{RUN}-1", "the proxy has no toxics")
    return tale.finish(Verdict.CANCELLED, "chaosrun recover by ann@host-a")


def running() -> list[AnyEvent]:
    tale = Tale()
    tale.begun()
    tale.during(5, 15)
    return tale.events


def hostile() -> list[AnyEvent]:
    """Every text that comes from outside tries to break out of where it is shown."""
    nasty = "<script>alert('x')</script> \x1b[31m | `a` </script><!-- & \"q\" \u2028 @here ]]>"
    spec: dict[str, Any] = deepcopy(SPEC)
    spec["metadata"]["labels"] = {"team": nasty}
    spec["spec"] |= {"title": nasty, "description": nasty, "owner": nasty}
    spec["spec"]["steadyState"][0]["name"] = nasty
    spec["spec"]["method"][0]["name"] = nasty
    spec["spec"]["abortWhen"][0]["name"] = nasty
    tale = Tale(spec, source=nasty, parameters={nasty: nasty}, digest=nasty, version=nasty)
    tale.say(
        e.GateMeasured, gate=nasty, index=-1, open=True, measured=nasty, rule=nasty, hint=nasty
    )
    tale.say(e.GateMeasured, gate=nasty, index=0, open=True, measured=nasty, rule=nasty)
    hold = Hold(
        fault=nasty, targets=(Target(kind=nasty, id=nasty, name=nasty, domain=nasty),),
        population=2, effect=nasty, way_back=nasty, mechanism=nasty,
    )  # fmt: skip
    tale.say(e.Leased, step=nasty, lease=nasty, hold=hold)
    tale.say(e.Injected, 0.1, lease=nasty)
    tale.say(e.EffectSeen, 0.1, lease=nasty, detail=nasty, measured={nasty: nasty})
    for moment in Moment:
        for subject in ("check", "guard"):
            tale.say(
                e.Sampled, 0.5, subject=subject, name=nasty, moment=moment, began=tale.now,
                outcome=Outcome.BROKE, reason=nasty, result={"latency": "400ms", "value": 9.0},
            )  # fmt: skip
    tale.say(e.RevertFailed, 1.0, lease=nasty, failure=Failure.BUG, error=nasty, hint=nasty)
    tale.say(e.StopRequested, 1.0, verdict=Verdict.CANCELLED, by=nasty, reason=nasty)
    tale.undo(nasty, nasty)
    return tale.finish(Verdict.ABORTED, nasty)


def long(minutes: int = 30) -> list[AnyEvent]:
    """A long run with many samples, of which a few failed."""
    tale = Tale()
    lease = tale.begun()
    for index in range(minutes * 120):
        if index % 997 == 500:
            tale.sample("checkout answers", Moment.DURING, 700, status=503)
        tale.during(1, 20)
    tale.undo(lease)
    tale.after()
    return tale.finish(Verdict.PASSED, "the steady state held")


STORIES = {
    "passed": passed,
    "deviated": deviated,
    "aborted": aborted,
    "refused-by-gate": refused_by_gate,
    "refused-by-policy": refused_by_policy,
    "refused-unsteady": refused_unsteady,
    "inconclusive": inconclusive,
    "cancelled": cancelled,
    "stranded": stranded,
    "recovered": recovered,
    "stranded-then-recovered": stranded_then_recovered,
    "running": running,
}
