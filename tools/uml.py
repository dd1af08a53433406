"""A User-Mode Linux on this machine's own files, for what this kernel has not: netem.

Law: what the machine lacks is said by name, with the command that would provide it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tools.readme import ROOT

_FILES = ROOT / "tests" / "uml"


class Missing(Exception):
    """What this machine would need to boot it."""


class Failed(Exception):
    """It did not boot, or did not end."""


def python(*words: str) -> str:
    """The shell command that runs Python with these words in there, on this tree."""
    root = shlex.quote(str(ROOT))
    return (
        f"cd {root}; export PYTHONPATH={root} PYTHONDONTWRITEBYTECODE=1 HOME=/run TMPDIR=/run\n"
        f"exec {shlex.join([sys.executable, *words])}\n"
    )


def boot(directory: Path, command: str, within: float) -> tuple[int, str]:
    """Run a shell command in a machine of its own: its exit code, and what it said.

    Raises Missing and Failed.
    """
    if os.geteuid() or not shutil.which("linux.uml") or not shutil.which("busybox"):
        raise Missing("needs root and: apt-get install user-mode-linux busybox-static")
    environment = {**os.environ, "CHAOSRUN_UML": str(directory)}
    if "amx_tile" in Path("/proc/cpuinfo").read_text():  # see registers.c
        environment["LD_PRELOAD"] = str(_registers(directory))
    (directory / "command").write_text(command)
    words = [
        "linux.uml", "mem=768M", "rootfstype=hostfs", "rootflags=/", "rw",
        f"init={_FILES / 'init.sh'}", f"CHAOSRUN_UML={directory}", f"umid={directory.name}",
        "quiet", "con=null", "con0=fd:0,fd:1",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=within,
        )  # fmt: skip
    except subprocess.TimeoutExpired as expired:
        said = (expired.stdout or b"").decode(errors="replace")
        raise Failed(f"it did not end within {within:g}s: {said[-2000:]}") from None
    output, code = directory / "output", directory / "code"
    said = output.read_text(errors="replace") if output.exists() else ""
    if not code.exists():
        raise Failed(f"it did not boot: {done.stdout.decode(errors='replace')[-2000:]}{said}")
    return int(code.read_text()), said


def _registers(directory: Path) -> Path:
    """The library that lets it run on processors with AMX."""
    if not shutil.which("gcc"):
        raise Missing("needs a compiler on this processor: apt-get install gcc libc6-dev")
    library = directory / "registers.so"
    words = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(_FILES / "registers.c")]
    subprocess.run([*words, "-ldl"], check=True, timeout=60)
    return library
