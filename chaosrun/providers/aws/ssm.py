"""Faults inside instances, by scripts that Systems Manager runs there.

Law (L2, L3): a script is held on the instance by a keeper that ends it at the deadline, though
nobody comes back. What could not be undone there is owed, and tried again. A reboot ends the
keeper, and not all harm, so the revert brings the undo with it. A command that waits to be
delivered is cancelled before its revert is sent, and one that is delivered after its deadline does
nothing.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from chaosrun.errors import Indeterminate, Refused, Transient
from chaosrun.fault import Evidence, Expiry, Fault, Hold, Permission
from chaosrun.providers.aws import marks, scripts
from chaosrun.providers.aws.access import Access, access_of, iam, undo
from chaosrun.providers.aws.client import Aws, until
from chaosrun.providers.aws.instances import ENDED, Instances, held, ids_of

DOCUMENT = "AWS-RunShellScript"
_AT_ONCE, _INFORMATION = 50, 40
_DELIVERY_SECONDS, _SCRIPT_SECONDS = 30, 60
_WAITING = ("Pending", "InProgress", "Delayed", "Cancelling")
_SAYS = re.compile(r"^chaosrun: (gone|held|orphaned|stuck|unseen)\b ?(.*)$", re.MULTILINE)


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What is run on an instance, how it is undone there, and how it is seen."""

    run: str
    undo: str = "true"
    seen: str = "true"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one instance answered: SSM's status, and what the script wrote."""

    instance: str
    status: str
    output: str

    @property
    def said(self) -> tuple[str, str]:
        """The state that the script reports, and its words."""
        found = _SAYS.search(self.output)
        return (found[1], found[2].strip()) if found else ("", "")


class OnInstances(Fault[Aws], frozen=True, kw_only=True):
    """A fault that is a script on instances."""

    expiry: ClassVar[Expiry] = Expiry.TARGET
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "ec2:CreateTags",
        "ec2:DeleteTags",
        "ec2:DescribeInstances",
        "ssm:CancelCommand",
        "ssm:DescribeInstanceInformation",
        "ssm:ListCommandInvocations",
        "ssm:ListCommands",
        "ssm:SendCommand",
    )

    target: Instances

    def script(self) -> Script:
        """What to run. Raises Refused or ValueError when that makes no sense."""
        raise NotImplementedError

    def effect(self) -> str:
        """What it does there, in words."""
        raise NotImplementedError

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        chosen = self.target.choose(client, access, rng)
        deaf = not_online(client, access, chosen.ids)
        if deaf:
            raise Refused(
                f"Systems Manager does not reach {', '.join(deaf)}",
                hint="it takes its agent, online, on Linux, and a role that lets it be managed",
            )
        written = self.script()
        return Hold(
            fault=self.name,
            targets=chosen.targets,
            population=chosen.population,
            populations=chosen.populations,
            effect=self.effect(),
            undo=undo(access, run=written.run, undo=written.undo, seen=written.seen),
            way_back="it is ended there by a script, which also ends by itself at the deadline",
            mechanism=f"SSM {DOCUMENT}",
            expiry=self.expiry,
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        ids = ids_of(hold)
        marks.put(hold, client, ids)
        text = scripts.starting(
            hold.mark, hold.deadline, hold.undo["run"], hold.undo["undo"], hold.undo["seen"]
        )
        answers = send(client, access_of(hold), ids, text, _comment(hold))
        bad = [f"{a.instance}: {a.status}: {a.output}" for a in answers if a.status != "Success"]
        if bad:
            every = len(bad) == len(ids) and all(a.status == "Failed" for a in answers)
            raise (Refused if every else Indeterminate)("; ".join(bad))

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        access = access_of(hold)
        _cancel(hold, client)
        there = [each.id for each in held(hold, client) if each.state not in ENDED]
        text = scripts.stopping(hold.mark, hold.undo["undo"])
        answers = send(client, access, there, text, "chaosrun stop")
        bad = [f"{a.instance}: {a.status}: {a.output}" for a in answers if a.status != "Success"]
        if bad:
            raise Transient("; ".join(bad), hint="it is tried again; see what hinders it there")
        marks.take(hold, client, there)

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        said = _look(hold, client)
        return Evidence(
            len(said) == len(hold.targets) and all(state == "held" for state, _ in said.values()),
            _in_words(said),
        )

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        said = _look(hold, client)
        tagged = [each.id for each in held(hold, client) if each.mark == marks.value(hold)]
        gone = all(state == "gone" for state, _ in said.values())
        ended = time.time() > hold.deadline  # by itself: then only the tag is left
        left = f"; still tagged: {', '.join(tagged)}" if tagged else ""
        return Evidence(gone and (ended or not tagged), _in_words(said) + left)


def not_online(client: Aws, access: Access, ids: Sequence[str]) -> list[str]:
    """Those that Systems Manager cannot run a shell script on now."""
    online: set[str] = set()
    for start in range(0, len(ids), _INFORMATION):
        some = list(ids[start : start + _INFORMATION])
        for one in client.pages(
            access, "ssm", "describe_instance_information", "InstanceInformationList",
            Filters=[{"Key": "InstanceIds", "Values": some}],
        ):  # fmt: skip
            if one["PingStatus"] == "Online" and one.get("PlatformType", "Linux") == "Linux":
                online.add(one["InstanceId"])
    return sorted(set(ids) - online)


def send(client: Aws, access: Access, ids: Sequence[str], text: str, comment: str) -> list[Answer]:
    """Run a script on each, and wait for all of them."""
    return [
        answer
        for start in range(0, len(ids), _AT_ONCE)
        for answer in _sent(client, access, list(ids[start : start + _AT_ONCE]), text, comment)
    ]


def _sent(client: Aws, access: Access, ids: list[str], text: str, comment: str) -> list[Answer]:
    command = client.call(
        access, "ssm", "send_command",
        InstanceIds=ids, DocumentName=DOCUMENT, Comment=comment,
        TimeoutSeconds=_DELIVERY_SECONDS, MaxConcurrency="100%", MaxErrors="100%",
        Parameters={"commands": [text], "executionTimeout": [str(_SCRIPT_SECONDS)]},
    )["Command"]["CommandId"]  # fmt: skip
    answers: list[Answer] = []

    def answered() -> bool:
        nonlocal answers
        told = client.pages(
            access, "ssm", "list_command_invocations", "CommandInvocations",
            CommandId=command, Details=True,
        )  # fmt: skip
        answers = [_answer(one) for one in told]
        return len(answers) == len(ids) and all(a.status not in _WAITING for a in answers)

    until(answered, f"{', '.join(ids)} should answer", _DELIVERY_SECONDS + _SCRIPT_SECONDS + 10)
    return answers


def _answer(told: dict[str, Any]) -> Answer:
    output = "".join(plugin.get("Output", "") for plugin in told.get("CommandPlugins", ()))
    return Answer(instance=told["InstanceId"], status=told["Status"], output=output.strip()[:500])


def _comment(hold: Hold) -> str:
    """By which our commands are found."""
    return f"chaosrun {marks.value(hold)}"


def _cancel(hold: Hold, client: Aws) -> None:
    """Cancel what has not ended yet, and wait until it has."""
    access = access_of(hold)

    def waiting() -> list[str]:
        return [
            one["CommandId"]
            for status in ("Pending", "InProgress")
            for one in client.pages(
                access,
                "ssm",
                "list_commands",
                "Commands",
                Filters=[{"key": "Status", "value": status}],
            )
            if one["Comment"] == _comment(hold)
        ]

    for command in waiting():
        client.call(access, "ssm", "cancel_command", CommandId=command)
    until(lambda: not waiting(), "commands that were cancelled should have ended")


def _look(hold: Hold, client: Aws) -> dict[str, tuple[str, str]]:
    """What each target that is there says. Raises Transient when one does not answer."""
    there = [each.id for each in held(hold, client) if each.state not in ENDED]
    text = scripts.looking(hold.mark)
    answers = send(client, access_of(hold), there, text, "chaosrun look")
    for answer in answers:
        if answer.status != "Success" or not answer.said[0]:
            raise Transient(f"{answer.instance}: {answer.status}: {answer.output}")
    return {answer.instance: answer.said for answer in answers}


def _in_words(said: dict[str, tuple[str, str]]) -> str:
    words = {
        "gone": "nothing of it is there",
        "held": "it is held",
        "orphaned": "its keeper was killed",
        "stuck": "it could not be undone",
        "unseen": "it cannot be seen",
    }
    return (
        "; ".join(
            f"{instance}: {words[state]}" + (f": {detail}" if detail else "")
            for instance, (state, detail) in sorted(said.items())
        )
        or "no instance is left"
    )
