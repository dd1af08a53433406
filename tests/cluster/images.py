"""Container images made of this machine's files, as archives in the OCI layout.

busybox:1   busybox alone; it sleeps, so it is also what holds a pod together
python:1    busybox, and this machine's Python with its standard library

On another cluster (`CHAOSRUN_TEST_KUBECONFIG`) public images take their place.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import re
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
_APPLETS = ("sh", "sleep", "cat", "echo", "ls", "true", "false", "wget", "nc", "kill", "ps",
            "date", "env", "test", "touch", "rm", "ip", "httpd", "seq", "printf")  # fmt: skip
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


def _standard_library(stdlib: Path) -> Iterable[Path]:
    for path in stdlib.rglob("*"):
        if path.is_file() and not set(path.relative_to(stdlib).parts) & set(_LEFT_OUT):
            yield path


def _libraries(program: Path) -> set[Path]:
    """What it is linked with."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=30).stdout
    return {Path(place) for place in re.findall(r"(/\S+) \(0x", said)}


def _layer(files: Iterable[Path], links: dict[str, str] | None = None) -> bytes:
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
    return made.getvalue()


def _archive(name: str, layer: bytes, command: list[str]) -> bytes:
    """An OCI layout, as `ctr images import` reads it."""
    packed = gzip.compress(layer, compresslevel=1, mtime=0)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[_machine()]
    blobs: dict[str, bytes] = {}

    def blob(content: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    vendor = "application/vnd.oci.image"
    config = {
        "architecture": machine, "os": "linux",
        "config": {"Cmd": command, "Env": ["PATH=/usr/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }  # fmt: skip
    manifest = {
        "schemaVersion": 2, "mediaType": f"{vendor}.manifest.v1+json",
        "config": blob(json.dumps(config).encode(), f"{vendor}.config.v1+json"),
        "layers": [blob(packed, f"{vendor}.layer.v1.tar+gzip")],
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
