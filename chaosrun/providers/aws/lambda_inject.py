"""A function is slow, or fails: by a layer of ours in it, which is switched by its environment.

Law (L3, L9): the switch holds its deadline, and the layer reads it: the fault ends inside the
function though nobody comes back. Of the environment only our own variable is kept anywhere.
"""

from __future__ import annotations

import json
import random
import time
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from chaosrun.errors import Indeterminate, Refused
from chaosrun.fault import Evidence, Expiry, Fault, Hold, Permission
from chaosrun.providers.aws.access import access_of, belonging, iam, undo
from chaosrun.providers.aws.client import Aws, until
from chaosrun.providers.aws.functions import Function, labels, mark, marked, unmark
from chaosrun.providers.aws.layer import SWITCH, WRAPPER
from chaosrun.targeting import Target
from chaosrun.units import JSON, SEEN_BY_OTHERS, Duration, Share

_BY_WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"


class LambdaInject(Fault[Aws], frozen=True, kw_only=True):
    """Make a Python function on Lambda slow, or let it fail, for a share of its calls.

    The function takes a layer of ours: `chaosrun lambda-layer layer.zip` writes it and says what to
    do with it. It is switched by a variable of the function's environment, which holds the
    deadline. A changed environment makes Lambda start the function anew, so the first calls are
    slower, before and after. Published versions and their aliases cannot be changed: only what
    calls the newest ($LATEST) is hit.
    """

    name: ClassVar[str] = "aws.lambda-inject"
    expiry: ClassVar[Expiry] = Expiry.TARGET
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "lambda:GetFunctionConfiguration",
        "lambda:ListTags",
        "lambda:TagResource",
        "lambda:UntagResource",
        "lambda:UpdateFunctionConfiguration",
    )
    example: ClassVar[dict[str, JSON]] = {
        "target": {"function": "checkout"},
        "with": {"latency": "400ms", "share": "30%"},
    }

    target: Function
    latency: Annotated[Duration | None, Meta(description="How much later it answers")] = None
    error: Annotated[
        str, Meta(description="The message of the exception that it raises", max_length=200,
                  extra={SEEN_BY_OTHERS: True})
    ] = ""  # fmt: skip
    share: Annotated[Share, Meta(description="The share of calls that are hit")] = Share(1)

    def __post_init__(self) -> None:
        if not self.latency and not self.error:
            raise ValueError("say what to do to it: latency, error or both")
        if self.share.fraction == 0:
            raise ValueError("a share of 0% hits no call")

    def plan(self, client: Aws, rng: random.Random) -> Hold:  # noqa: ARG002
        access, name = client.settle(self.target.access()), self.target.function
        found = client.call(access, "lambda", "get_function_configuration", FunctionName=name)
        _need_the_layer(found)
        switch: dict[str, JSON] = {"share": self.share.fraction}
        if self.latency is not None:
            switch["latency"] = self.latency.seconds
        if self.error:
            switch["error"] = self.error
        hit = "" if self.share.fraction == 1 else f"{self.share} of the calls: "
        late = f"answers {self.latency} later" if self.latency else ""
        return Hold(
            fault=self.name,
            targets=(
                Target(
                    kind="lambda",
                    id=found["FunctionArn"],
                    name=found["FunctionName"],
                    labels=labels(client, access, found["FunctionArn"]),
                    groups=belonging(access, zone=""),
                ),
            ),
            population=1,
            effect=hit + " and ".join(filter(None, [late, "fails" if self.error else ""])),
            undo=undo(access, switch=switch),
            way_back="the layer ends it at the deadline; chaosrun takes the switch away",
            mechanism="a layer in the function",
            expiry=self.expiry,
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        mark(hold, client, hold.targets[0].id)
        now = _settled(hold, client)
        _need_the_layer(now, but=hold.mark)
        if _ours(now, hold) is None:
            switch = {**hold.undo["switch"], "until": hold.deadline, "mark": hold.mark}
            _set(hold, client, now, json.dumps(switch, sort_keys=True))

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        now = _settled(hold, client)
        if _ours(now, hold) is not None:
            _set(hold, client, now, None)
        unmark(hold, client, hold.targets[0].id)

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        now = _look(hold, client)
        switch = _ours(now, hold)
        on = switch is not None and time.time() < switch["until"]
        done = now.get("LastUpdateStatus", "Successful") == "Successful"
        return Evidence(on and done, _in_words(switch) + ("" if done else ", not everywhere yet"))

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        switch = _ours(_look(hold, client), hold)
        tagged = marked(hold, client, hold.targets[0].id)
        ended = time.time() > hold.deadline  # by itself: then only the switch and the tag are left
        return Evidence(
            ended or (switch is None and not tagged),
            _in_words(switch) + ("; the function is still tagged" if tagged else ""),
        )


def _variables(found: dict[str, Any]) -> dict[str, str]:
    environment = found.get("Environment", {})
    if environment.get("Error"):
        raise Refused(
            f"the environment of {found['FunctionName']} cannot be read, so not be put back: "
            f"{environment['Error'].get('Message', '')}"
        )
    variables: dict[str, str] = environment.get("Variables", {})
    return variables


def _need_the_layer(found: dict[str, Any], but: str = "") -> None:
    """Raise Refused when the function cannot be switched, or somebody else has switched it on."""
    name, variables = found["FunctionName"], _variables(found)
    if not str(found.get("Runtime", "")).startswith("python"):
        raise Refused(f"{name} does not run Python but {found.get('Runtime', 'a container')}")
    if variables.get(_BY_WRAPPER) != WRAPPER or not found.get("Layers"):
        raise Refused(
            f"{name} does not have chaosrun's layer",
            hint="`chaosrun lambda-layer layer.zip` writes it and says what to do with it",
        )
    switch = _read(variables.get(SWITCH, ""))
    if switch.get("mark", but) != but and switch.get("until", 0) > time.time():
        raise Refused(f"another fault is on in {name}", hint="`chaosrun status` may know whose")


def _read(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _ours(found: dict[str, Any], hold: Hold) -> dict[str, Any] | None:
    switch = _read(_variables(found).get(SWITCH, ""))
    return switch if switch.get("mark") == hold.mark else None


def _look(hold: Hold, client: Aws) -> dict[str, Any]:
    found: dict[str, Any] = client.call(
        access_of(hold), "lambda", "get_function_configuration", FunctionName=hold.targets[0].id
    )
    return found


def _settled(hold: Hold, client: Aws) -> dict[str, Any]:
    """The function when nobody changes it. Raises Indeterminate when its last change failed."""
    now: dict[str, Any] = {}

    def settled() -> bool:
        nonlocal now
        now = _look(hold, client)
        return bool(now.get("LastUpdateStatus") != "InProgress")

    until(settled, f"{hold.targets[0].label} should be settled")
    return now


def _set(hold: Hold, client: Aws, now: dict[str, Any], switch: str | None) -> None:
    """Change only our variable, and only if nobody else changed the function meanwhile."""
    variables = {key: value for key, value in _variables(now).items() if key != SWITCH}
    if switch is not None:
        variables[SWITCH] = switch
    client.call(
        access_of(hold), "lambda", "update_function_configuration",
        FunctionName=hold.targets[0].id, Environment={"Variables": variables},
        **({"RevisionId": now["RevisionId"]} if now.get("RevisionId") else {}),
    )  # fmt: skip
    after = _settled(hold, client)
    if after.get("LastUpdateStatus") == "Failed":
        raise Indeterminate(f"{hold.targets[0].label}: {after.get('LastUpdateStatusReason', '')}")


def _in_words(switch: dict[str, Any] | None) -> str:
    if switch is None:
        return "the switch is not there"
    on = time.time() < switch["until"]
    return f"the switch is {'on' if on else 'past its deadline'}"
