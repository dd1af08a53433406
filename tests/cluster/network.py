"""A bridge on this machine and a network namespace for each node, with veth pairs between.

Law: all names begin with `crk`, and `remove` takes away exactly those.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

BRIDGE = "crk0"
HOST = "10.77.0.1"
SERVICES = "10.79.0.0/24"
KUBERNETES_SERVICE = "10.79.0.1"


def namespace_of(number: int) -> str:
    return f"crk-node-{number}"


def address_of(number: int) -> str:
    return f"10.77.0.{10 + number}"


def pods_of(number: int) -> str:
    return f"10.78.{number}.0/24"


def make(nodes: int) -> None:
    """Nodes see one another and this machine; pods see all pods, by routes alone."""
    ip("link", "add", BRIDGE, "type", "bridge")
    ip("addr", "add", f"{HOST}/24", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")
    for number in range(1, nodes + 1):
        space, outside = namespace_of(number), f"crk-veth-{number}"
        ip("netns", "add", space)
        ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("link", "set", outside, "master", BRIDGE, "up")
        ip("-n", space, "link", "set", "lo", "up")
        ip("-n", space, "addr", "add", f"{address_of(number)}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        ip("-n", space, "route", "add", "default", "via", HOST)
        inside(space, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        for other in range(1, nodes + 1):
            if other != number:
                ip("-n", space, "route", "add", pods_of(other), "via", address_of(other))
        ip("route", "add", pods_of(number), "via", address_of(number))


def remove() -> None:
    """Whatever of it is there."""
    for space in Path("/run/netns").glob("crk-node-*"):
        ip("netns", "del", space.name, check=False)
    for link in Path("/sys/class/net").glob("crk*"):
        ip("link", "del", link.name, check=False)


def left() -> list[str]:
    """What of it is still there."""
    spaces = [path.name for path in Path("/run/netns").glob("crk-node-*")]
    return spaces + [path.name for path in Path("/sys/class/net").glob("crk*")]


def inside(space: str, *words: str) -> None:
    subprocess.run(
        ["nsenter", f"--net=/run/netns/{space}", *words],
        check=True,
        capture_output=True,
        timeout=10,
    )


def ip(*words: str, check: bool = True) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=10)
    if check and done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
