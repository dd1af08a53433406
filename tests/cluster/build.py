"""One program with all of Kubernetes in it, built once and kept in the cache.

Law: the program's name holds a hash of what it was built from, so a stale one is never used.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent / "binary"
VERSION = "v1.34.2"
_BUILD_WITHIN = 3600
_LEAST_GO = (1, 24)


class Missing(Exception):
    """This machine lacks something; the text says what, and how to get it."""


def program() -> Path:
    """The program, built if it is not there. Raises Missing."""
    built = _place() / f"kubernetes-{_hash()}"
    if built.exists():
        return built
    go = _go()
    built.parent.mkdir(parents=True, exist_ok=True)
    unfinished = built.with_suffix(f".{os.getpid()}")
    words = ["build", "-trimpath", "-ldflags", _flags(), "-o", str(unfinished), "."]
    for attempt in (1, 2, 3):  # a network fails now and then; what was built is kept
        done = subprocess.run(
            ["nice", go, *words], cwd=SOURCES, capture_output=True, text=True,
            timeout=_BUILD_WITHIN,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=readonly"},
        )  # fmt: skip
        if done.returncode == 0:
            break
        if attempt == 3:
            raise Missing(f"Kubernetes could not be built: {done.stderr[-600:]}")
    unfinished.replace(built)
    return built


def _flags() -> str:
    return f"-s -w -X k8s.io/component-base/version.gitVersion={VERSION}"


def _place() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chaosrun" / "cluster"


def _hash() -> str:
    digest = hashlib.sha256(_flags().encode())
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((SOURCES / name).read_bytes())
    return digest.hexdigest()[:16]


def _go() -> str:
    """The newest Go there is. Raises Missing."""
    places = [
        shutil.which("go"),
        "/usr/local/go/bin/go",
        *sorted(Path("/usr/lib").glob("go-*/bin/go")),
    ]
    for place in places:
        if place and Path(place).exists():
            said = subprocess.run([place, "version"], capture_output=True, text=True, timeout=30)
            found = re.search(r"go(\d+)\.(\d+)", said.stdout)
            if found and (int(found[1]), int(found[2])) >= _LEAST_GO:
                return str(place)
    raise Missing(
        "needs Go 1.24 or newer to build Kubernetes: install it from https://go.dev/dl/ "
        "into /usr/local/go, or name a cluster by CHAOSRUN_TEST_KUBECONFIG"
    )
