"""The gate `aws.permissions`: whoever acts may do all that the experiment takes.

Law (L4): it is known before the first effect. EC2 is asked itself where it can be asked without
doing (DryRun); for all else IAM simulates the policies of whoever acts. What cannot be asked is
not allowed.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun import discovery
from chaosrun.errors import Refused
from chaosrun.fault import Permission
from chaosrun.gate import Gate, Measured
from chaosrun.providers.aws.access import Access, iam
from chaosrun.providers.aws.client import Aws, Denied
from chaosrun.units import JSON, Duration

_AT_ONCE = 50
_ALWAYS = ("sts:GetCallerIdentity",)
_BY_DRY_RUN = {
    "ec2:DescribeInstances": "describe_instances",
    "ec2:DescribeNetworkAcls": "describe_network_acls",
    "ec2:DescribeNetworkInterfaces": "describe_network_interfaces",
    "ec2:DescribeRouteTables": "describe_route_tables",
    "ec2:DescribeSecurityGroups": "describe_security_groups",
    "ec2:DescribeSubnets": "describe_subnets",
}
_ON_INSTANCES = {
    "ec2:RebootInstances": "reboot_instances",
    "ec2:StartInstances": "start_instances",
    "ec2:StopInstances": "stop_instances",
    "ec2:TerminateInstances": "terminate_instances",
}


class Permissions(Access, Gate[Aws], frozen=True, kw_only=True):
    """Open when whoever acts may do all that these faults, probes and gates of AWS need.

    `uses` names them, as in the experiment; `chaosrun permissions` prints a policy for all of it.
    With `instances`, EC2 is asked whether exactly those may be stopped, started, and so on. To
    ask IAM takes iam:SimulatePrincipalPolicy, and for a role iam:GetRole.
    """

    name: ClassVar[str] = "aws.permissions"
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "iam:GetRole", "iam:SimulatePrincipalPolicy"
    )
    example: ClassVar[dict[str, JSON]] = {"uses": ["aws.lambda-throttle", "aws.alarm"]}

    uses: Annotated[
        tuple[str, ...], Meta(description="Names of faults, probes and gates of AWS")
    ] = ()
    actions: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[a-z0-9-]+:[A-Za-z0-9]+$")], ...],
        Meta(description="More actions, as IAM calls them", examples=[["ec2:StopInstances"]]),
    ] = ()
    instances: Annotated[tuple[str, ...], Meta(description="Instances to ask EC2 about")] = ()
    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(30)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.uses or self.actions):
            raise ValueError("say what is needed: uses, actions or both")
        for name in self.uses:
            _declared(name)

    def needed(self) -> list[str]:
        """Every action, once."""
        declared = {action for name in self.uses for action in _declared(name)}
        return sorted((declared | set(self.actions)) - set(_ALWAYS))

    def measure(self, client: Aws) -> Measured:
        access = client.settle(self.access())
        dry = {action: name for action, name in _BY_DRY_RUN.items() if action in self.needed()}
        on = _ON_INSTANCES if self.instances else {}
        missing = []
        for action in self.needed():
            try:
                if action in dry:
                    client.dry_run(access, "ec2", dry[action])
                elif action in on:
                    ids = list(self.instances)
                    client.dry_run(access, "ec2", on[action], InstanceIds=ids)
            except Denied:
                missing.append(action)
        others = [action for action in self.needed() if action not in dry and action not in on]
        missing += _denied(client, access, others)
        count = len(self.needed())
        return Measured(
            open=not missing,
            measured=f"not allowed: {', '.join(sorted(missing))}"
            if missing
            else f"all {count} actions are allowed",
            rule=f"all {count} actions that it takes must be allowed",
            hint="`chaosrun permissions FILE --output iam` prints the policy" if missing else "",
        )


def _declared(name: str) -> list[str]:
    """The IAM actions of a fault, probe or gate. Raises ValueError when there is none."""
    for table in ("faults", "probes", "gates"):
        if name in discovery.names(table):
            kind = getattr(discovery, table[:-1])(name)
            return [one.action for one in kind.permissions if one.system == "iam"]
    raise ValueError(f"no fault, probe or gate is named {name!r}")


def _denied(client: Aws, access: Access, actions: list[str]) -> list[str]:
    """Those that IAM says whoever acts may not do."""
    if not actions:
        return []
    who = _principal(client, access)
    if who.endswith(":root"):
        return []
    denied = []
    for start in range(0, len(actions), _AT_ONCE):
        results = client.pages(
            access, "iam", "simulate_principal_policy", "EvaluationResults",
            PolicySourceArn=who, ActionNames=actions[start : start + _AT_ONCE],
        )  # fmt: skip
        allowed = {one["EvalActionName"] for one in results if one["EvalDecision"] == "allowed"}
        denied += [action for action in actions[start : start + _AT_ONCE] if action not in allowed]
    return denied


def _principal(client: Aws, access: Access) -> str:
    """The ARN of the user or role that acts, as IAM wants it."""
    arn = str(client.call(access, "sts", "get_caller_identity")["Arn"])
    if ":assumed-role/" not in arn:
        return arn
    try:
        role = client.call(access, "iam", "get_role", RoleName=arn.split("/")[1])
    except Denied as error:
        raise Refused(f"{error}", hint="allow iam:GetRole, to see what the role may do") from None
    return str(role["Role"]["Arn"])
