"""Every fault keeps every promise of the contract, in a real world."""

from __future__ import annotations

import pytest

from chaosrun.testing import PROMISES, Lab, check, without_lab
from chaosrun.testing.contract import Promise
from tests.contract.labs import all_labs

LABS = all_labs()
PAIRS = [
    pytest.param(
        lab, promise, id=f"{lab.fault}:{lab.__name__}-{promise.__name__}",
        marks=pytest.mark.long if promise.__name__ in lab.slow else (),
    )
    for lab in LABS
    for promise in PROMISES
]  # fmt: skip


@pytest.mark.parametrize(("lab", "promise"), PAIRS)
def test_the_fault_keeps_its_promise(lab: type[Lab], promise: Promise) -> None:
    check(promise, lab)


def test_every_fault_has_a_lab() -> None:
    assert without_lab(LABS) == []
