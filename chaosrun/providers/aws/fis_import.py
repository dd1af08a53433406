"""A template of FIS becomes an experiment. Pure.

Law: nothing of the template is lost in silence. What chaosrun has a fault of its own for becomes
that; all else becomes aws.fis, with the action as it was; what has no place is said.
"""

from __future__ import annotations

import json
from typing import Any

from chaosrun.codec import to_plain
from chaosrun.providers.aws.fis_targets import only_fis
from chaosrun.providers.aws.fis_template import (
    RESTART_AFTER,
    SEND,
    STOP,
    Action,
    Template,
    in_seconds,
)
from chaosrun.providers.aws.fis_words import (
    CPU_STRESS,
    Note,
    hold_of,
    instances_of,
    slug,
)
from chaosrun.spec import API_VERSION
from chaosrun.units import JSON

_TERMINATE, _FAILOVER = "aws:ec2:terminate-instances", "aws:rds:failover-db-cluster"
_WITHOUT_A_PLACE = {
    "logConfiguration": "chaosrun's journal holds what happened",
    "experimentReportConfiguration": "`chaosrun report` writes reports",
}


def experiment_of(template: Template, name: str = "") -> tuple[dict[str, JSON], list[Note]]:
    """The experiment as a document, and a note for each thing that is not the same."""
    notes: list[Note] = []
    alarms = [one.value for one in template.stop_conditions if one.source != "none"]
    spec: dict[str, JSON] = {"title": template.description[:200] or "An experiment of FIS"}
    if not alarms:
        spec["parameters"] = {
            "alarm": {"type": "string", "description": "The alarm that tells of users"}
        }
        notes.append(Note(where="stopConditions", said="there is none: name an alarm as `alarm`, "
                          "which is the steady state and ends the run"))  # fmt: skip
    looks = [_looks_at(arn) for arn in alarms] or [{"alarm": "${alarm}"}]
    spec["steadyState"] = [
        {"name": f"{one['alarm']} is quiet", "probe": "aws.alarm", "with": one,
         "expect": 'state != "ALARM"'}
        for one in looks
    ]  # fmt: skip
    spec["abortWhen"] = [
        {"name": f"{one['alarm']} rings", "probe": "aws.alarm", "with": dict(one),
         "every": "5s", "when": 'state == "ALARM"'}
        for one in looks
    ]  # fmt: skip
    steps = [_step(name, one, template, notes) for name, one in template.actions.items()]
    lost = [one["fault"] for one in steps if one["fault"] in _IRREVERSIBLE]
    if lost:
        spec["acceptIrreversible"] = sorted(set(lost))
        said = f"{', '.join(sorted(set(lost)))} cannot be undone, which is accepted by name"
        notes.append(Note(where="actions", said=said))
    spec["limits"] = {"share": "100%", "targets": 100}
    notes.append(Note(where="limits", said="FIS has none: all of it may be hit; lower them"))
    spec["method"] = steps
    notes += _without_a_place(template)
    document = {
        "apiVersion": API_VERSION,
        "kind": "Experiment",
        "metadata": {"name": slug(name or template.description)},
        "spec": spec,
    }
    return document, notes


_IRREVERSIBLE = ("aws.ec2-terminate", "aws.fis-irreversible")


def _looks_at(arn: str) -> dict[str, JSON]:
    parts = arn.split(":", 6)
    if len(parts) != 7:
        return {"alarm": arn}
    return {"alarm": parts[6], "region": parts[3], "account": parts[4]}


def _step(name: str, action: Action, template: Template, notes: list[Note]) -> dict[str, Any]:
    """One action as a step of its own."""
    lasts = action.parameters.get("duration") or action.parameters.get(RESTART_AFTER, "")
    step: dict[str, Any] = {"name": name, "fault": ""}
    own = _own(action, template)
    if own is None:
        targets = {key: template.targets[key] for key in sorted(set(action.targets.values()))}
        alone = Template(
            description=action.description or template.description,
            targets=targets,
            actions={name: Action(
                action_id=action.action_id, description=action.description,
                parameters=action.parameters, targets=action.targets,
            )},
            role_arn=template.role_arn,
        )  # fmt: skip
        step["fault"] = "aws.fis" if action.is_undone else "aws.fis-irreversible"
        step["with"] = {"inline": to_plain(alone)}
        said = f"{action.action_id} is run by FIS, as {step['fault']}"
        if any(only_fis(target) for target in targets.values()):
            step["with"]["fisChooses"] = True
            said += "; FIS chooses its targets"
        notes.append(Note(where=f"actions.{name}", said=said))
    else:
        step |= own
        said = f"{action.action_id} is {step['fault']}, by chaosrun itself"
        notes.append(Note(where=f"actions.{name}", said=said))
    if lasts and in_seconds(lasts):
        step["hold"] = hold_of(lasts)
    step["after"] = list(action.start_after)
    step["timeout"] = "10m"
    for key in sorted(set(action.targets.values())):
        users = [n for n, one in template.actions.items() if key in one.targets.values()]
        if len(users) > 1 and users[0] == name and template.targets[key].selection_mode != "ALL":
            said = f"FIS picks once for {' and '.join(users)}; chaosrun picks for each step"
            notes.append(Note(where=f"targets.{key}", said=said))
    return step


def _own(action: Action, template: Template) -> dict[str, Any] | None:
    """A fault of chaosrun's own that does exactly this."""
    names = sorted(set(action.targets.values()))
    if len(names) != 1:
        return None
    target = template.targets[names[0]]
    instances = instances_of(target)
    given = set(action.parameters)
    if action.action_id == STOP and instances and given == {RESTART_AFTER}:
        return {"fault": "aws.ec2-stop", "target": instances}
    if action.action_id == _TERMINATE and instances and not given:
        return {"fault": "aws.ec2-terminate", "target": instances}
    if action.action_id == _FAILOVER and len(target.resource_arns) == 1 and not given:
        parts = target.resource_arns[0].split(":")
        where = {"cluster": parts[-1], "region": parts[3], "account": parts[4]}
        return {"fault": "aws.rds-failover", "target": where}
    if action.action_id == SEND and instances:
        return _stress(action, instances)
    return None


def _stress(action: Action, instances: dict[str, JSON]) -> dict[str, Any] | None:
    if not action.parameters.get("documentArn", "").endswith(f":document/{CPU_STRESS}"):
        return None
    try:
        asked = json.loads(action.parameters.get("documentParameters", "{}"))
        count = int(asked.get("CPU", 0))
    except (ValueError, TypeError, AttributeError):
        return None
    if set(asked) - {"CPU", "DurationSeconds", "InstallDependencies"}:
        return None
    given: dict[str, JSON] = {"cpu": count} if count else {"allCpus": True}
    region = action.parameters["documentArn"].split(":")[3]
    where = {"region": region} if region else {}
    return {"fault": "aws.ssm-stress", "target": {**where, **instances}, "with": given}


def _without_a_place(template: Template) -> list[Note]:
    plain = to_plain(template)
    notes = [Note(where=k, said=f"left out: {why}") for k, why in _WITHOUT_A_PLACE.items()
             if plain.get(k)]  # fmt: skip
    options = template.experiment_options
    if options.get("emptyTargetResolutionMode") == "skip":
        notes.append(Note(where="experimentOptions.emptyTargetResolutionMode",
                          said="left out: chaosrun refuses when nothing matches"))  # fmt: skip
    if options.get("accountTargeting") == "multi-account":
        said = "left out: give each step's target its account and role"
        notes.append(Note(where="experimentOptions.accountTargeting", said=said))
    return notes
