"""A network namespace for each node, and one with a bridge between them and this machine.

The bridge has a namespace of its own, since a container engine on this machine may filter what
its bridges pass on. Law: all names begin with `crk`, and `remove` takes away exactly those.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

HUB, BRIDGE, OURS = "crk-hub", "nodes0", "crk-host"
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
    ip("netns", "add", HUB)
    ip("-n", HUB, "link", "add", BRIDGE, "type", "bridge")
    ip("-n", HUB, "link", "set", BRIDGE, "up")
    ip("link", "add", OURS, "type", "veth", "peer", "name", "host", "netns", HUB)
    ip("-n", HUB, "link", "set", "host", "master", BRIDGE, "up")
    ip("addr", "add", f"{HOST}/24", "dev", OURS)
    ip("link", "set", OURS, "up")
    for number in range(1, nodes + 1):
        space, port = namespace_of(number), f"node-{number}"
        ip("netns", "add", space)
        ip("-n", HUB, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("-n", HUB, "link", "set", port, "master", BRIDGE, "up")
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
    for space in Path("/run/netns").glob("crk-*"):
        ip("netns", "del", space.name, check=False)
    for link in Path("/sys/class/net").glob("crk*"):
        ip("link", "del", link.name, check=False)


def left() -> list[str]:
    """What of it is still there."""
    spaces = [path.name for path in Path("/run/netns").glob("crk-*")]
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
