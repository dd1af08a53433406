"""What the tags of a fault tell a sweep, and what they never tell."""

from __future__ import annotations

import base64
import zlib

import pytest
from msgspec.structs import replace

from chaosrun.codec import to_json
from chaosrun.fault import Hold
from chaosrun.providers.aws import marks
from chaosrun.providers.aws.access import Access, undo
from chaosrun.targeting import Target
from tests.contract.aws_lab import AwsLab
from tests.contract.labs.aws_containers import DrainLab
from tests.contract.labs.aws_functions import ThrottleOfAReservedFunctionLab, TriggerLab
from tests.contract.labs.aws_groups import SuspendLab
from tests.contract.labs.aws_instances import IsolateLab, StopLab
from tests.contract.labs.aws_network import BalancedLab, RouteLab, ZoneLab

LABS: list[type[AwsLab]] = [
    BalancedLab, DrainLab, IsolateLab, RouteLab, StopLab, SuspendLab,
    ThrottleOfAReservedFunctionLab, TriggerLab, ZoneLab,
]  # fmt: skip
SECRET = "an-external-id-that-nobody-may-know"


@pytest.mark.parametrize("lab", LABS)
def test_the_tags_of_every_fault_that_is_reverted_tell_the_whole_way_back(
    lab: type[AwsLab],
) -> None:
    with lab() as world:
        hold = world.lease()
        world.kind().inject(hold, world.client)
        (found,) = marks.find(world.client)
        assert found.hold is not None
        assert (found.hold.fault, found.hold.mark) == (hold.fault, hold.mark)
        # What policies ask of a target is no part of the way back, and tags are short.
        bare = tuple(replace(target, labels=None, groups={}) for target in hold.targets)
        assert (found.hold.targets, found.hold.undo) == (bare, hold.undo)


def a_hold(count: int) -> Hold:
    targets = tuple(
        Target(kind="ec2-instance", id=f"i-{zlib.crc32(bytes([n % 256, n // 256])):017x}")
        for n in range(count)
    )
    role = "arn:aws:iam::123456789012:role/chaos"
    access = Access(account="123456789012", role=role, external_id=SECRET)
    return Hold(
        fault="aws.ec2-stop", targets=targets, population=count, effect="", mark="m",
        undo=undo(access),
    )  # fmt: skip


def test_tags_tell_nothing_of_who_asked() -> None:
    tags = marks.with_way_back(a_hold(3))
    packed = "".join(tag["Value"] for tag in tags[1:])
    text = zlib.decompress(base64.urlsafe_b64decode(packed))
    assert b"i-" in text
    for told in (to_json(tags), text):
        assert SECRET.encode() not in told
        assert b"role/chaos" not in told


def test_a_way_back_that_is_too_long_is_left_out_whole() -> None:
    assert len(marks.with_way_back(a_hold(50))) > 1
    assert marks.with_way_back(a_hold(1000)) == marks.tags(a_hold(1000))


def test_every_tag_is_one_that_aws_takes() -> None:
    for tag in marks.with_way_back(a_hold(50)):
        assert len(tag["Key"]) <= 128
        assert 0 < len(tag["Value"]) <= 256
        assert all(letter.isalnum() or letter in "+-=._:/@" for letter in tag["Value"])


def test_a_mark_whose_way_back_somebody_damaged_is_still_found() -> None:
    with StopLab() as lab:
        hold = lab.lease()
        lab.kind().inject(hold, lab.client)
        ids = [target.id for target in hold.targets]
        damage = [{"Key": "chaosrun:undo-0", "Value": "eNq-not-ours"}]
        lab.service("ec2").create_tags(Resources=ids, Tags=damage)
        (found,) = marks.find(lab.client)
        assert found.hold is None
        assert found.mark == hold.mark
