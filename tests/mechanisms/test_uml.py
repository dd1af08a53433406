"""netem itself, in a kernel that has it: User-Mode Linux, booted for these tests.

`make uml` runs all that there is for netem in it; here it is what says the most in little time.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
UML = ROOT / "tests" / "uml"
WHOLE = "netem or NetemLab"
CONTRACT = "tests/contract/test_faults.py"
EFFECTS = "tests/mechanisms/test_network_effects.py"
SHORT = "netem and (asked_for and both or overtake or lost and out or rate_is_kept and in)"


def boot(directory: Path, command: str, within: float) -> tuple[int, str]:
    """Run a shell command in a machine of its own: its exit code, and what it said."""
    if not shutil.which("linux.uml") or not shutil.which("busybox") or os.geteuid():
        pytest.skip("needs root and: apt-get install user-mode-linux busybox-static")
    environment = {**os.environ, "CHAOSRUN_UML": str(directory)}
    if "amx_tile" in Path("/proc/cpuinfo").read_text():  # see registers.c
        if not shutil.which("gcc"):
            pytest.skip("needs a compiler on this processor: apt-get install gcc libc6-dev")
        library = directory / "registers.so"
        words = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(UML / "registers.c")]
        subprocess.run([*words, "-ldl"], check=True, timeout=60)
        environment["LD_PRELOAD"] = str(library)
    (directory / "command").write_text(command)
    kernel = [
        "linux.uml", "mem=768M", "rootfstype=hostfs", "rootflags=/", "rw",
        f"init={UML / 'init.sh'}", f"CHAOSRUN_UML={directory}", f"umid={directory.name}",
        "quiet", "con=null", "con0=fd:0,fd:1",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            kernel, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=within,
        )  # fmt: skip
    except subprocess.TimeoutExpired as expired:
        said = (expired.stdout or b"").decode(errors="replace")
        pytest.fail(f"it did not end within {within:g}s: {said[-2000:]}")
    output = directory / "output"
    said = output.read_text(errors="replace") if output.exists() else ""
    code = directory / "code"
    if not code.exists():
        pytest.fail(f"it did not boot: {done.stdout.decode(errors='replace')[-2000:]}{said}")
    return int(code.read_text()), said


def run_tests(directory: Path, files: str, chosen: str, within: float) -> int:
    """Run tests there; how many passed. Fails when one did not."""
    command = f"""
        cd {shlex.quote(str(ROOT))}
        export PYTHONPATH={shlex.quote(str(ROOT))} PYTHONDONTWRITEBYTECODE=1 HOME=/run TMPDIR=/run
        exec {shlex.quote(sys.executable)} -m pytest -q -p no:cacheprovider \\
          --basetemp=/run/pytest {files} -k {shlex.quote(chosen)}
    """
    code, said = boot(directory, command, within)
    assert code == 0, said[-6000:]
    found = re.search(r"(\d+) passed", said)
    assert found is not None
    return int(found[1])


def test_netem_does_what_was_asked_for_in_a_real_kernel(tmp_path: Path) -> None:
    assert run_tests(tmp_path, EFFECTS, SHORT, within=240) == 4


@pytest.mark.uml
def test_all_of_netem_in_a_real_kernel(tmp_path: Path) -> None:
    assert run_tests(tmp_path, f"{EFFECTS} {CONTRACT}", WHOLE, within=1200) >= 38
