"""Every fault keeps every promise of the contract, in a real world."""

from __future__ import annotations

import pytest

from chaosrun.testing import PROMISES, Lab, check, without_lab
from chaosrun.testing.contract import Promise
from tests.contract.labs import all_labs

LABS = all_labs()


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("lab", LABS, ids=lambda lab: f"{lab.fault}:{lab.__name__}")
def test_the_fault_keeps_its_promise(lab: type[Lab], promise: Promise) -> None:
    check(promise, lab)


def test_every_fault_has_a_lab() -> None:
    assert without_lab(LABS) == []
