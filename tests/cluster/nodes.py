"""One node: containerd with its own root, state and socket, a kubelet and a kube-proxy.

Law: all that a node mounts and runs lies under its directory and its cgroup, so that both can
be emptied without asking it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from tests.cluster import network
from tests.cluster.images import BUSYBOX
from tests.cluster.parts import Parts

_CGROUPS = Path("/sys/fs/cgroup")
_WEIGHTS = {"cpu.shares": "4096", "cpu.weight": "400"}  # four times the usual, in v1 and v2


def cgroup_of(directory: Path) -> str:
    """The cgroup of all nodes of the cluster in that directory, and of no other cluster."""
    return f"chaosrun-cluster-{hashlib.sha256(str(directory).encode()).hexdigest()[:8]}"


def name_of(number: int) -> str:
    return f"node-{number}"


def zone_of(number: int) -> str:
    return f"zone-{'abc'[number - 1]}"


def start(parts: Parts, program: Path, directory: Path, number: int) -> None:
    """Start containerd, and once it answers, the rest."""
    home = directory / name_of(number)
    for part in ("root", "state", "kubelet", "cni", "logs"):
        (home / part).mkdir(parents=True, exist_ok=True)
    _configure(home, directory, number)
    space = network.namespace_of(number)
    parts.start(f"containerd-{number}", ["containerd", "-c", home / "containerd.toml"], space)


def start_kubelet(parts: Parts, program: Path, directory: Path, number: int) -> None:
    home, space = directory / name_of(number), network.namespace_of(number)
    parts.start(f"kubelet-{number}", [
        program, "kubelet", f"--config={home / 'kubelet.json'}",
        f"--kubeconfig={directory / f'system-node-{name_of(number)}.kubeconfig'}",
        f"--hostname-override={name_of(number)}", f"--node-ip={network.address_of(number)}",
        f"--root-dir={home / 'kubelet'}", f"--cert-dir={home / 'pki'}",
        f"--node-labels=topology.kubernetes.io/zone={zone_of(number)}",
    ], space)  # fmt: skip
    parts.start(f"kube-proxy-{number}", [
        program, "kube-proxy", f"--config={home / 'proxy.json'}",
    ], space)  # fmt: skip


def socket_of(directory: Path, number: int) -> Path:
    return directory / name_of(number) / "containerd.sock"


def import_image(directory: Path, number: int, archive: Path) -> None:
    """Give the node's containerd an image, once it answers."""
    words = ["ctr", "-a", str(socket_of(directory, number)), "-n", "k8s.io"]
    until = time.monotonic() + 30
    while True:
        done = subprocess.run(
            [*words, "images", "import", str(archive)], capture_output=True, text=True, timeout=120
        )
        if done.returncode == 0:
            return
        if time.monotonic() > until:
            raise RuntimeError(f"ctr images import: {done.stderr[-500:]}")
        time.sleep(0.1)


def _configure(home: Path, directory: Path, number: int) -> None:
    (home / "containerd.toml").write_text(f"""\
version = 2
root = "{home / "root"}"
state = "{home / "state"}"
oom_score = 0
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{socket_of(directory, number)}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{BUSYBOX}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{_snapshotter(home)}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{home / "cni"}"
""")
    (home / "cni" / "10-bridge.conflist").write_text(json.dumps({
        "cniVersion": "1.0.0", "name": "pods",
        "plugins": [{
            "type": "bridge", "bridge": "pods0", "isGateway": True, "ipMasq": False,
            "ipam": {
                "type": "host-local", "dataDir": str(home / "addresses"),
                "ranges": [[{"subnet": network.pods_of(number)}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    }))  # fmt: skip
    (home / "kubelet.json").write_text(json.dumps({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{socket_of(directory, number)}",
        "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{cgroup_of(directory)}/{name_of(number)}",
        "failCgroupV1": False, "failSwapOn": False,
        "enforceNodeAllocatable": [], "evictionHard": {"memory.available": "50Mi"},
        "podLogsDir": str(home / "logs"), "address": network.address_of(number),
        "healthzPort": 0, "nodeStatusUpdateFrequency": "2s", "syncFrequency": "10s",
        "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
        "resolvConf": "", "volumePluginDir": str(home / "plugins"),
        "registryPullQPS": 0, "eventRecordQPS": 0, "kubeAPIQPS": 100, "kubeAPIBurst": 200,
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "maxPods": 200, "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
        "featureGates": {"KubeletCrashLoopBackOffMax": True},
        "cpuManagerReconcilePeriod": "10s",
    }))  # fmt: skip
    (home / "proxy.json").write_text(json.dumps({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(directory / "proxy.kubeconfig")},
        "mode": "nftables", "hostnameOverride": name_of(number), "clusterCIDR": "10.78.0.0/16",
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"minSyncPeriod": "100ms"}, "metricsBindAddress": "127.0.0.1:10249",
        "healthzBindAddress": "127.0.0.1:10249",
    }))  # fmt: skip
    for hierarchy in _hierarchies():
        (hierarchy / cgroup_of(directory) / name_of(number)).mkdir(parents=True, exist_ok=True)
        if hierarchy.name == "cpuset":  # a new one of these is empty, and nothing may run in it
            for group in (
                hierarchy / cgroup_of(directory),
                hierarchy / cgroup_of(directory) / name_of(number),
            ):
                for setting in ("cpuset.cpus", "cpuset.mems"):
                    (group / setting).write_text((hierarchy / setting).read_text())
        for setting, weight in _WEIGHTS.items():  # else all pods together weigh as one process
            if (there := hierarchy / cgroup_of(directory) / setting).exists():
                there.write_text(weight)


def _snapshotter(home: Path) -> str:
    """overlayfs where this file system can carry one, else copies."""
    parts = [home / "try" / part for part in ("lower", "upper", "work", "merged")]
    for part in parts:
        part.mkdir(parents=True, exist_ok=True)
    lower, upper, work, merged = map(str, parts)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    done = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, merged],
        capture_output=True, timeout=10,
    )  # fmt: skip
    if done.returncode:
        return "native"
    subprocess.run(["umount", merged], check=True, timeout=10)
    return "overlayfs"


def _hierarchies() -> list[Path]:
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [path for path in _CGROUPS.iterdir() if path.is_dir() and path.name != "unified"]


def _groups(directory: Path) -> list[Path]:
    """Every cgroup of ours, the deepest first; runc makes them in all hierarchies."""
    return [
        Path(place)
        for hierarchy in (_CGROUPS, *(path for path in _CGROUPS.iterdir() if path.is_dir()))
        for place, _, _ in os.walk(hierarchy / cgroup_of(directory), topdown=False)
    ]


def empty(directory: Path) -> None:
    """Kill every container and its shim, unmount all, and remove the cgroups."""
    until = time.monotonic() + 30
    while (pids := _ours(directory)) and time.monotonic() < until:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    for place in sorted(mounts(directory), key=len, reverse=True):
        subprocess.run(["umount", "-l", place], capture_output=True, timeout=30)
    for group in _groups(directory):
        for _ in range(100):
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.02)


def _ours(directory: Path) -> set[int]:
    """The processes in our cgroups, and the shims of our containerds."""
    found: set[int] = set()
    for group in _groups(directory):
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            shim = words[0].rpartition(b"/")[2].startswith(b"containerd-shim")
            if shim and any(word.startswith(str(directory).encode()) for word in words):
                found.add(int(entry.name))
    return found


def mounts(directory: Path) -> list[str]:
    """Where something is mounted under that directory."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [place for line in lines if (place := line.split()[4]).startswith(f"{directory}/")]


def left(directory: Path) -> list[str]:
    """What of all nodes is still there."""
    groups = [str(group) for group in _groups(directory) if group.exists()]
    return [*groups, *mounts(directory), *map(str, _ours(directory))]
