"""Other ways in which databases and caches fail over than those of the contract's labs."""

from __future__ import annotations

import pytest

from chaosrun.errors import Refused
from chaosrun.testing import check, contract
from tests.contract.aws_lab import AwsLab
from tests.contract.labs.aws_databases import (
    CacheFailoverInClusterModeLab,
    CacheFailoverThatMotoLacksLab,
    FailoverOfADatabaseThatMotoIgnoresLab,
)

PROMISES = [contract.it_takes_effect_and_is_restored, contract.injecting_twice_is_once]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize(
    "lab", [CacheFailoverInClusterModeLab, FailoverOfADatabaseThatMotoIgnoresLab]
)
def test_it_keeps_the_promises_that_depend_on_the_way(
    lab: type[AwsLab], promise: contract.Promise
) -> None:
    check(promise, lab)


def test_a_database_without_a_standby_does_not_fail_over() -> None:
    with FailoverOfADatabaseThatMotoIgnoresLab() as lab:
        lab.service("rds").modify_db_instance(DBInstanceIdentifier="orders", MultiAZ=False)
        with pytest.raises(Refused, match="orders has no standby to fail over to"):
            lab.plan()


def test_a_database_that_is_stopped_is_not_rebooted() -> None:
    with FailoverOfADatabaseThatMotoIgnoresLab() as lab:
        lab.service("rds").stop_db_instance(DBInstanceIdentifier="orders")
        with pytest.raises(Refused, match="orders is stopped, not available"):
            lab.plan()


class Alone(CacheFailoverThatMotoLacksLab):
    """A primary without a replica."""

    more = {"ReplicasPerNodeGroup": 0}


def test_a_cache_without_a_replica_does_not_fail_over() -> None:
    with Alone() as lab, pytest.raises(Refused, match="shard 0001 of sessions has no replica"):
        lab.plan()


def test_a_cache_that_does_not_fail_over_by_itself_is_refused() -> None:
    with CacheFailoverThatMotoLacksLab() as lab:
        lab.service("elasticache").modify_replication_group(
            ReplicationGroupId="sessions", AutomaticFailoverEnabled=False
        )
        with pytest.raises(Refused, match="sessions does not fail over automatically"):
            lab.plan()
