"""Every experiment in experiments/aws/ is run by the command line, and ends as it says."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chaosrun import discovery
from chaosrun.events import Verdict
from chaosrun.providers.aws import layer
from chaosrun.verdicts import exit_code
from tests.contract.aws_lab import REGION, AwsLab, _outside
from tests.contract.labs.aws_containers import TasksThatMotoDoesNotReplaceLab
from tests.contract.labs.aws_databases import (
    CacheFailoverThatMotoLacksLab,
    FailoverLab,
    ProvisionedTableLab,
    RebootOfADatabaseThatMotoIgnoresLab,
)
from tests.contract.labs.aws_functions import TriggerLab
from tests.contract.labs.aws_groups import GroupLab, NodegroupThatMotoHasNoNodesForLab
from tests.contract.labs.aws_instances import InstancesLab
from tests.contract.labs.aws_network import BalancedLab, RouteLab, ZoneLab
from tests.contract.labs.aws_ssm import SHELLS, enter_namespace, with_shells

FILES = sorted(Path("experiments/aws").glob("*.yaml"))


class Shop(AwsLab):
    """All that the experiments are about, in one account."""

    fault = "aws.ec2-stop"

    def build(self, cleanup: contextlib.ExitStack) -> None:
        with_shells(cleanup)
        SHELLS.inside = enter_namespace(cleanup)
        super().build(cleanup)

    def made(self) -> None:
        self.parts: list[Any] = []
        self.given: dict[str, str] = {"zone": f"{REGION}a", "hold": "1s"}
        for kind in (
            BalancedLab, FailoverLab, GroupLab, InstancesLab, RouteLab, ZoneLab,
            TriggerLab, TasksThatMotoDoesNotReplaceLab, NodegroupThatMotoHasNoNodesForLab,
            RebootOfADatabaseThatMotoIgnoresLab, CacheFailoverThatMotoLacksLab,
            ProvisionedTableLab,
        ):  # fmt: skip
            part = kind()
            part.made()
            self.parts.append(part)
            for name in ("vpc", "table"):
                self.given[name] = getattr(part, name, self.given.get(name, ""))
        self.more_of_the_shop()
        cloudwatch = _outside("cloudwatch")
        cloudwatch.put_metric_alarm(
            AlarmName="shop-errors", Namespace="Shop", MetricName="Errors", Statistic="Sum",
            Period=60, EvaluationPeriods=1, Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
        )  # fmt: skip
        cloudwatch.set_alarm_state(AlarmName="shop-errors", StateValue="OK", StateReason="quiet")

    def more_of_the_shop(self) -> None:
        """A volume, a Spot instance, and our layer in the function."""
        lambda_ = _outside("lambda")
        published = lambda_.publish_layer_version(
            LayerName="chaosrun", Content={"ZipFile": layer.zipped()}
        )
        lambda_.update_function_configuration(
            FunctionName="shop", Layers=[published["LayerVersionArn"]],
            Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": layer.WRAPPER}},
        )  # fmt: skip
        ec2 = _outside("ec2")
        tags = [{"Key": "app", "Value": "shop"}]
        ec2.create_volume(
            AvailabilityZone=f"{REGION}a", Size=8,
            TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
        )  # fmt: skip
        ec2.run_instances(
            ImageId="ami-12c6146b", MinCount=1, MaxCount=1,
            InstanceMarketOptions={"MarketType": "spot"},
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": "app", "Value": "batch"}]}
            ],
        )  # fmt: skip

    def snapshot(self) -> list[Any]:
        return [part.snapshot() for part in self.parts]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with Shop() as lab:
        yield lab


def verdict_of(file: Path) -> str:
    found = re.search(r"^# verdict: (\S+)$", file.read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


@contextlib.contextmanager
def as_it_says(file: Path) -> Iterator[None]:
    """The world as the experiment's own words have it."""
    scaling = _outside("autoscaling")
    if "nothing-would-heal" in file.name:
        scaling.suspend_processes(AutoScalingGroupName="shop", ScalingProcesses=["Launch"])
    if "during-a-rollout" in file.name:
        scaling.start_instance_refresh(AutoScalingGroupName="shop")
    yield
    if "during-a-rollout" in file.name:
        scaling.cancel_instance_refresh(AutoScalingGroupName="shop")
    if "nothing-would-heal" in file.name:
        scaling.resume_processes(AutoScalingGroupName="shop", ScalingProcesses=["Launch"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_ends_as_it_says_and_leaves_nothing(shop: Shop, file: Path) -> None:
    text = file.read_text()
    given = [
        word
        for name, value in shop.given.items()
        if f"    {name}: {{type" in text
        for word in ("--set", f"{name}={value}")
    ]
    with as_it_says(file):
        before = shop.snapshot()
        words = [sys.executable, "-m", "chaosrun", "run", str(file), *given]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        after = shop.snapshot()
    said = done.stdout[-3000:] + done.stderr[-1000:]
    assert done.returncode == exit_code(Verdict(verdict_of(file))), said
    if "gone-for-good" not in file.name:
        assert json.dumps(after, default=str) == json.dumps(before, default=str)


def test_every_fault_probe_and_gate_is_in_an_experiment() -> None:
    provider = discovery.provider_of("faults", "aws.ec2-stop")
    text = "\n".join(file.read_text() for file in FILES)
    names = [*provider.faults, *provider.gates, *set(provider.probes) - {"aws.cloudwatch-metric"}]
    assert [name for name in names if not re.search(rf"{re.escape(name)}\b", text)] == []
    assert len(FILES) >= 12


def test_the_permissions_of_every_experiment_are_told() -> None:
    def told(file: Path) -> str:
        words = [sys.executable, "-m", "chaosrun", "permissions", str(file), "--output", "json"]
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout

    with ThreadPoolExecutor(2) as pool:
        for answer in pool.map(told, FILES):
            assert "sts:GetCallerIdentity" in answer
