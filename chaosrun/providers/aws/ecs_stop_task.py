"""Tasks of an ECS service are stopped, and the service starts others."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission, Reversal
from chaosrun.providers.aws import marks
from chaosrun.providers.aws.access import Access, access_of, belonging, iam, labels_of, undo
from chaosrun.providers.aws.client import Aws, until
from chaosrun.providers.aws.instances import ids_of
from chaosrun.providers.aws.picking import PerZone, picked
from chaosrun.providers.aws.services import service_named, tasks_named, tasks_of
from chaosrun.targeting import Pick, Target, populations
from chaosrun.units import JSON

_STOPPING = ("DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED", "DELETED")


class Tasks(Access, frozen=True, kw_only=True):
    """Tasks of one ECS service that run."""

    cluster: Annotated[str, Meta(description="The cluster's name or ARN", min_length=1)]
    service: Annotated[str, Meta(description="The service's name or ARN", min_length=1)]
    ids: Annotated[tuple[str, ...], Meta(description="Only tasks of these ids or ARNs")] = ()
    zone: Annotated[str, Meta(description="Only those of this availability zone")] = ""
    pick: Annotated[Pick, Meta(description="How many of them")] = Pick("one")
    per: PerZone = "all"


class EcsStopTask(Fault[Aws], frozen=True, kw_only=True):
    """Stop tasks of an ECS service, and see that the service starts others.

    Refused unless the service is whole: as many tasks run as it wants, and no deployment goes on.
    A task that no service owns would not come back, so it cannot be a target. Its containers
    are told to end and killed after their stop timeout: give the step a `timeout`.
    """

    name: ClassVar[str] = "aws.ecs-stop-task"
    reversal: ClassVar[Reversal] = Reversal.SELF_HEALING
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "ecs:DescribeServices", "ecs:DescribeTasks", "ecs:ListTasks", "ecs:StopTask"
    )
    example: ClassVar[dict[str, JSON]] = {
        "target": {"cluster": "shop", "service": "checkout", "pick": "one"}
    }

    target: Tasks

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access, wanted = client.settle(self.target.access()), self.target
        service = service_named(client, access, wanted.cluster, wanted.service)
        if not service.steady:
            said = ", ".join(service.deployments)
            raise Refused(
                f"{service.name} is not steady: {service}; deployments: {said}",
                hint="wait until it is",
            )
        cluster = access.named(wanted.cluster)
        running = [
            Target(
                kind="ecs-task",
                id=task["taskArn"],
                name=task["taskArn"].rpartition("/")[2],
                domain=task.get("availabilityZone", ""),
                labels=labels_of(task.get("tags", ())),
                groups=belonging(access, workload=f"{cluster}/{service.name}", group=cluster),
            )
            for task in tasks_of(client, access, cluster, service.name)
            if task["lastStatus"] == "RUNNING"
        ]
        ids = {access.named(written) for written in wanted.ids}
        if missing := sorted(ids - {target.name for target in running}):
            raise Refused(f"{', '.join(missing)}: no running task of {service.name}")
        able = [
            target
            for target in running
            if (not ids or target.name in ids) and wanted.zone in ("", target.domain)
        ]
        targets = picked(able, wanted.pick, rng, per=wanted.per)
        left = f"{len(running) - len(targets)} of {len(running)}"
        return Hold(
            fault=self.name,
            targets=targets,
            population=len(running),
            populations=populations(running),
            effect=f"they are stopped, while {left} run on",
            undo=undo(access, cluster=cluster, service=service.name),
            way_back=f"{service.name} starts others in their place",
            mechanism="StopTask",
            reversal=self.reversal,
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        access, cluster = access_of(hold), hold.undo["cluster"]
        now = {one["taskArn"]: one for one in tasks_named(client, access, cluster, ids_of(hold))}
        lost = [
            target.label
            for target in hold.targets
            if target.id not in now
            or (
                now[target.id]["lastStatus"] in _STOPPING
                and marks.value(hold) not in now[target.id].get("stoppedReason", "")
            )
        ]
        if lost:
            raise Refused(f"{', '.join(lost)} ended since they were planned")
        for target in hold.targets:
            if now[target.id]["lastStatus"] not in _STOPPING:
                client.call(
                    access, "ecs", "stop_task",
                    cluster=cluster, task=target.id, reason=f"chaos: {marks.value(hold)}",
                )  # fmt: skip
        names = ", ".join(target.label for target in hold.targets)
        until(lambda: cls.took_effect(hold, client).seen, f"{names} should stop")

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        """The service does it: it is waited for, as long as the step's `timeout`."""
        name = hold.undo["service"]
        until(lambda: cls.restored(hold, client).seen, f"{name} should run all that it wants")

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        found = tasks_named(client, access_of(hold), hold.undo["cluster"], ids_of(hold))
        now = {one["taskArn"]: one["lastStatus"] for one in found}
        # ECS forgets a stopped task after an hour or so.
        stopped = [t.id for t in hold.targets if now.get(t.id, "STOPPED") in ("STOPPED", "DELETED")]
        said = "; ".join(f"{t.label} is {now.get(t.id, 'gone')}" for t in hold.targets)
        return Evidence(len(stopped) == len(hold.targets), said)

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        cluster, name = hold.undo["cluster"], hold.undo["service"]
        service = service_named(client, access_of(hold), cluster, name)
        running = [
            task["taskArn"]
            for task in tasks_of(client, access_of(hold), cluster, name)
            if task["lastStatus"] == "RUNNING"
        ]
        return Evidence(
            service.whole and len(running) >= service.desired,
            f"{name}: {service}",
            {"running": len(running), "desired": service.desired},
        )
