"""Faults of AWS' own Fault Injection Service: its templates are run, watched and stopped.

Law (L2, L8): what is started is a copy of the template with its targets chosen and no action longer
than the lease; it bears our mark, so that it is found and stopped without our memory of it. FIS
undoes nothing of an action that failed, so then the targets themselves are looked at.
"""

from __future__ import annotations

import random
import time
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import Indeterminate, Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission, Reversal
from chaosrun.providers.aws.access import MARK_KEY, Access, access_of, iam, undo
from chaosrun.providers.aws.client import Aws, NotFound, until
from chaosrun.providers.aws.fis_targets import choose
from chaosrun.providers.aws.fis_template import HARMLESS, Action, Template, of_answer
from chaosrun.providers.aws.fis_words import INSTANCE
from chaosrun.providers.aws.instances import look
from chaosrun.providers.aws.marks import value
from chaosrun.targeting import Target
from chaosrun.units import JSON

_BEGINNING = ("pending", "initiating")
_GOING = (*_BEGINNING, "running", "stopping")
_HALTED = "stop condition"


class FisExperiment(Access, frozen=True, kw_only=True):
    """A template of the Fault Injection Service, or where one given `inline` is run."""

    template: Annotated[str, Meta(description="The template's id", examples=["EXT1234"])] = ""


class Fis(Fault[Aws], frozen=True, kw_only=True):
    """Run an experiment of AWS' Fault Injection Service: a template, or actions given inline.

    Targets are chosen when the run is planned, and FIS is given exactly those. Where only FIS can
    choose (some filters and resource types), say `fisChooses: true`. No action lasts longer
    than the step is held, rounded up to minutes, so FIS ends it though nobody stops it. Stop
    conditions stay in force: when one rings, its reason is in the report. Actions that FIS is not
    known to undo, such as terminating instances, are for aws.fis-irreversible.
    """

    name: ClassVar[str] = "aws.fis"
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "ec2:DescribeInstances",
        "fis:CreateExperimentTemplate",
        "fis:DeleteExperimentTemplate",
        "fis:GetExperiment",
        "fis:GetExperimentTemplate",
        "fis:ListExperimentTemplates",
        "fis:ListExperiments",
        "fis:StartExperiment",
        "fis:StopExperiment",
        "fis:TagResource",
        "iam:PassRole",
        "tag:GetResources",
    )
    example: ClassVar[dict[str, JSON]] = {
        "with": {
            "inline": {
                "targets": {
                    "disks": {
                        "resourceType": "aws:ec2:ebs-volume",
                        "resourceTags": {"app": "orders"},
                        "selectionMode": "COUNT(1)",
                    }
                },
                "actions": {
                    "pause": {
                        "actionId": "aws:ebs:pause-volume-io",
                        "parameters": {"duration": "PT2M"},
                        "targets": {"Volumes": "disks"},
                    }
                },
                "roleArn": "arn:aws:iam::123456789012:role/fis",
            }
        },
    }

    target: FisExperiment = FisExperiment()
    inline: Annotated[
        Template | None, Meta(description="A template as FIS' own JSON, in place of an id")
    ] = None
    fis_chooses: Annotated[
        bool, Meta(description="Whether FIS may choose targets that cannot be chosen before")
    ] = False

    def __post_init__(self) -> None:
        if bool(self.target.template) == (self.inline is not None):
            raise ValueError("give either target.template or inline")

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        template, called = self._template(client, access)
        if template.not_undone and self.reversal is not Reversal.IRREVERSIBLE:
            raise Refused(
                f"nobody undoes {', '.join(template.not_undone)}, as far as is known",
                hint="use aws.fis-irreversible, and accept it by name; aws:ec2:stop-instances "
                "is undone with startInstancesAfterDuration",
            )
        chosen = choose(client, access, template, rng)
        if chosen.left and not self.fis_chooses:
            raise Refused(
                f"only FIS can tell what it would touch: {'; '.join(chosen.left)}",
                hint="name resourceArns, or agree to that with `fisChooses: true`",
            )
        itself = Target(
            kind="fis-template",
            id=f"{access.account}/{access.region}/{called}",
            groups={"account": access.account, "namespace": ""},
        )
        does = ", ".join(sorted({action.action_id for action in template.actions.values()}))
        left = f"; FIS chooses {', '.join(chosen.left)}" if chosen.left else ""
        return Hold(
            fault=self.name,
            targets=chosen.targets or (itself,),
            population=chosen.population or 1,
            populations=chosen.populations,
            effect=f"FIS does {does}{left}",
            undo=undo(access, template=to_plain(chosen.template)),
            way_back="chaosrun stops it, and FIS undoes what it did",
            mechanism="AWS Fault Injection Service",
            reversal=self.reversal,
            used=self.permissions,
        )

    def _template(self, client: Aws, access: Access) -> tuple[Template, str]:
        if self.inline is not None:
            return self.inline, "inline"
        name = self.target.template
        found = client.call(access, "fis", "get_experiment_template", id=name)
        try:
            return from_plain(of_answer(found["experimentTemplate"]), Template), name
        except msgspec.ValidationError as error:
            raise Refused(f"template {name} has what chaosrun does not know: {error}") from None

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        access = access_of(hold)
        tag = {MARK_KEY: value(hold)}
        if not _experiments(hold, client):
            copies = _copies(hold, client)
            left = hold.deadline - time.time()
            if left <= 0:
                raise Refused("its deadline has passed")
            if not copies:
                template = from_plain(hold.undo["template"], Template).no_longer_than(left)
                made = client.call(
                    access, "fis", "create_experiment_template",
                    clientToken=hold.mark, tags=tag, **template.request(),
                )  # fmt: skip
                copies = [made["experimentTemplate"]["id"]]
            client.call(
                access, "fis", "start_experiment",
                clientToken=hold.mark, experimentTemplateId=copies[0], tags=tag,
            )  # fmt: skip
        until(lambda: not _in(hold, client, _BEGINNING), "FIS should begin")
        for one in _told(hold, client):
            status, reason = one["state"]["status"], one["state"].get("reason", "")
            if status in ("cancelled", "stopped"):
                raise Refused(f"FIS did not go on: {status}: {reason}")
            if status == "failed":
                raise Indeterminate(f"FIS failed: {_in_words(one)}")

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        access = access_of(hold)
        for name in _in(hold, client, ("running", *_BEGINNING)):
            client.call(access, "fis", "stop_experiment", id=name)
        until(lambda: not _in(hold, client, _GOING), "FIS should have stopped")
        for name in _copies(hold, client):
            try:
                client.call(access, "fis", "delete_experiment_template", id=name)
            except NotFound:  # somebody else was quicker
                continue

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        told = _told(hold, client)
        well = ("running", "completed")
        harm = [
            action
            for one in told
            if one["state"]["status"] in well
            for action in one.get("actions", {}).values()
            if action["state"]["status"] in well and action["actionId"] not in HARMLESS
        ]
        return Evidence(
            bool(harm),
            "; ".join(map(_in_words, told)) or "there is no such experiment in FIS",
            {
                f"{one['id']}.{name}": action["state"]["status"]
                for one in told
                for name, action in one.get("actions", {}).items()
            },
        )

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        told, copies = _told(hold, client), _copies(hold, client)
        going = [one for one in told if one["state"]["status"] in _GOING]
        left = [f"the copy {', '.join(copies)} is still there"] if copies else []
        for one in told:
            left += _left_by_failures(one, hold, client)
        said = [_in_words(one) for one in told] or ["FIS ran nothing"]
        return Evidence(not going and not left, "; ".join(said + left))


class FisIrreversible(Fis, frozen=True, kw_only=True):
    """Run an experiment of AWS' Fault Injection Service, also with what is never undone.

    As aws.fis, for actions such as terminating instances, Spot interruptions, reboots and
    failovers. When the hold ends, what still goes on is stopped; the rest stays as it is.
    """

    name: ClassVar[str] = "aws.fis-irreversible"
    reversal: ClassVar[Reversal] = Reversal.IRREVERSIBLE
    example: ClassVar[dict[str, JSON]] = {"target": {"template": "EXT1a2b3c4d5e6f7"}}


def _ours(hold: Hold, listed: list[dict[str, Any]]) -> list[str]:
    marked = [one for one in listed if one.get("tags", {}).get(MARK_KEY) == value(hold)]
    return sorted(one["id"] for one in marked)


def _copies(hold: Hold, client: Aws) -> list[str]:
    return _ours(hold, client.pages(
        access_of(hold), "fis", "list_experiment_templates", "experimentTemplates"
    ))  # fmt: skip


def _experiments(hold: Hold, client: Aws) -> list[str]:
    return _ours(hold, client.pages(access_of(hold), "fis", "list_experiments", "experiments"))


def _told(hold: Hold, client: Aws) -> list[dict[str, Any]]:
    """Each experiment of ours as FIS tells it."""
    return [
        client.call(access_of(hold), "fis", "get_experiment", id=name)["experiment"]
        for name in _experiments(hold, client)
    ]


def _in(hold: Hold, client: Aws, states: tuple[str, ...]) -> list[str]:
    return [one["id"] for one in _told(hold, client) if one["state"]["status"] in states]


def _left_by_failures(one: dict[str, Any], hold: Hold, client: Aws) -> list[str]:
    """What actions of an experiment failed that should have been undone, unless all is as before.

    One that failed to start has harmed nothing: its actions never began.
    """
    over = one["state"]["status"] not in _GOING
    left: list[str] = []
    for name, action in sorted(one.get("actions", {}).items()):
        status = action["state"]["status"]
        failed = status == "failed" or (over and status in ("initiating", "running", "stopping"))
        written = Action(action_id=action["actionId"], parameters=action.get("parameters", {}))
        if failed and written.is_undone and written.action_id not in HARMLESS:
            left += _not_as_before(name, action, one, hold, client)
    return left


def _not_as_before(
    name: str, action: dict[str, Any], one: dict[str, Any], hold: Hold, client: Aws
) -> list[str]:
    targets = [one.get("targets", {}).get(key, {}) for key in action.get("targets", {}).values()]
    arns = [arn for target in targets for arn in target.get("resourceArns", ())]
    if arns and all(target.get("resourceType") == INSTANCE for target in targets):
        ids = sorted({arn.rpartition("/")[2] for arn in arns})
        now = {each.id: each.state for each in look(client, access_of(hold), ids)}
        states = {each: now.get(each, "gone") for each in ids}
        bad = [f"{each} is {state}" for each, state in states.items() if state != "running"]
        return [f"{name} failed: {', '.join(bad)}"] if bad else []
    if "startTime" not in action:
        return []
    return [
        f"{name} failed, and chaosrun cannot see whether its targets are as before: once they are,"
        f" take the tag {MARK_KEY} from the experiment {one['id']}"
    ]


def _in_words(one: dict[str, Any]) -> str:
    """An experiment's state: `stopped by a stop condition: ...; pause is stopped`."""
    state = one["state"]
    reason = state.get("reason", "")
    by = " by a stop condition" if _HALTED in reason.lower() else ""
    error = state.get("error", {})
    at = f" ({error.get('code', '')} at {error.get('location', '')})" if error else ""
    actions = [
        f"{name} is {action['state']['status']}"
        for name, action in sorted(one.get("actions", {}).items())
    ]
    return "; ".join([f"FIS: {state['status']}{by}: {reason}{at}", *actions])
