"""Which cluster is meant, and who asks. Plain data, kept in the hold.

Law: a hold is undone in the cluster it was planned in: contexts may be renamed or switched
meanwhile, so the cluster is known by the UID of its namespace kube-system.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chaosrun.codec import from_plain, to_plain
from chaosrun.fault import Hold
from chaosrun.rights import Permission

READS = ("get", "list")
IMPERSONATE = "impersonate"


class Access(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """How the cluster is reached; without any of these, as kubectl would, or from inside it."""

    context: Annotated[str, Meta(description="A context of the kubeconfig")] = ""
    kubeconfig: Annotated[str, Meta(description="The kubeconfig; else $KUBECONFIG")] = ""
    cluster: Annotated[
        str,
        Meta(description="The UID of its namespace kube-system: in any other, nothing is done"),
    ] = ""
    impersonate: Annotated[str, Meta(description="The user to act as")] = ""
    impersonate_groups: Annotated[
        tuple[str, ...], Meta(description="The groups that this user is in")
    ] = ()

    def __post_init__(self) -> None:
        if self.impersonate_groups and not self.impersonate:
            raise ValueError("impersonateGroups are for a user: give `impersonate` too")

    def asking(self) -> tuple[Permission, ...]:
        """What every call takes: to know the cluster, and to act as the user that is meant."""
        return (*CLUSTER, *self._acting())

    def _acting(self) -> Iterator[Permission]:
        """Rights of who acts, not of whom they act as (see `missing` and grants.py)."""
        if self.impersonate:
            if account := account_of(self.impersonate):
                yield from rbac("serviceaccounts", IMPERSONATE, scope=account)
            else:
                yield from rbac("users", IMPERSONATE, scope=f"/{self.impersonate}")
            for group in self.impersonate_groups:
                yield from rbac("groups", IMPERSONATE, scope=f"/{group}")

    def as_itself(self) -> Access:
        """The same without acting as anybody else, in a cluster that is not looked at.

        To look which one it is takes a right that only the others may have.
        """
        return Access(context=self.context, kubeconfig=self.kubeconfig)

    def access(self) -> Access:
        """These fields alone, of whatever has them."""
        return Access(
            context=self.context,
            kubeconfig=self.kubeconfig,
            cluster=self.cluster,
            impersonate=self.impersonate,
            impersonate_groups=self.impersonate_groups,
        )


def account_of(user: str) -> str:
    """NAMESPACE/NAME of the service account that a user's name means, or nothing."""
    found = re.fullmatch(r"system:serviceaccount:([^:]+):([^:]+)", user)
    return f"{found[1]}/{found[2]}" if found else ""


def of_arguments(written: Mapping[str, Any]) -> Access:
    """How the cluster is reached by what has these arguments: its own fields, or its target's."""
    target = written.get("target")
    given = {**written, **(target if isinstance(target, dict) else {})}
    names = [field.encode_name for field in msgspec.structs.fields(Access)]
    return from_plain({name: given[name] for name in names if name in given}, Access)


def undo(access: Access, **more: Any) -> dict[str, Any]:
    """What the way back needs: the cluster it was planned in, and `more`."""
    return {"access": to_plain(access), **more}


def access_of(hold: Hold) -> Access:
    """The cluster that a hold was planned in."""
    return from_plain(hold.undo["access"], Access)


def rbac(resource: str, *verbs: str, scope: str = "") -> tuple[Permission, ...]:
    """RBAC rules as rights: `pods`, `deployments.apps`, `pods/eviction`; see Permission.scope."""
    return tuple(
        Permission(system="rbac", action=verb, resource=resource, scope=scope) for verb in verbs
    )


CLUSTER = rbac("namespaces", "get", scope="/kube-system")
"""What tells which cluster it is: everything needs it, by `Access.asking`."""
