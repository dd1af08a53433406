"""The only edge: an effect is performed here and becomes an event, whatever happens.

Law (L9): secrets are put in just before a call and scrubbed from all that comes back.
Every exception becomes an event that says whether it may have happened; the one broad
`except` of the engine is in `Performer.perform`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from threading import Lock
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from chaosrun import arguments, commands, discovery, expression, needs
from chaosrun import events as e
from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import ChaosrunError, Indeterminate, JournalUnavailable, Refused, Transient
from chaosrun.events import AnyEvent, Failure, Outcome
from chaosrun.fault import AnyFault, Hold
from chaosrun.gate import Measured
from chaosrun.journal import Journal
from chaosrun.observed import brief, mentioned
from chaosrun.policed import policy_measured
from chaosrun.policy.policies import Policies
from chaosrun.probe import AnyProbe
from chaosrun.run import Run
from chaosrun.run.effects import (
    HALT_GATE,
    AnyEffect,
    Inject,
    LookForEffect,
    LookRestored,
    MeasureGate,
    MeasurePolicy,
    Plan,
    Record,
    Revert,
    Sample,
)
from chaosrun.secrets import Secrets, scrub, substitute
from chaosrun.spec import Check, Guard
from chaosrun.switches import Switches
from chaosrun.units import JSON

Clock = Callable[[], float]
_USUAL_SECONDS = 10.0
_SET = 0.5
"""Seconds by which a wall clock is off that was set; what is less is its own pace."""


class _Sampler(msgspec.Struct, frozen=True):
    probe: AnyProbe
    expression: expression.Expression
    client: Any


class Performer:
    """Performs effects for many runs. Thread-safe; clients are shared, one a provider."""

    def __init__(
        self,
        journal: Journal | None,
        clock: Clock,
        *,
        switches: Switches | None = None,
        only_look: bool = False,
        wall: Clock | None = None,
    ) -> None:
        """`only_look`: plan also what another run holds, as nothing will come of the plan.

        `wall` is the clock that targets go by, where that can be set; else it is `clock`.
        """
        self._journal = journal
        self._clock = clock
        self._wall = wall or clock
        self._switches = switches or Switches(journal, clock)
        self._only_look = only_look
        self._policies: dict[str, Policies] = {}
        self._policy_secrets: dict[tuple[str, str, str], Secrets] = {}
        self._lock = Lock()
        self._clients: dict[str, Any] = {}
        self._secrets: dict[str, Secrets] = {}
        self._samplers: dict[tuple[str, str, str], _Sampler] = {}
        self._seconds: dict[tuple[str, str, str], float] = {}

    def perform(self, run: Run, effect: AnyEffect) -> AnyEvent:
        """Do it, and return what happened. Never raises; may block, but see `seconds`."""
        began = self._clock()
        secrets = self._secrets_of(run)  # kept here: the run may be forgotten before this ends
        try:
            event = self._do(run, effect, began)
        except ChaosrunError as error:
            event = failed(effect, _failure(error), str(error), began, error.hint)
        except Exception as error:  # noqa: BLE001 - the edge: a bug must become an event
            said = f"{type(error).__name__}: {error}"
            event = failed(effect, Failure.BUG, said, began)
        event = replace(event, at=self._clock())
        if secrets.known:
            event = scrubbed(event, secrets)
        if isinstance(effect, MeasureGate):
            of_policy = self._policy_secrets.get((run.id, "gate", str(effect.index)))
            event = scrubbed(event, of_policy) if of_policy and of_policy.known else event
        return event

    def seconds(self, run: Run, effect: AnyEffect) -> float:
        """The longest that this effect may take, in seconds. Never raises.

        An effect whose time cannot be told gets the usual time, in which performing it will
        say what is wrong.
        """
        try:
            return self._seconds_of(run, effect)
        except Exception:  # noqa: BLE001 - the edge: a provider's bug must become an event
            return _USUAL_SECONDS

    def _seconds_of(self, run: Run, effect: AnyEffect) -> float:
        match effect:
            case Sample():
                key = (run.id, effect.subject, effect.name)
                if key not in self._seconds:
                    needed = arguments.probe_of(_subject(run, effect)).time_needed
                    self._seconds[key] = needed.seconds
                return self._seconds[key]
            case MeasureGate(index=index):
                if index == HALT_GATE:
                    return _USUAL_SECONDS + self._switches.patience
                name, given = _gate(run.written_gates[index])
                return arguments.gate_of(name, given).time_needed.seconds
            case MeasurePolicy():
                return _USUAL_SECONDS
            case Plan(step=name):
                return run.steps[name].step.timeout.seconds
            case Inject(lease) | LookForEffect(lease) | Revert(lease) | LookRestored(lease):
                step = run.step_of(lease)
                return step.step.timeout.seconds if step else _USUAL_SECONDS
            case Record():
                return 0.0

    def put_under(self, run: str, policies: Policies) -> None:
        """Measure these policies for that run."""
        with self._lock:
            self._policies[run] = policies
        self._switches.watch(run, policies.halts())

    def forget(self, run: str) -> None:
        """Drop what was kept for a run that has ended: its secrets above all."""
        self._switches.forget(run)
        with self._lock:
            self._secrets.pop(run, None)
            self._policies.pop(run, None)
            for cache in (self._samplers, self._seconds, self._policy_secrets):
                for key in [key for key in list(cache) if key[0] == run]:  # others add to it
                    del cache[key]

    def close(self) -> None:
        """Close every client."""
        self._switches.close()
        for client in self._clients.values():
            if hasattr(client, "close"):
                client.close()

    # --- the effects --------------------------------------------------------------------

    def _do(self, run: Run, effect: AnyEffect, began: float) -> AnyEvent:
        match effect:
            case MeasureGate(index, _, step):
                return self._measure(run, index, step)
            case MeasurePolicy(step):
                return self._measure_policy(run, step)
            case Plan(step, final):
                return self._plan(run, step, final)
            case Sample():
                return self._sample(run, effect, began)
            case Inject(lease):
                kind, hold, client = self._held(run, lease)
                self._last_look(run)
                kind.inject(self._by_the_wall(hold), client)
                return e.Injected(at=0, lease=lease)
            case LookForEffect(lease):
                kind, hold, client = self._held(run, lease)
                seen = kind.took_effect(hold, client)
                if not seen.seen:
                    return e.EffectNotSeen(at=0, lease=lease, detail=seen.detail)
                return e.EffectSeen(at=0, lease=lease, detail=seen.detail, measured=seen.measured)
            case Revert(lease):
                kind, hold, client = self._held(run, lease)
                kind.revert(hold, client)
                return e.Reverted(at=0, lease=lease, began=began)
            case LookRestored(lease):
                kind, hold, client = self._held(run, lease)
                seen = kind.restored(hold, client)
                if not seen.seen:
                    return e.NotRestored(at=0, lease=lease, detail=seen.detail)
                return e.Restored(at=0, lease=lease, detail=seen.detail, measured=seen.measured)
            case Record(event):
                return event

    def _measure(self, run: Run, index: int, step: str) -> e.GateMeasured:
        if index == HALT_GATE:
            return self._measure_halt(step)
        name, given = _gate(run.written_gates[index])
        gate = arguments.gate_of(name, substitute(given, self._secrets_of_gate(run, index)))
        client = self._client("gates", name)
        demanded = run.written_gates[len(run.spec.gates) :]
        found: Measured = (
            gate.measure_rights(client, needs.needed(run.spec, demanded))
            if gate.asks_rights
            else gate.measure(client)
        )
        return e.GateMeasured(
            at=0, gate=name, index=index, step=step, open=found.open,
            measured=found.measured, rule=found.rule, hint=found.hint,
        )  # fmt: skip

    def _measure_policy(self, run: Run, step: str) -> e.PolicyMeasured:
        policies = self._policies.get(run.id)
        if policies is None:
            raise Refused("this process does not know the policies of the run")
        return policy_measured(run, policies, self._journal, self._clock(), step)

    def _measure_halt(self, step: str) -> e.GateMeasured:
        halt = self._switches.on()
        measured = f"halted by {halt.by}: {halt.reason}" if halt else "the halt switch is off"
        return e.GateMeasured(
            at=0, gate="halt", index=HALT_GATE, step=step, open=halt is None, measured=measured,
            rule="the halt switch must be off", hint="chaosrun halt off" if halt else "",
        )  # fmt: skip

    def _last_look(self, run: Run) -> None:
        """At the last moment before an injection: nobody halted, cancelled or took the run."""
        if (cancellation := commands.current.get()) and cancellation.cancelled:
            raise Refused("cancelled before it began")
        if self._journal is None:
            return
        if halt := self._switches.still_on():
            raise Refused(f"halted by {halt.by}: {halt.reason}", hint="chaosrun halt off")
        if self._journal.driver(run.id) != run.driver:
            raise Refused("another driver took the run over")

    def _plan(self, run: Run, name: str, final: bool) -> e.Planned | e.LeaseDenied:
        step = next(s for s in run.spec.method if s.name == name)
        lookup = self._secrets_of(run)
        fault = arguments.fault_of(
            replace(
                step, target=substitute(step.target, lookup), with_=substitute(step.with_, lookup)
            )
        )
        rng = random.Random(f"{run.seed}/{name}")
        hold = fault.plan(self._client("faults", step.fault), rng)
        # Who ends it is for the plan to say: it may be the target in one place and not in another.
        hold = replace(hold, fault=step.fault, reversal=fault.reversal)
        if any(target.reserved for target in hold.targets):
            assert run.experiment is not None, "a run starts with Started"
            policies = self._policies.get(run.id, Policies())
            labels = run.experiment.metadata.labels
            hold = replace(hold, targets=policies.opening(labels, hold.targets))
        if self._journal is not None and not self._only_look:
            held = self._journal.standing(run.id, (), [t.key for t in hold.targets]).held
            for target, holder in sorted(held.items()):
                return e.LeaseDenied(at=0, step=name, target=target, holder=holder)
        return e.Planned(at=0, step=name, hold=hold, final=final)

    def _sample(self, run: Run, effect: Sample, began: float) -> e.Sampled:
        sampler = self._sampler(run, effect)
        result = sampler.probe.observe(sampler.client)
        plain = to_plain(result)
        guard = effect.subject == "guard"
        try:
            true, said = sampler.expression.evaluate(result), ""
        except ChaosrunError as error:  # what came back is not of the shape that was expected
            if guard:
                raise
            true, said = False, str(error)
        held = true is not guard
        if not held:
            said = said or mentioned(sampler.expression.text, plain)
        return e.Sampled(
            at=0, subject=effect.subject, name=effect.name, moment=effect.moment, began=began,
            outcome=Outcome.HELD if held else Outcome.BROKE,
            result=brief(plain), reason=said,
        )  # fmt: skip

    # --- what the effects need ----------------------------------------------------------

    def _sampler(self, run: Run, effect: Sample) -> _Sampler:
        key = (run.id, effect.subject, effect.name)
        known = self._samplers.get(key)
        if known is None:
            check = _subject(run, effect)
            given = substitute(check.with_, self._secrets_of(run))
            probe = arguments.probe_of(replace(check, with_=given))
            text = check.when if isinstance(check, Guard) else check.expect
            compiled = expression.compile(text, probe.Result)
            known = _Sampler(probe, compiled, self._client("probes", check.probe))
            self._samplers[key] = known
        return known

    def _held(self, run: Run, lease: str) -> tuple[type[AnyFault], Hold, Any]:
        step = run.step_of(lease)
        if step is None or step.hold is None:
            raise Refused(f"no lease {lease}")
        hold = step.hold
        if run.spec.secrets:
            hold = from_plain(substitute(to_plain(hold), self._secrets_of(run)), Hold)
        return discovery.fault(hold.fault), hold, self._client("faults", hold.fault)

    def _by_the_wall(self, hold: Hold) -> Hold:
        """The hold with its deadline as the wall clock has it, by which targets end it (L3).

        Since this process began, somebody may have set the wall clock.
        """
        ahead = self._wall() - self._clock()
        return replace(hold, deadline=hold.deadline + ahead) if abs(ahead) > _SET else hold

    def _secrets_of_gate(self, run: Run, index: int) -> Secrets:
        """The secrets of the experiment for its gates, those of a policy for the policy's."""
        own = len(run.spec.gates)
        if index < own:
            return self._secrets_of(run)
        assert run.experiment is not None, "a run starts with Started"
        with self._lock:
            policies = self._policies.get(run.id)
            if policies is None:
                raise Refused("this process does not know the policies of the run")
            demanded = policies.gates(run.experiment.metadata.labels)[index - own]
            key = (run.id, "gate", str(index))
            return self._policy_secrets.setdefault(key, Secrets(demanded.secrets))

    def _secrets_of(self, run: Run) -> Secrets:
        with self._lock:
            if run.id not in self._secrets:
                self._secrets[run.id] = Secrets(run.spec.secrets)
            return self._secrets[run.id]

    def _client(self, table: str, name: str) -> Any:
        provider = discovery.provider_of(table, name)
        with self._lock:
            if provider.name not in self._clients:
                self._clients[provider.name] = provider.client()
            return self._clients[provider.name]


def failed(
    effect: AnyEffect, failure: Failure, error: str, began: float, hint: str = ""
) -> AnyEvent:
    """The event of an effect that did not end well. Pure."""
    match effect:
        case MeasureGate(index, gate, step):
            return e.GateMeasured(
                at=began, gate=gate, index=index, step=step,
                open=False, measured=f"could not be measured: {error}",
                rule="unknown means closed", hint=hint,
            )  # fmt: skip
        case MeasurePolicy(step):
            rule = e.RuleMeasured(
                rule="policy", within=False, measured=f"could not be measured: {error}",
                limit="unknown means over", hint=hint,
            )  # fmt: skip
            return e.PolicyMeasured(at=began, step=step, rules=(rule,))
        case Plan(step, final):
            return e.PlanFailed(
                at=began, step=step, failure=failure, error=error, hint=hint, final=final
            )
        case Sample(subject, name, moment):
            return e.Sampled(
                at=began, subject=subject, name=name, moment=moment, began=began,
                outcome=Outcome.UNKNOWN, reason=error,
            )  # fmt: skip
        case Inject(lease):
            return e.InjectFailed(at=began, lease=lease, failure=failure, error=error, hint=hint)
        case LookForEffect(lease):
            return e.EffectNotSeen(at=began, lease=lease, detail=f"could not look: {error}")
        case Revert(lease):
            return e.RevertFailed(
                at=began, lease=lease, began=began, failure=failure, error=error, hint=hint
            )
        case LookRestored(lease):
            return e.NotRestored(at=began, lease=lease, detail=f"could not look: {error}")
        case Record(event):
            return event


_FREE = ("result", "error", "hint", "reason", "detail", "measured", "rule", "effect", "undo",
         "way_back", "mechanism", "id", "name", "domain", "labels", "groups")  # fmt: skip
"""Fields whose text comes from outside; all others hold names and words of our own."""


def scrubbed(event: AnyEvent, secrets: Secrets) -> AnyEvent:
    """The event without secrets, in every text that came from outside (law L9).

    A secret that happens to be one of our own words (a step's name, say) must not change what
    the event means, so those fields are left as they are.
    """
    plain = to_plain(event)
    hold = plain.get("hold")
    parts = [plain] if hold is None else [plain, hold, *hold["targets"]]
    for part in parts:
        for field in _FREE:
            if field in part and not (part is plain and field == "name"):
                part[field] = scrub(part[field], secrets.known)
    return from_plain(plain, cast("type[AnyEvent]", AnyEvent))


def _failure(error: ChaosrunError) -> Failure:
    if isinstance(error, Transient | JournalUnavailable):
        return Failure.TRANSIENT
    return Failure.INDETERMINATE if isinstance(error, Indeterminate) else Failure.REFUSED


def _subject(run: Run, effect: Sample) -> Check | Guard:
    if effect.subject == "guard":
        return run.guards[effect.name].guard
    return run.checks[effect.name].check


def _gate(written: dict[str, dict[str, JSON]]) -> tuple[str, dict[str, JSON]]:
    ((name, given),) = written.items()
    return name, given
