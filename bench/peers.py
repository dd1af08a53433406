"""The peers, each installed by its own tools outside the tree and kept for the next time.

Law: what this machine lacks is said by name, with what would provide it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TOXIPROXY = "v2.12.0"


class Absent(Exception):
    """This machine cannot have the peer; the message says what would change that."""


def cache_directory() -> Path:
    """Where peers are kept, outside the tree."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "chaosrun" / "peers"


@cache
def chaos_toolkit() -> Path:
    """The `chaos` command of Chaos Toolkit's current release, in an environment of its own."""
    home = cache_directory() / "chaostoolkit"
    command = home / "bin" / "chaos"
    if not command.exists():
        _run([_newer_python(), "-m", "venv", "--clear", str(home)])
    try:
        _run([str(home / "bin" / "pip"), "install", "--quiet", "--upgrade", "chaostoolkit"])
    except Absent:
        if not command.exists():  # without a network the one from last time will do
            raise
    return command


@cache
def toxiproxy() -> Path:
    """The Toxiproxy server, built by Go."""
    server = cache_directory() / f"toxiproxy-{TOXIPROXY}" / "server"
    if not server.exists():
        if shutil.which("go") is None:
            raise Absent("Toxiproxy is built by Go, which is not installed: https://go.dev/dl")
        module = f"github.com/Shopify/toxiproxy/v2/cmd/server@{TOXIPROXY}"
        _run(["go", "install", module], GOBIN=str(server.parent))
    return server


def _newer_python() -> str:
    for candidate in _pythons():
        test = "import ensurepip, sys; sys.exit(sys.version_info < (3, 12))"
        try:
            _run([candidate, "-c", test])
        except Absent:
            continue
        return candidate
    raise Absent("Chaos Toolkit needs Python 3.12 or newer: put one on the PATH")


def _pythons() -> Iterator[str]:
    for minor in (14, 13, 12):
        if found := shutil.which(f"python3.{minor}"):
            yield found
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(root.glob("versions/3.1[2-9]*/bin/python3")))


def _run(command: list[str], **environment: str) -> str:
    try:
        done = subprocess.run(
            command, env={**os.environ, **environment}, check=True, capture_output=True,
            text=True, timeout=600,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or ""
        raise Absent(f"{' '.join(command[:3])} failed: {said.strip()[-300:] or error}") from error
    return done.stdout
