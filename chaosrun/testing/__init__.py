"""The contract of faults as a test that anybody can run over their own.

Give each fault a `Lab`: a real world that it can harm. Then, with pytest:

    LABS = [PauseLab, KillLab]

    @pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
    @pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.__name__)
    def test_the_fault_keeps_its_promise(lab, promise):
        check(promise, lab)

    def test_every_fault_has_a_lab():
        assert without_lab(LABS, provider) == []
"""

from __future__ import annotations

from chaosrun.testing.contract import PROMISES, check, without_lab
from chaosrun.testing.lab import BrokenPromise, Lab

__all__ = ["PROMISES", "BrokenPromise", "Lab", "check", "without_lab"]
