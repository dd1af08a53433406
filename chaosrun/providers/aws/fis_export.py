"""An experiment becomes a template of FIS, as far as FIS has words for it. Pure.

Law: what FIS would not do is said, line by line; nothing is put in its place.
"""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from chaosrun.codec import from_plain
from chaosrun.providers.aws.fis_template import (
    RESTART_AFTER,
    SEND,
    STOP,
    Action,
    StopCondition,
    Template,
)
from chaosrun.providers.aws.fis_template import FisTarget as Selected
from chaosrun.providers.aws.fis_words import (
    CPU_STRESS,
    Note,
    fis_duration,
    fis_instances,
)
from chaosrun.spec import Experiment, Guard, Step, predecessors

_RINGS = 'state=="ALARM"'


class _Made:
    """The parts of a template, as they come together."""

    def __init__(self) -> None:
        self.targets: dict[str, Selected] = {}
        self.actions: dict[str, Action] = {}
        self.by_step: dict[str, list[str]] = {}
        self.roles: list[str] = []
        self.notes: list[Note] = []

    def note(self, where: str, said: str) -> None:
        self.notes.append(Note(where=where, said=said))


def template_of(experiment: Experiment, role: str = "") -> tuple[Template | None, list[Note]]:
    """The template, and a note for each thing that FIS has no words for.

    None when FIS can do no step of it, or when no role is known: then the notes say so.
    """
    made, spec = _Made(), experiment.spec
    for step in spec.method:
        _add(step, made)
    waits = predecessors(spec.method)
    for step in spec.method:
        before = tuple(
            name for earlier in waits[step.name] for name in made.by_step.get(earlier, ())
        )
        for name in made.by_step.get(step.name, ()):
            action = made.actions[name]
            if not action.start_after:
                made.actions[name] = replace(action, start_after=before)
    stops = [stop for guard in spec.abort_when for stop in _stop(guard, made)]
    for check in spec.steady_state:
        made.note(f"steadyState.{check.name}", "left out: FIS does not look at a steady state")
    for gate in spec.gates:
        made.note(f"gates.{next(iter(gate))}", "left out: FIS has no gates")
    made.note("limits", "left out: FIS has no limits; its targets say how many")
    roles = list(dict.fromkeys([role] if role else made.roles))
    if len(roles) > 1:
        made.note(
            "roleArn", f"FIS takes one role, and it is {roles[0]}; not {', '.join(roles[1:])}"
        )
    if not made.actions or not roles:
        if not roles and made.actions:
            made.note("roleArn", "no step says the role that FIS acts as: give --role ARN")
        return None, made.notes
    return Template(
        description=spec.title,
        targets=made.targets,
        actions=made.actions,
        stop_conditions=tuple(stops) or (StopCondition(source="none"),),
        role_arn=roles[0],
    ), made.notes


def _add(step: Step, made: _Made) -> None:
    where = f"method.{step.name}"
    if step.fault in ("aws.fis", "aws.fis-irreversible") and "inline" in step.with_:
        _add_inline(step, from_plain(step.with_["inline"], Template), made)
        return
    target, action = _own(step, made)
    if action is None:
        return
    if target is not None:
        made.targets[step.name] = target
    made.actions[step.name] = action
    made.by_step[step.name] = [step.name]
    if step.hold.seconds % 60 and step.fault == "aws.ec2-stop":
        made.note(where, f"FIS counts in minutes: it lasts {fis_duration(step.hold.seconds)}")


def _add_inline(step: Step, inline: Template, made: _Made) -> None:
    """Its targets and actions by their own names; by the step's too, where those are taken."""

    def fresh(name: str, taken: dict[str, Any]) -> str:
        return name if name not in taken else f"{step.name}-{name}"

    targets = {
        name: name if made.targets.get(name, one) == one else fresh(name, made.targets)
        for name, one in inline.targets.items()
    }
    actions = {name: fresh(name, made.actions) for name in inline.actions}
    for name, target in inline.targets.items():
        made.targets[targets[name]] = target
    for name, action in inline.actions.items():
        made.actions[actions[name]] = replace(
            action,
            targets={key: targets[value] for key, value in action.targets.items()},
            start_after=tuple(actions[earlier] for earlier in action.start_after),
        )
    made.by_step[step.name] = list(actions.values())
    made.roles.append(inline.role_arn)


def _own(step: Step, made: _Made) -> tuple[Selected | None, Action | None]:
    """FIS' own words for a fault of chaosrun's own."""
    where, target = f"method.{step.name}", step.target
    place = target.get("region", ""), target.get("account", "")
    if step.fault in ("aws.ec2-stop", "aws.ec2-terminate", "aws.ssm-stress"):
        ids = list(target.get("ids", ()))
        if ids and not all(place):
            made.note(where, "left out: FIS wants ARNs, so give the target region and account")
            return None, None
        arns = [f"arn:aws:ec2:{place[0]}:{place[1]}:instance/{one}" for one in ids]
        selected, why = fis_instances(target, arns)
        if selected is None:
            made.note(where, f"left out: {why}")
            return None, None
        return selected, _on_instances(step, made)
    if step.fault == "aws.rds-failover" and all(place):
        arn = f"arn:aws:rds:{place[0]}:{place[1]}:cluster:{target['cluster']}"
        selected = Selected(
            resource_type="aws:rds:cluster", resource_arns=(arn,), selection_mode="ALL"
        )
        failover = "aws:rds:failover-db-cluster"
        return selected, Action(action_id=failover, targets={"Clusters": step.name})
    why = "FIS wants an ARN, so give the target region and account"
    known = step.fault in ("aws.rds-failover",)
    made.note(where, f"left out: {why if known else f'FIS has no action for {step.fault}'}")
    return None, None


def _on_instances(step: Step, made: _Made) -> Action | None:
    on, lasts = {"Instances": step.name}, fis_duration(step.hold.seconds)
    if step.fault == "aws.ec2-stop":
        return Action(action_id=STOP, targets=on, parameters={RESTART_AFTER: lasts})
    if step.fault == "aws.ec2-terminate":
        return Action(action_id="aws:ec2:terminate-instances", targets=on)
    if set(step.with_) - {"cpu", "allCpus"}:
        made.note(f"method.{step.name}", "left out: of aws.ssm-stress only processors are mapped")
        return None
    if not step.target.get("region"):
        made.note(f"method.{step.name}", "left out: the ARN of its document takes a region")
        return None
    asked = {
        "DurationSeconds": str(int(step.hold.seconds)),
        "CPU": str(step.with_.get("cpu", 0)),
        "InstallDependencies": "True",
    }
    region = step.target["region"]
    return Action(
        action_id=SEND,
        targets=on,
        parameters={
            "duration": lasts,
            "documentArn": f"arn:aws:ssm:{region}::document/{CPU_STRESS}",
            "documentParameters": json.dumps(asked),
        },
    )


def _stop(guard: Guard, made: _Made) -> list[StopCondition]:
    where = f"abortWhen.{guard.name}"
    if guard.probe != "aws.alarm" or guard.when.replace(" ", "") != _RINGS:
        made.note(where, "left out: FIS stops for alarms that ring only")
        return []
    region, account = guard.with_.get("region"), guard.with_.get("account")
    if not (region and account):
        made.note(where, "left out: FIS wants the alarm's ARN, so give it region and account")
        return []
    arn = f"arn:aws:cloudwatch:{region}:{account}:alarm:{guard.with_['alarm']}"
    return [StopCondition(source="aws:cloudwatch:alarm", value=arn)]
