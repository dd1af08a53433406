"""Container images made of this machine's files, as archives in the OCI layout.

busybox:1   busybox alone; it sleeps, so it is also what holds a pod together
python:1    busybox, and this machine's Python with its standard library
agent:1     all of that, chaosrun, and the programs by which it does harm inside of pods
gateway:1   busybox, Envoy, and the controller of Envoy Gateway

On another cluster (`CHAOSRUN_TEST_KUBECONFIG`) public images take their place; the agent's is
named by `CHAOSRUN_TEST_AGENT_IMAGE`: build it with `make image`, and push it where the nodes pull.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable
from pathlib import Path

from tests.cluster.build import Missing

_OTHER = os.environ.get("CHAOSRUN_TEST_KUBECONFIG")
BUSYBOX = "busybox:1" if _OTHER else "localhost/busybox:1"
PYTHON = "python:3-alpine" if _OTHER else "localhost/python:1"
AGENT = os.environ.get("CHAOSRUN_TEST_AGENT_IMAGE", "") if _OTHER else "localhost/agent:1"
GATEWAY = "localhost/gateway:1"
_APPLETS = ("sh", "sleep", "cat", "echo", "ls", "true", "false", "wget", "nc", "kill", "ps",
            "date", "env", "test", "touch", "rm", "ip", "httpd", "seq", "printf")  # fmt: skip
_PROGRAMS = ("nft", "tc", "ip", "nsenter", "unshare", "stress-ng")
_LEFT_OUT = ("test", "idlelib", "tkinter", "ensurepip", "__pycache__", "site-packages",
             "dist-packages", "lib2to3", "turtledemo", "pydoc_data")  # fmt: skip


def busybox() -> bytes:
    """The archive of busybox:1."""
    return _archive(BUSYBOX, _layer(()), ["/bin/sleep", "2147483647"])


def python() -> bytes:
    """The archive of python:1."""
    program = Path(sys.executable).resolve()
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    files = {program, *_standard_library(stdlib)}
    for one in [program, *stdlib.glob("lib-dynload/*.so")]:
        files |= _libraries(one)
    links = {"usr/bin/python3": str(program)} if str(program) != "/usr/bin/python3" else {}
    return _archive(PYTHON, _layer(files, links), ["/usr/bin/python3"])


def agent() -> bytes:
    """The archive of agent:1. It is not packed: a node has it sooner."""
    program = Path(sys.executable).resolve()
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    placed = {f"usr/bin/{Path(one).name}": Path(one) for one in map(shutil.which, _PROGRAMS) if one}
    # The shell of busybox would take its own `ip` for the one of iproute2.
    placed |= {"usr/bin/sh": Path(shutil.which("dash") or "/bin/sh")}
    placed |= {"etc/protocols": Path("/etc/protocols")}  # by which `ip rule` knows tcp
    own = _package("chaosrun")
    for name in ("msgspec", "dnslib", "envoy"):
        placed |= _package(name)
    files = {program, *_standard_library(stdlib)}
    for one in [program, *stdlib.glob("lib-dynload/*.so"), *placed.values()]:
        if one == program or one.suffix == ".so" or os.access(one, os.X_OK):
            files |= _libraries(one)
    links = {"usr/bin/python3": str(program)} if str(program) != "/usr/bin/python3" else {}
    command = ["/usr/bin/python3", "-m", "chaosrun.mechanisms"]
    env = ["PATH=/usr/bin:/bin", "PYTHONPATH=/opt/agent", "PYTHONDONTWRITEBYTECODE=1"]
    return _archive(AGENT, _layer(files, links, placed), command, env, own=_tar(own))


def gateway(controller: Path) -> bytes:
    """The archive of gateway:1, with a controller that was built. It is not packed."""
    envoy = _roots_of("envoy")[0] / "_bin" / "envoy"
    own = _tar({"usr/bin/envoy": envoy, "usr/bin/envoy-gateway": controller})
    return _archive(GATEWAY, _layer(_libraries(envoy)), ["/usr/bin/envoy-gateway"], own=own)


def _package(name: str) -> dict[str, Path]:
    """Its files, as they are placed in the image."""
    return {
        f"opt/agent/{root.name}/{path.relative_to(root)}": path
        for root in _roots_of(name)
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _tar(placed: dict[str, Path]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", dereference=True) as tar:
        for name, path in sorted(placed.items()):
            tar.add(path, name, recursive=False)
    return made.getvalue()


def _roots_of(package: str) -> list[Path]:
    """Where a package lies."""
    found = importlib.util.find_spec(package)
    if found is None:
        raise Missing(f"pip install the package that brings {package}")
    return [Path(place).resolve() for place in found.submodule_search_locations or ()]


def _standard_library(stdlib: Path) -> Iterable[Path]:
    for path in stdlib.rglob("*"):
        if path.is_file() and not set(path.relative_to(stdlib).parts) & set(_LEFT_OUT):
            yield path


def _libraries(program: Path) -> set[Path]:
    """What it is linked with."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=30).stdout
    return {Path(place) for place in re.findall(r"(/\S+) \(0x", said)}


def _layer(
    files: Iterable[Path],
    links: dict[str, str] | None = None,
    placed: dict[str, Path] | None = None,
) -> bytes:
    """`files` where they are here, `links`, and what is `placed` elsewhere."""
    shell = next((p for p in (Path("/bin/busybox"), Path("/usr/bin/busybox")) if p.exists()), None)
    if shell is None:
        raise Missing("needs busybox: apt-get install busybox-static")
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", dereference=True) as tar:
        for name in ("bin", "tmp", "proc", "sys", "dev", "etc", "usr", "usr/bin", "lib"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(directory)
        tar.add(shell, "bin/busybox")
        for name, place in {**{f"bin/{a}": "busybox" for a in _APPLETS}, **(links or {})}.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, place
            tar.addfile(link)
        for path in sorted(files):
            tar.add(path, str(path).lstrip("/"), recursive=False)
        for name, path in sorted((placed or {}).items()):
            tar.add(path, name, recursive=False)
    return made.getvalue()


def _archive(
    name: str,
    layer: bytes,
    command: list[str],
    env: Iterable[str] = ("PATH=/usr/bin:/bin",),
    *,
    own: bytes = b"",
) -> bytes:
    """An OCI layout, as `ctr images import` reads it.

    With an `own` layer above the other one nothing is packed: both are as large as they are.
    """
    layers = [layer, own] if own else [layer]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[_machine()]
    blobs: dict[str, bytes] = {}

    def blob(content: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    vendor = "application/vnd.oci.image"
    config = {
        "architecture": machine, "os": "linux",
        "config": {"Cmd": command, "Env": list(env)},
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers],
        },
    }  # fmt: skip
    manifest = {
        "schemaVersion": 2, "mediaType": f"{vendor}.manifest.v1+json",
        "config": blob(json.dumps(config).encode(), f"{vendor}.config.v1+json"),
        "layers": [
            blob(one, f"{vendor}.layer.v1.tar")
            if own
            else blob(gzip.compress(one, compresslevel=1, mtime=0), f"{vendor}.layer.v1.tar+gzip")
            for one in layers
        ],
    }  # fmt: skip
    entry = blob(json.dumps(manifest).encode(), f"{vendor}.manifest.v1+json")
    entry["annotations"] = {"io.containerd.image.name": name}
    files = {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
        **{f"blobs/sha256/{digest}": content for digest, content in blobs.items()},
    }
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for place, content in files.items():
            info = tarfile.TarInfo(place)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


def _machine() -> str:
    return platform.machine()
