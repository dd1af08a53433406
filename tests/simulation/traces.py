"""Golden traces: whole runs, event by event, as a person can read them, in tests/stories/.

`python -m tests.simulation.traces` writes them anew; read the difference before it is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from chaosrun import discovery
from chaosrun import events as e
from chaosrun.events import AnyEvent
from tests.simulation.simulate import Story, Trouble
from tests.simulation.test_laws import two_steps
from tests.simulation.world import provider

FOLDER = Path(__file__).parent.parent / "stories"

STORIES: dict[str, tuple[str, int, Trouble, bool]] = {
    "passed": ("Two faults, one after the other, and nothing hurts.", 1, Trouble(), False),
    "parallel": ("Two faults at once.", 1, Trouble(), True),
    "aborted": ("It hurts, and the guard sees it.", 4, Trouble(hurt=1.0), False),
    "deviated": ("Nobody guards, and the steady state does not hold.", 4, Trouble(hurt=1.0), True),
    "stopped": ("A signal, and a second one.", 3, Trouble(stop_after=0.25), True),
    "halted": ("Somebody throws the halt switch.", 3, Trouble(halt_after=0.2), False),
    "gate-shuts": ("A gate closes meanwhile.", 3, Trouble(gate_shuts_after=0.2), False),
    "killed-mid-lease": ("The driver dies just after its lease.", 1, Trouble(crashes=(28,)), False),
    "killed-twice": ("The one who recovers dies too.", 1, Trouble(crashes=(40, 44)), False),
    "journal-lost": ("The journal fails now and then.", 12, Trouble(journal=0.08), False),
    "under-policy": ("A run under a policy.", 1, Trouble(policy=True), False),
    "place-taken": ("Another run takes the last place.", 3,
                    Trouble(policy=True, other_run_after=0.099), False),
    "halt-source": ("A switch outside of chaosrun is turned on.", 3,
                    Trouble(policy=True, source_on_after=0.2), True),
    "late-injection": ("Another driver takes over; an injection lands later.", 7,
                       Trouble(stall=1.0, second_driver_after=0.067), False),
}  # fmt: skip


def trace(title: str, events: Iterable[AnyEvent]) -> str:
    lines = [f"# {title}", ""]
    began = None
    for event in events:
        began = event.at if began is None else began
        lines.append(f"{event.at - began:9.3f}  {tell(event)}")
    return "\n".join(lines) + "\n"


def tell(event: AnyEvent) -> str:
    """One event in words."""
    match event:
        case e.Started(run=run, driver=driver):
            return f"started         {run} by {driver}"
        case e.Resumed(driver=driver, reason=reason):
            return f"resumed         by {driver}: {reason}"
        case e.GateMeasured(gate=gate, open=is_open, measured=measured, step=step):
            where = f"before {step}" if step else "at the start"
            return f"gate {'open' if is_open else 'CLOSED':6}     {gate}, {where}: {measured}"
        case e.PolicyMeasured(step=step, rules=rules):
            where = f"before {step}" if step else "at the start"
            broken = "; ".join(f"{x.rule}: {x.measured}" for x in rules if not x.passes)
            met = f"{sum(x.passes for x in rules)} of {len(rules)} rules"
            return f"policy {'NOT met' if broken else 'met':8}  {where}: {broken or met}"
        case e.Planned(step=step, hold=hold, final=final):
            targets = ", ".join(target.key for target in hold.targets)
            return f"planned         {step}{' again' if final else ''}: {targets}"
        case e.PlanFailed(step=step, error=error):
            return f"plan FAILED     {step}: {error}"
        case e.Sampled(subject=subject, name=name, moment=moment, outcome=outcome, reason=reason):
            said = f": {reason}" if reason else ""
            return f"{subject} {outcome:10}{' ' * (5 - len(subject))}{name}, {moment}{said}"
        case e.Leased(step=step, lease=lease):
            return f"LEASED          {lease} for {step}"
        case e.LeaseDenied(step=step, holder=holder):
            return f"lease DENIED    {step}: held by {holder}"
        case e.Injected(lease=lease, late=late):
            return f"INJECTED        {lease}{', late' if late else ''}"
        case e.InjectFailed(lease=lease, error=error, late=late):
            return f"inject FAILED   {lease}{', late' if late else ''}: {error}"
        case e.EffectSeen(lease=lease, detail=detail):
            return f"effect seen     {lease}: {detail}"
        case e.EffectNotSeen(lease=lease, detail=detail):
            return f"effect NOT seen {lease}: {detail}"
        case e.Reverted(lease=lease):
            return f"reverted        {lease}"
        case e.RevertFailed(lease=lease, error=error):
            return f"revert FAILED   {lease}: {error}"
        case e.Restored(lease=lease, detail=detail):
            return f"RESTORED        {lease}: {detail}"
        case e.NotRestored(lease=lease, detail=detail):
            return f"NOT restored    {lease}: {detail}"
        case e.StopRequested(by=by, reason=reason):
            return f"stop requested  by {by}: {reason}"
        case e.Finished(verdict=verdict, reason=reason):
            return f"finished        {verdict.upper()}: {reason}"


def told(name: str) -> str:
    title, seed, trouble, parallel = STORIES[name]
    experiment = two_steps(parallel)
    (check,) = experiment.spec.steady_state
    spec = replace(experiment.spec, steady_state=(replace(check, every=type(check.every)(0.2)),))
    if name == "deviated":
        spec = replace(spec, abort_when=())
    return trace(title, Story(seed, trouble, replace(experiment, spec=spec)).tell())


if __name__ == "__main__":
    real = discovery.builtin_providers
    discovery.builtin_providers = lambda: (provider,)  # type: ignore[assignment]
    for name in STORIES:
        (FOLDER / f"{name}.txt").write_text(told(name), encoding="utf-8")
        print(FOLDER / f"{name}.txt")
