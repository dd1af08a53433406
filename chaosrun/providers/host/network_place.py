"""Whose traffic is meant: this machine's, a network namespace's, or a process's."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Permission
from chaosrun.mechanisms.inside import Inside
from chaosrun.providers.host.client import Host

NETWORK = Permission("linux", "CAP_NET_ADMIN", "rules of nftables, queueing disciplines, routes")
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
            description="A network namespace: a name of `ip netns`, or the path of its file",
            examples=["blue", "/run/netns/blue"],
        ),
    ] = ""
    pid: (
        Annotated[int, Meta(ge=1, description="A process whose network namespace it is")] | None
    ) = None
    process: Annotated[
        str, Meta(description="The name of a program; all that run are in one network namespace")
    ] = ""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.namespace, self.pid, self.process))) > 1:
            raise ValueError("say one of namespace, pid and process")

    def found(self, client: Host) -> tuple[Inside, tuple[Permission, ...]]:
        """Where that is now, and what rights it takes. Raises Refused when we lack one."""
        inside = self._inside(client)
        used: tuple[Permission, ...] = (NETWORK,) if inside.is_here else PERMISSIONS
        for permission in used:
            if permission.action not in client.capabilities():
                raise Refused(
                    f"{permission.action} is missing, for {permission.resource}",
                    hint="run as root, or with that capability",
                    code="missing-capability",
                )
        return inside, used

    def _inside(self, client: Host) -> Inside:
        if self.namespace or self.pid:
            return Inside(net=self.namespace, pid=self.pid or 0).found()
        if not self.process:
            return Inside().found()
        pids = sorted(each.pid for each in client.processes() if each.name == self.process)
        places: dict[str, Inside] = {}
        for inside in (Inside(pid=pid).found() for pid in pids):
            places.setdefault(inside.network, inside)
        if not places:
            raise Refused(f"no process has the name {self.process}")
        if len(places) > 1:
            raise Refused(
                f"the processes {self.process} are in {len(places)} network namespaces",
                hint="say which with pid",
            )
        return next(iter(places.values()))

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
        if self.process or self.pid:
            return f"the network of {self.process or f'process {self.pid}'}"
        return f"network namespace {self.namespace}" if self.namespace else "this machine"
