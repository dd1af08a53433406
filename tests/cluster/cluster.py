"""The cluster: up and down.

Law: whatever `up` made, `down` takes away, also when `up` was killed half-way.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from tests.cluster import control, images, network, nodes
from tests.cluster.build import Missing, program
from tests.cluster.parts import Parts

NODES = 3
_PROGRAMS = {
    "containerd": "containerd", "runc": "runc", "nsenter": "util-linux", "ip": "iproute2",
    "openssl": "openssl", "nft": "nftables", "mount": "mount", "/usr/lib/cni/bridge":
    "containernetworking-plugins", "busybox": "busybox-static", "conntrack": "conntrack",
}  # fmt: skip


class Cluster:
    """The one cluster of a directory."""

    def __init__(self, directory: Path | None = None) -> None:
        named = os.environ.get("CHAOSRUN_CLUSTER_DIR")
        self.directory = directory or Path(named or "/var/lib/chaosrun-cluster")
        self.parts = Parts(self.directory)

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "admin.kubeconfig"

    @cached_property
    def program(self) -> Path:
        return program()

    def check(self) -> None:
        """Raise Missing when this machine cannot run it."""
        if os.geteuid() != 0:
            raise Missing("needs root, to make network namespaces and run containers")
        if subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True).returncode:
            raise Missing("needs a mount namespace, which this container may not have")
        lacking = sorted({p for name, p in _PROGRAMS.items() if shutil.which(name) is None})
        if lacking:
            raise Missing(f"apt-get install --no-install-recommends {' '.join(lacking)}")

    def up(self) -> None:
        """Start it, unless it runs; return when three nodes are ready. Raises Missing."""
        if self.ready():
            return
        self.check()
        binary = self.program
        self.down()
        self.directory.mkdir(parents=True)
        self.directory.chmod(0o700)
        numbers = range(1, NODES + 1)
        control.secrets(self.directory, [nodes.name_of(number) for number in numbers])
        network.make(NODES)
        control.start(self.parts, binary, self.directory)
        for number in numbers:
            nodes.start(self.parts, binary, self.directory, number)
        for made in (images.busybox, images.python):
            self.load(made())
        self.until("the API server should be ready", self._answers)
        control.start_controllers(self.parts, binary, self.directory)
        for number in numbers:
            nodes.start_kubelet(self.parts, binary, self.directory, number)
        self.until("three nodes should be ready", self._revived)

    def load(self, image: bytes, numbers: Iterable[int] = range(1, NODES + 1)) -> None:
        """Give every node an image, or some of them."""
        archive = self.directory / "image.tar"
        archive.write_bytes(image)
        with ThreadPoolExecutor(NODES) as pool:
            for _ in pool.map(
                lambda number: nodes.import_image(self.directory, number, archive), numbers
            ):
                pass
        archive.unlink()

    def down(self) -> None:
        """End it, whatever is left of it."""
        notes = list(self.parts.notes())
        for name in sorted(notes, key=lambda name: not name.startswith(("kubelet", "kube-"))):
            with contextlib.suppress(ProcessLookupError):
                self.parts.end(name)
        nodes.empty(self.directory)
        network.remove()
        shutil.rmtree(self.directory, ignore_errors=True)

    def left(self) -> list[str]:
        """What is still there, after `down`."""
        there = [str(self.directory)] if self.directory.exists() else []
        return there + network.left() + nodes.left(self.directory)

    def _revived(self) -> bool:
        """Whether it is ready. Kubelets end that meet at the one socket they share by its path."""
        for name in (f"kubelet-{number}" for number in range(1, NODES + 1)):
            if not self.parts.runs(name):
                self.parts.again(name)
        return self.ready()

    def ready(self) -> bool:
        """Whether all of it runs and three nodes are ready."""
        if not self.parts.runs("kube-apiserver"):
            return False
        with contextlib.suppress(subprocess.SubprocessError):
            words = ["get", "nodes", "--no-headers", "--request-timeout=5s"]
            said = self.kubectl(*words).splitlines()
            return len([line for line in said if line.split()[1] == "Ready"]) == NODES
        return False

    def kubectl(self, *words: str, given: str = "", timeout: float = 60) -> str:
        """What kubectl says. Raises CalledProcessError."""
        return subprocess.run(
            [self.program, "kubectl", f"--kubeconfig={self.kubeconfig}",
             f"--cache-dir={self.directory / 'kubectl-cache'}", *words],
            check=True, capture_output=True, text=True, timeout=timeout, input=given or None,
            stdin=None if given else subprocess.DEVNULL,
        ).stdout  # fmt: skip

    def until(self, said: str, look: Callable[[], bool], seconds: float = 90) -> None:
        """Look again and again until it is so."""
        end = time.monotonic() + seconds
        while not look():
            if time.monotonic() > end:
                logs = "\n".join(
                    f"--- {name}\n{self.parts.log(name)}" for name in self.parts.notes()
                )
                raise RuntimeError(f"waited in vain: {said}\n{logs}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        trust = ssl.create_default_context(cafile=str(self.directory / "ca.pem"))
        asked = urllib.request.Request(
            f"https://{network.HOST}:{control.PORT}/readyz",
            headers={"Authorization": f"Bearer {control.token_of(control.ADMIN)}"},
        )
        try:
            with urllib.request.urlopen(asked, timeout=5, context=trust) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
