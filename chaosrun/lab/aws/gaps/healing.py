"""What AWS replaces or restarts by itself, and moto does not. Nothing of AWS is touched."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any


@functools.cache
def fill() -> None:
    """Fill them, once in a process."""
    _instance_refreshes()
    _scaling_activities()
    _consoles()
    _reboots_of_databases()
    _cache_failovers()
    _tasks_of_services()


def _put(kind: type, **filled: Any) -> None:
    """Give a class of moto's what it lacks."""
    for name, value in filled.items():
        setattr(kind, name, value)


def _now() -> datetime:
    return datetime.now(UTC)


def _after(before: datetime | None) -> datetime:
    """Now, but in a later second than before: AWS takes minutes for what takes moto none."""
    if before is None:
        return _now()
    return max(_now(), before.replace(tzinfo=UTC) + timedelta(seconds=1))


def _kept(backend: Any, name: str) -> Any:
    """What a gap keeps on a backend, which a reset empties."""
    return backend.__dict__.setdefault(f"_gap_{name}", {})


def _instance_refreshes() -> None:
    """Instance refreshes of groups: started, described, cancelled; no instance is replaced."""
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.core.responses import ActionResult

    def start(self: Any) -> Any:
        refreshes = _kept(self.autoscaling_backend, "refreshes")
        name = self._get_param("AutoScalingGroupName")
        made = {
            "InstanceRefreshId": f"refresh-{len(refreshes)}",
            "AutoScalingGroupName": name,
            "Status": "InProgress",
            "StartTime": _now(),
            "PercentageComplete": 0,
        }
        refreshes.setdefault(name, []).insert(0, made)
        return ActionResult({"InstanceRefreshId": made["InstanceRefreshId"]})

    def describe(self: Any) -> Any:
        refreshes = _kept(self.autoscaling_backend, "refreshes")
        name = self._get_param("AutoScalingGroupName")
        return ActionResult({"InstanceRefreshes": refreshes.get(name, [])})

    def cancel(self: Any) -> Any:
        refreshes = _kept(self.autoscaling_backend, "refreshes")
        (newest, *_) = refreshes[self._get_param("AutoScalingGroupName")]
        newest["Status"] = "Cancelled"
        return ActionResult({"InstanceRefreshId": newest["InstanceRefreshId"]})

    _put(AutoScalingResponse, start_instance_refresh=start)
    _put(AutoScalingResponse, describe_instance_refreshes=describe)
    _put(AutoScalingResponse, cancel_instance_refresh=cancel)


def _scaling_activities() -> None:
    """The activities of a group whose instance was terminated, and what it launched instead."""
    from moto.autoscaling.models import AutoScalingBackend
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.core.responses import ActionResult

    inner = AutoScalingBackend.terminate_instance

    def terminate(self: Any, instance_id: str, *rest: Any, **more: Any) -> Any:
        group = next(
            group
            for group in self.autoscaling_groups.values()
            if any(state.instance.id == instance_id for state in group.instance_states)
        )
        before = {state.instance.id for state in group.instance_states}
        began = _now()
        done = inner(self, instance_id, *rest, **more)
        launched = {state.instance.id for state in group.instance_states} - before
        said = [f"Terminating EC2 instance: {instance_id}"]
        said += [f"Launching a new EC2 instance: {each}" for each in sorted(launched)]
        activities = _kept(self, "activities").setdefault(group.name, [])
        for words in said:
            activities.insert(
                0,
                {
                    "ActivityId": f"activity-{len(activities)}",
                    "AutoScalingGroupName": group.name,
                    "Description": words,
                    "Cause": "an instance was terminated",
                    "StartTime": began,
                    "EndTime": _now(),
                    "StatusCode": "Successful",
                    "Progress": 100,
                },
            )
        return done

    def describe(self: Any) -> Any:
        activities = _kept(self.autoscaling_backend, "activities")
        name = self._get_param("AutoScalingGroupName")
        return ActionResult({"Activities": activities.get(name, [])})

    _put(AutoScalingBackend, terminate_instance=terminate)
    _put(AutoScalingResponse, describe_scaling_activities=describe)


def _consoles() -> None:
    """A console's output is posted when an instance boots, and not each time it is asked for."""
    from moto.core.responses import ActionResult
    from moto.ec2.models.instances import Instance
    from moto.ec2.responses import EC2Response

    def reboot(self: Any) -> None:
        # A stopped instance is not started by it, as moto has it.
        if self._state.name == "running":
            self.gap_booted = _after(getattr(self, "gap_booted", self.launch_time))

    def output(self: Any) -> Any:
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        posted = getattr(instance, "gap_booted", instance.launch_time)
        return ActionResult({"InstanceId": instance.id, "Timestamp": posted, "Output": ""})

    _put(Instance, reboot=reboot)
    _put(EC2Response, get_console_output=output)


def _reboots_of_databases() -> None:
    """A reboot is an event of the database; with a failover its standby's zone becomes its own."""
    from moto.rds.models import DBInstance, Event
    from moto.rds.responses import RDSResponse

    Event.EVENT_MAP["DB_INSTANCE_RESTARTED"] = {
        "Categories": ["availability"],
        "Message": "DB instance restarted",
    }
    inner: Callable[..., Any] = RDSResponse.reboot_db_instance

    def standby(self: Any) -> str | None:
        """The other zone of a database that has two."""
        if not self.multi_az:
            return None
        return str(self.region) + ("b" if self.availability_zone.endswith("a") else "a")

    def reboot(self: Any) -> Any:
        name = self.params.get("DBInstanceIdentifier")
        (database,) = self.backend.describe_db_instances(name)
        if self.params.get("ForceFailover") in (True, "true"):
            database.availability_zone = database.secondary_availability_zone
        last = getattr(database, "gap_restarted", None)
        database.gap_restarted = _after(last)
        database.add_event("DB_INSTANCE_RESTARTED")
        self.backend.events[-1].date = database.gap_restarted
        return inner(self)

    _put(DBInstance, secondary_availability_zone=property(standby))
    _put(RDSResponse, reboot_db_instance=reboot)


def _cache_failovers() -> None:
    """A test of a shard's failover makes its first replica the primary, which is an event."""
    from moto.core.responses import ActionResult
    from moto.elasticache.responses import ElastiCacheResponse

    def test_failover(self: Any) -> Any:
        (group,) = self.elasticache_backend.describe_replication_groups(
            replication_group_id=self._get_param("ReplicationGroupId")
        )
        events = _kept(self.elasticache_backend, "events")
        told_of = events.setdefault(group.replication_group_id, [])
        for shard in group.node_groups:
            if shard["node_group_id"] == self._get_param("NodeGroupId"):
                members = shard["node_group_members"]
                told = [one for one in members if "current_role" in one]
                old = next((one for one in told if one["current_role"] == "primary"), members[0])
                heir = next(one for one in members if one is not old)
                for one in told:
                    one["current_role"] = "primary" if one is heir else "replica"
                said = f"{old['cache_cluster_id']} to replica node {heir['cache_cluster_id']}"
                told_of.append(
                    {
                        "SourceIdentifier": group.replication_group_id,
                        "SourceType": "replication-group",
                        "Message": f"Failover from primary node {said} completed",
                        "Date": _after(told_of[-1]["Date"] if told_of else None),
                    }
                )
        return ActionResult({"ReplicationGroup": group})

    def describe_events(self: Any) -> Any:
        events = _kept(self.elasticache_backend, "events")
        return ActionResult({"Events": events.get(self._get_param("SourceIdentifier"), [])})

    _put(ElastiCacheResponse, test_failover=test_failover)
    _put(ElastiCacheResponse, describe_events=describe_events)


def _tasks_of_services() -> None:
    """A service starts another task for one of its own that was stopped; its tasks have zones."""
    from moto.ecs.models import EC2ContainerServiceBackend, Task

    inner = EC2ContainerServiceBackend.stop_task
    listed = EC2ContainerServiceBackend.list_tasks

    def stop(self: Any, cluster_str: str, task_str: str, reason: str) -> Any:
        task = inner(self, cluster_str, task_str, reason)
        if task.group.startswith("service:") and task.container_instance_arn:
            self.start_task(
                cluster_str, task.task_definition_arn, [task.container_instance_arn], {}, "",
                group=task.group,
            )  # fmt: skip
        return task

    def of_service(self: Any, *args: Any, **more: Any) -> Any:
        service = more.get("service_name") or (args[4] if len(args) > 4 else None)
        found = listed(self, *args, **more)
        group = f"service:{str(service).rpartition('/')[2]}"
        return [task for task in found if not service or task.group == group]

    def zone(self: Any) -> str | None:
        cluster = self._backend.container_instances.get(self.cluster_name, {})
        host = cluster.get(str(self.container_instance_arn).rpartition("/")[2])
        return host.attributes["ecs.availability-zone"] if host else None

    def advance(self: Any) -> None:
        """A task that runs does not stop because somebody looks at it, as moto has it."""

    _put(EC2ContainerServiceBackend, stop_task=stop)
    _put(EC2ContainerServiceBackend, list_tasks=of_service)
    _put(Task, availability_zone=property(zone))
    _put(Task, advance=advance)
