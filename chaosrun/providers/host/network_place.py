"""Whose traffic is meant: this machine's, a network namespace's, or a process's."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Permission
from chaosrun.mechanisms.inside import Inside
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.selection import Processes

NETWORK = Permission("linux", "CAP_NET_ADMIN", "rules of nftables")
NAMESPACE = Permission("linux", "CAP_SYS_ADMIN", "other network namespaces")
PERMISSIONS = (NETWORK, NAMESPACE)


class NetworkPlace(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """This machine, unless a network namespace is named, or a process that is in one."""

    namespace: Annotated[
        str,
        Meta(
            description="A network namespace: its name in `ip netns list`, or the path of its file"
        ),
    ] = ""
    process: Annotated[
        Processes | None,
        Meta(description="One process: its network namespace is meant, with all that is in it"),
    ] = None

    def __post_init__(self) -> None:
        if self.namespace and self.process:
            raise ValueError("say either namespace or process")

    def found(self, client: Host) -> tuple[Inside, tuple[Permission, ...]]:
        """Where that is now, and what rights it takes. Raises Refused when we lack one."""
        used: tuple[Permission, ...] = (NETWORK,)
        inside = Inside(net=self.namespace)
        if self.process is not None:
            matching = sorted(self.process.matching(client), key=lambda each: each.identity)
            if not matching:
                raise Refused("no process matches the target", hint="check the target's selection")
            inside = Inside(pid=matching[0].pid)
        inside = inside.found()
        if not inside.is_here:
            used = PERMISSIONS
        for permission in used:
            if permission.action not in client.capabilities():
                raise Refused(
                    f"{permission.action} is missing, for {permission.resource}",
                    hint="run as root, or with that capability",
                    code="missing-capability",
                )
        return inside, used

    def resolv_conf(self, client: Host, inside: Inside) -> list[str]:
        """The files that say which name servers are asked there."""
        if self.namespace and not self.namespace.startswith("/"):
            own = f"/etc/netns/{self.namespace}/resolv.conf"  # ip-netns(8)
            if client.text_of(own) is not None:
                return [own]
        root = f"/proc/{inside.pid}/root" if inside.pid else ""
        # What systemd-resolved, which many ask, asks itself: programs may go to it by other ways.
        return [f"{root}/etc/resolv.conf", f"{root}/run/systemd/resolve/resolv.conf"]

    def __str__(self) -> str:
        if self.process is not None:
            return f"the network of {self.process}"
        return f"network namespace {self.namespace}" if self.namespace else "this machine"
