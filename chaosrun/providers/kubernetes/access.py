"""Which cluster is meant, and who asks. Plain data, kept in the hold.

Law: a hold is undone in the cluster it was planned in: contexts may be renamed or switched
meanwhile, so the cluster is known by the UID of its namespace kube-system.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chaosrun.codec import from_plain, to_plain
from chaosrun.fault import Hold
from chaosrun.rights import Permission

READS = ("get", "list")


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

    def access(self) -> Access:
        """These fields alone, of whatever has them."""
        return Access(
            context=self.context,
            kubeconfig=self.kubeconfig,
            cluster=self.cluster,
            impersonate=self.impersonate,
            impersonate_groups=self.impersonate_groups,
        )


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
"""What tells which cluster it is: everything needs it."""
