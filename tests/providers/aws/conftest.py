"""An AWS to harm, by moto over real HTTP, and a client of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from chaosrun.providers.aws.client import Aws
from tests.contract.aws_lab import enter
from tests.contract.labs.aws_groups import GroupTerminateLab


@pytest.fixture
def aws() -> Iterator[Aws]:
    with contextlib.ExitStack() as cleanup:
        enter(cleanup)
        client = Aws()
        cleanup.callback(client.close)
        yield client


class Shop(GroupTerminateLab):
    """A group of three, as the experiments know it."""


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop() as lab:
        yield lab
