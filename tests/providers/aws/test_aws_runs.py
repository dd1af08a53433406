"""Whole runs by the command line: killed and recovered, swept, and over several accounts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.sts.responses import TokenResponse

from tests.contract.aws_lab import ACCOUNT, REGION, endpoint
from tests.contract.labs.aws_instances import StopLab

OTHER, THIRD = "999999999999", "222222222222"
PATIENCE = 60.0
EXPERIMENT = """\
apiVersion: chaosrun.dev/v1
kind: Experiment
metadata: {{name: stops}}
spec:
  title: Somebody is there while others are stopped
  limits: {{share: 100%}}
  steadyState:
    - name: well
      probe: command
      with: {{command: ["true"]}}
      expect: code == 0
  method:
{steps}
"""
STEP = """\
    - name: {name}
      fault: aws.ec2-stop
      after: []
      target: {{tags: {{app: shop}}, pick: {pick}, {more}}}
      hold: {hold}
      timeout: 30s
"""


class Runs:
    """A command line with a journal of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.env = {**os.environ, "CHAOSRUN_JOURNAL": f"sqlite:///{place}/journal.db"}
        self.file = place / "experiment.yaml"

    def write(self, *steps: str) -> None:
        self.file.write_text(EXPERIMENT.format(steps="".join(steps)))

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "chaosrun", *words], env=self.env, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "chaosrun", *words], env=self.env,
            capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path, lab: StopLab) -> Runs:
    return Runs(tmp_path)


@pytest.fixture
def lab() -> Any:
    with StopLab() as world:
        yield world


def eventually(look: Callable[[], bool], said: str) -> None:
    until = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < until, said
        time.sleep(0.05)


def states(ec2: Any) -> list[str]:
    return sorted(
        one["State"]["Name"]
        for each in ec2.describe_instances()["Reservations"]
        for one in each["Instances"]
    )


def kill_mid_lease(runs: Runs, lab: StopLab) -> None:
    runs.write(STEP.format(name="stop", pick=2, more="zone: ''", hold="10m"))
    with runs.start("run", str(runs.file)) as process:
        try:
            eventually(lambda: states(lab.service("ec2")).count("stopped") == 2, "never stopped")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert states(lab.service("ec2")).count("stopped") == 2


def test_a_killed_run_is_recovered_by_another_process(runs: Runs, lab: StopLab) -> None:
    before = lab.snapshot()
    kill_mid_lease(runs, lab)
    recovered = runs.run("recover")
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    assert lab.snapshot() == before


def test_a_sweep_reverts_by_the_tags_alone_when_the_journal_is_lost(
    runs: Runs, lab: StopLab
) -> None:
    before = lab.snapshot()
    kill_mid_lease(runs, lab)
    for file in runs.place.glob("journal.db*"):
        file.unlink()
    swept = runs.run("sweep", "--provider", "aws", "--revert", "--yes")
    assert swept.returncode == 0, swept.stdout + swept.stderr
    assert "reverted" in swept.stdout
    assert lab.snapshot() == before


def assumed(account: str, region: str) -> Any:
    """EC2 of another account."""
    sts = boto3.client("sts", endpoint_url=endpoint(), region_name=REGION)
    made = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/chaos", RoleSessionName="test")
    given = made["Credentials"]
    return boto3.client(
        "ec2", endpoint_url=endpoint(), region_name=region,
        aws_access_key_id=given["AccessKeyId"], aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )  # fmt: skip


def populated(ec2: Any) -> Any:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "app", "Value": "shop"}]}]
    ec2.run_instances(ImageId="ami-12c6146b", MinCount=2, MaxCount=2, TagSpecifications=tags)
    return ec2


def test_one_experiment_acts_in_several_accounts_and_regions(
    runs: Runs, lab: StopLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    inner = TokenResponse.assume_role

    def assume(self: Any) -> Any:
        asked.append(self._get_params())
        return inner(self)

    monkeypatch.setattr(TokenResponse, "assume_role", assume)
    config, credentials = runs.place / "config", runs.place / "credentials"
    role = f"arn:aws:iam::{THIRD}:role/chaos"
    config.write_text(f"[profile third]\nrole_arn = {role}\nsource_profile = home\n")
    credentials.write_text("[home]\naws_access_key_id = x\naws_secret_access_key = y\n")
    runs.env |= {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
    worlds = {
        "here": lab.service("ec2"),
        "other": populated(assumed(OTHER, "us-west-2")),
        "third": populated(assumed(THIRD, "ap-south-1")),
    }
    asked.clear()
    by_role = (
        f"account: '{OTHER}', region: us-west-2, role: 'arn:aws:iam::{OTHER}:role/chaos',"
        " externalId: our-contract, sessionTags: {team: payments}"
    )
    by_profile = "profile: third, region: ap-south-1"
    runs.write(
        STEP.format(name="here", pick="one", more=f"account: '{ACCOUNT}'", hold="5m"),
        STEP.format(name="by a role", pick="one", more=by_role, hold="5m"),
        STEP.format(name="by a profile", pick="one", more=by_profile, hold="5m"),
    )
    with runs.start("run", str(runs.file)) as process:
        try:
            for name, ec2 in worlds.items():
                eventually(
                    lambda ec2=ec2: states(ec2).count("stopped") == 1,  # type: ignore[misc]
                    f"{name}: never stopped",
                )
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    for ec2 in worlds.values():
        assert "stopped" not in states(ec2)
    told = next(each for each in asked if OTHER in each["RoleArn"])
    assert told["ExternalId"] == "our-contract"
    assert told["Tags"] == [{"Key": "team", "Value": "payments"}]
    assert {each["RoleArn"].split(":")[4] for each in asked} == {OTHER, THIRD}


def test_a_step_for_another_account_than_its_credentials_are_for_is_refused(
    runs: Runs, lab: StopLab
) -> None:
    before = lab.snapshot()
    runs.write(STEP.format(name="there", pick="one", more=f"account: '{OTHER}'", hold="1s"))
    done = runs.run("run", str(runs.file))
    assert done.returncode == 3, done.stdout + done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert f"account {OTHER} is meant, and the credentials are for {ACCOUNT}" in said
    assert lab.snapshot() == before


def test_a_plan_says_that_the_target_itself_ends_it_where_a_schedule_does(
    runs: Runs, lab: StopLab
) -> None:
    file = "experiments/aws/30-a-stopped-instance-starts-by-itself.yaml"
    said = " ".join(runs.run("plan", file).stdout.split())
    assert "the target itself at the deadline, even if chaosrun never comes back" in said
    assert f"1 of 3 (33%); zone {REGION}" in said
    plain = "experiments/aws/05-survives-a-stopped-instance.yaml"
    assert "the target has no deadline of its own" in " ".join(
        runs.run("plan", plain).stdout.split()
    )
