"""One program with all of Kubernetes in it, kwok, Envoy Gateway, istiod: built once, then kept.

Law: the program's name holds a hash of what it was built from, so a stale one is never used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

VERSION = "v1.34.2"
_HERE = Path(__file__).parent
_BUILD_WITHIN = 3600
_PARTS = {
    # its sources, what to build of them, the least Go, and what is told to the linker
    "kubernetes": (
        "binary", ".", (1, 24), f"-s -w -X k8s.io/component-base/version.gitVersion={VERSION}",
    ),
    "kwok": ("kwok", "sigs.k8s.io/kwok/cmd/kwok", (1, 26), "-s -w"),
    "gateway": ("gateway", "github.com/envoyproxy/gateway/cmd/envoy-gateway", (1, 26), "-s -w"),
    "istiod": ("istiod", "istio.io/istio/pilot/cmd/pilot-discovery", (1, 26), "-s -w"),
}  # fmt: skip

IN_EACH_RUN = ("kubernetes", "gateway", "istiod")
"""What the default run of the tests takes; the others are of long lanes."""


class Missing(Exception):
    """This machine lacks something; the text says what, and how to get it."""


def program(name: str = "kubernetes") -> Path:
    """The program, built if it is not there. Raises Missing."""
    folder, what, least, flags = _PARTS[name]
    sources = _HERE / folder
    built = _place() / f"{name}-{_hash(sources, flags)}"
    if built.exists():
        return built
    go = _go(least)
    built.parent.mkdir(parents=True, exist_ok=True)
    unfinished = built.with_suffix(f".{os.getpid()}")
    words = ["build", "-trimpath", "-ldflags", flags, "-o", str(unfinished), what]
    for attempt in (1, 2, 3):  # a network fails now and then; what was built is kept
        done = subprocess.run(
            ["nice", go, *words], cwd=sources, capture_output=True, text=True,
            timeout=_BUILD_WITHIN,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=readonly"},
        )  # fmt: skip
        if done.returncode == 0:
            break
        if attempt == 3:
            raise Missing(f"{name} could not be built: {done.stderr[-600:]}")
    unfinished.replace(built)
    return built


def module(name: str, path: str) -> Path:
    """Where the sources lie of a module that a program is built of. Raises Missing."""
    folder, _, least, _ = _PARTS[name]
    done = subprocess.run(
        [_go(least), "mod", "download", "-json", path], cwd=_HERE / folder,
        capture_output=True, text=True, timeout=_BUILD_WITHIN,
    )  # fmt: skip
    if done.returncode:
        raise Missing(f"{path} could not be read: {done.stdout[-600:]}{done.stderr[-600:]}")
    return Path(json.loads(done.stdout)["Dir"])


def _place() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chaosrun" / "cluster"


def _hash(sources: Path, flags: str) -> str:
    digest = hashlib.sha256(flags.encode())
    for path in sorted(sources.iterdir()):
        if path.suffix in (".mod", ".sum", ".go"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _go(least: tuple[int, int]) -> str:
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
            if found and (int(found[1]), int(found[2])) >= least:
                return str(place)
    raise Missing(
        f"needs Go {least[0]}.{least[1]} or newer to build it: install it from https://go.dev/dl/ "
        "into /usr/local/go, or name a cluster by CHAOSRUN_TEST_KUBECONFIG"
    )
