"""What the faults that press on a resource share: where they press, and by which program.

Law (L3, L4): how much is taken is bounded before it begins, so that the runner and the rest of
the machine keep some; a control group is pressed on from inside of it, by its own limits.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.mechanisms.inside import Inside
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import machine_target
from chaosrun.providers.host.selection import Processes
from chaosrun.targeting import Target


class Group(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """This machine, or one control group of it."""

    cgroup: Annotated[
        str,
        Meta(
            description="The control group to press in, by its limits: a path as in "
            "/proc/PID/cgroup, or its last part, such as a systemd unit",
            examples=["nginx.service"],
        ),
    ] = ""

    def found(self, kind: str, client: Host) -> tuple[Target, Inside]:
        """What is pressed on, and where. Raises Refused when nothing runs in the group."""
        if not self.cgroup:
            return machine_target(kind, client), Inside()
        members = [each for each in Processes(cgroup=self.cgroup)._meant(client) if not each.kernel]
        if not members:
            raise Refused(
                f"no process is in the control group {self.cgroup}",
                hint="`systemd-cgls` or `cat /proc/PID/cgroup` tell their names",
            )
        first = min(members, key=lambda each: each.identity)
        inside = Inside(pid=first.pid, joins=("cgroup",)).found()
        return machine_target(kind, client, self.cgroup, self.cgroup), inside


def path_of(program: str, client: Host) -> str:
    """The path of stress-ng, or empty for our own worker. Raises Refused."""
    if program == "worker":
        return ""
    found = client.program("stress-ng")
    if program == "stress-ng" and not found:
        raise Refused(
            "stress-ng is not installed", hint="apt-get install stress-ng, or mechanism: worker"
        )
    return found


WAY_BACK = "its worker ends at the deadline, or when chaosrun says so before; what it took is freed"
