"""netem itself, in a kernel that has it: User-Mode Linux, booted for these tests.

`make uml` runs all that there is for netem in it; here it is what says the most in little time.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools import uml

EFFECTS = "tests/mechanisms/test_network_effects.py"
CONTRACT = "tests/contract/test_faults.py"
SHORT = "netem and (asked_for and both or overtake or lost and out or rate_is_kept and in)"
WHOLE = "netem or NetemLab"


def run_tests(directory: Path, chosen: str, *files: str, within: float) -> int:
    """Run tests there; how many passed. Fails when one did not."""
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp=/run/pytest"]
    try:
        code, said = uml.boot(directory, uml.python(*words, *files, "-k", chosen), within)
    except uml.Missing as missing:
        pytest.skip(str(missing))
    assert code == 0, said[-6000:]
    found = re.search(r"(\d+) passed", said)
    assert found is not None
    return int(found[1])


def test_netem_does_what_was_asked_for_in_a_real_kernel(tmp_path: Path) -> None:
    assert run_tests(tmp_path, SHORT, EFFECTS, within=240) == 4


@pytest.mark.uml
def test_all_of_netem_in_a_real_kernel(tmp_path: Path) -> None:
    assert run_tests(tmp_path, WHOLE, EFFECTS, CONTRACT, within=1200) >= 38
