"""The gate `aws.permissions`: whoever acts may do all that the experiment takes.

Law (L4): it is known before the first effect. EC2 is asked itself where it can be asked without
doing (DryRun); for all else IAM simulates the policies of whoever acts. What cannot be asked is
not allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Permission
from chaosrun.gate import Gate, Measured
from chaosrun.providers.aws.access import Access, iam
from chaosrun.providers.aws.client import Aws, Denied
from chaosrun.providers.aws.policy import place_of
from chaosrun.rights import Need
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
    """Open when whoever acts may do all that the experiment needs of AWS.

    That is what `chaosrun permissions` lists for its faults, probes and gates. What they do by
    another profile or role, or in another account, is for a gate that names that one. With
    `instances`, EC2 is asked whether exactly those may be stopped, started, and so on. To ask IAM
    takes iam:SimulatePrincipalPolicy, and for a role iam:GetRole.
    """

    name: ClassVar[str] = "aws.permissions"
    asks_rights: ClassVar[bool] = True
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "iam:GetRole", "iam:SimulatePrincipalPolicy"
    )
    example: ClassVar[dict[str, JSON]] = {"account": "123456789012"}

    actions: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[a-z0-9-]+:[A-Za-z0-9]+$")], ...],
        Meta(description="More actions, as IAM calls them", examples=[["ec2:StopInstances"]]),
    ] = ()
    instances: Annotated[tuple[str, ...], Meta(description="Instances to ask EC2 about")] = ()
    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(30)

    def measure_rights(self, client: Aws, needs: tuple[Need, ...]) -> Measured:
        access = client.settle(self.access())
        wanted = self.wanted(needs)
        dry = {action: name for action, name in _BY_DRY_RUN.items() if action in wanted}
        on = _ON_INSTANCES if self.instances else {}
        missing = []
        for action in wanted:
            try:
                if action in dry:
                    client.dry_run(access, "ec2", dry[action])
                elif action in on:
                    ids = list(self.instances)
                    client.dry_run(access, "ec2", on[action], InstanceIds=ids)
            except Denied:
                missing.append(action)
        others = [action for action in wanted if action not in dry and action not in on]
        missing += _denied(client, access, others)
        count = len(wanted)
        return Measured(
            open=not missing,
            measured=f"not allowed: {', '.join(sorted(missing))}"
            if missing
            else f"all {count} actions are allowed",
            rule=f"all {count} actions that it takes must be allowed",
            hint="`chaosrun permissions FILE --document iam` writes the policy" if missing else "",
        )

    def wanted(self, needs: tuple[Need, ...]) -> list[str]:
        """Every action of whoever acts here, once."""
        asked = {
            need.permission.action
            for need in needs
            if need.permission.system == "iam" and self._ours(place_of(need.arguments))
        }
        return sorted((asked | set(self.actions)) - set(_ALWAYS))

    def _ours(self, place: Mapping[str, JSON]) -> bool:
        """Whether what is done there is done by whom this gate asks about."""
        account = place.get("account", "")
        return (
            place.get("profile", "") == self.profile
            and place.get("role", "") == self.role
            and (not account or not self.account or account == self.account)
        )


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
