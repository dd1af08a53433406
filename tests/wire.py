"""Two hosts on one wire: network namespaces with a pair of veth, and real sockets in each.

Nothing of the machine's own network is touched; what is sent is bounded in count and in time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Literal

import pytest

from chaosrun.mechanisms import kernel
from chaosrun.units import JSON

Side = Literal["a", "b"]
_NEW_NETWORK = 0x40000000
_WITHIN = 20.0
_NEXT = "--next--"
_HELLO, _BYE = b"hello", b"bye"
_RECEIVE_BUFFER_FORCE = 33  # SO_RCVBUFFORCE, socket(7)


def sh(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=_WITHIN)
    assert not done.returncode, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


def need_namespaces() -> None:
    """Skip where no network namespace can be made."""
    missing = [name for name in ("ip", "tc", "nft") if not shutil.which(name)]
    if os.geteuid() or missing:
        pytest.skip("needs root and: apt-get install iproute2 nftables")


def offered(*names: str) -> list[str]:
    """Those of the mechanisms that this kernel has; all of them where it cannot be known."""
    found = kernel.offers()
    return list(names) if found.unknown else [name for name in names if name in found.mechanisms]


class TwoHosts:
    """Hosts a and b. `a` is where harm is done."""

    def __init__(self) -> None:
        number = uuid.uuid4().hex[:6]
        self.names = {"a": f"cr-{number}-a", "b": f"cr-{number}-b"}
        self.four = {"a": "10.77.0.1", "b": "10.77.0.2"}
        self.six = {"a": "fd77::1", "b": "fd77::2"}
        self.other_four, self.other_six = "10.77.0.3", "fd77::3"
        """A second peer, at host b too."""

    def __enter__(self) -> TwoHosts:
        need_namespaces()
        self._cleanup = contextlib.ExitStack()
        a, b = self.names["a"], self.names["b"]
        for name in (a, b):
            sh("ip", "netns", "add", name)
            self._cleanup.callback(sh, "ip", "netns", "del", name)
        sh("ip", "-n", a, "link", "add", "e0", "type", "veth", "peer", "name", "e0", "netns", b)
        for side, name in self.names.items():
            sh("ip", "-n", name, "link", "set", "e0", "addrgenmode", "none")
            for device in ("lo", "e0"):
                sh("ip", "-n", name, "link", "set", device, "up")
            addresses = [f"{self.four[side]}/24", f"{self.six[side]}/64"]
            if side == "b":
                addresses += [f"{self.other_four}/24", f"{self.other_six}/64"]
            for address in addresses:
                sh("ip", "-n", name, "addr", "add", address, "dev", "e0",
                   *(("nodad",) if ":" in address else ()))  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def exec(self, side: Side, *words: str) -> str:
        return sh("ip", "netns", "exec", self.names[side], *words)

    def state(self, side: Side = "a") -> dict[str, JSON]:
        """All that a fault may change in a host's network, without what only counts."""
        shown = {
            "links": "ip -br link", "addresses": "ip -o addr", "rules": "ip rule",
            "rules6": "ip -6 rule", "routes": "ip route show table all",
            "routes6": "ip -6 route show table all", "qdiscs": "tc qdisc show",
            "ingress": "tc filter show dev e0 ingress", "filters": "tc filter show dev e0",
            "classes": "tc class show dev e0", "tables": "nft list ruleset",
        }  # fmt: skip
        script = "; ".join(f"{words} || exit 1; echo {_NEXT}" for words in shown.values())
        parts = self.exec(side, "sh", "-c", script).split(f"{_NEXT}\n")
        return dict(zip(shown, parts, strict=False))

    @contextlib.contextmanager
    def on(self, side: Side) -> Iterator[None]:
        """Sockets that this thread opens meanwhile are that host's."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as own:
            with open(f"/run/netns/{self.names[side]}") as there:
                assert libc.setns(there.fileno(), _NEW_NETWORK) == 0
            try:
                yield
            finally:
                assert libc.setns(own.fileno(), _NEW_NETWORK) == 0

    def _udp(self, side: Side, address: str, port: int = 0) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.on(side):
            sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, 16 * 2**20)
        sock.bind((address, port))
        return sock

    def round_trips(
        self,
        count: int = 20,
        *,
        to: str = "",
        port: int = 0,
        within: float = 2.0,
        pause: float = 0.0,
    ) -> list[float]:
        """Round trips of datagrams from a to b, one after another; lost ones are not there."""
        to = to or self.four["b"]
        found: list[float] = []
        with (
            self._udp("b", to, port) as there,
            self._udp("a", self.six["a"] if ":" in to else self.four["a"]) as here,
        ):
            stop = threading.Event()
            there.settimeout(0.05)
            here.settimeout(within)
            echo = threading.Thread(target=_echo, args=(there, stop))
            echo.start()
            try:
                for number in range(count):
                    time.sleep(pause)  # so that processors fall asleep as they do while it waits
                    began = time.perf_counter()
                    with contextlib.suppress(TimeoutError, PermissionError):
                        here.sendto(b"%d" % number, there.getsockname()[:2])
                        while here.recv(64) != b"%d" % number:
                            pass
                        found.append(time.perf_counter() - began)
            finally:
                stop.set()
                echo.join()
        return found

    def round_trip(self, *, to: str = "", port: int = 0) -> float:
        """The quickest of some, in seconds; infinite when none came back. A delay is a lower
        bound, and a machine that is busy only makes it longer."""
        return min(self.round_trips(7, to=to, port=port, within=5), default=float("inf"))

    def arrived(
        self, count: int, *, to: str = "", back: bool = False, size: int = 64
    ) -> list[bytes]:
        """What arrives of that many numbered datagrams, from a to b, or back."""
        source, sink = ("b", "a") if back else ("a", "b")
        addresses = self.six if ":" in to else self.four
        found: list[bytes] = []
        with (
            self._udp("b" if sink == "b" else "a", addresses[sink]) as there,
            self._udp("a" if source == "a" else "b", addresses[source]) as here,
        ):
            there.settimeout(0.1)
            # Until they know each other: the first packets wait for that, and where packets are
            # lost so are the questions for an address, which are asked anew each second only.
            for _ in range(50):
                with contextlib.suppress(TimeoutError, PermissionError):
                    here.sendto(_HELLO, there.getsockname()[:2])
                    there.recv(64)
                    break
            for number in range(count):
                with contextlib.suppress(PermissionError):  # dropped where it was sent
                    here.sendto(b"%08d" % number + bytes(size - 8), there.getsockname()[:2])
                if number % 50 == 49:  # so that no buffer on the way overflows
                    time.sleep(0.002)
            for _ in range(20):  # until a last word arrives: silence alone may be a busy machine
                with contextlib.suppress(TimeoutError, PermissionError):
                    here.sendto(_BYE, there.getsockname()[:2])
                    while _BYE not in found[-1:]:
                        found.append(there.recv(2048))
                    break
            there.settimeout(1.0)
            with contextlib.suppress(TimeoutError):  # what the last word has overtaken
                while True:
                    found.append(there.recv(2048))
        return [packet for packet in found if packet not in (_HELLO, _BYE)]

    def transfer(self, size: int, *, back: bool = False) -> float:
        """Bytes per second of a TCP connection from a to b, or back."""
        with self.on("b"):
            listener = socket.create_server((self.four["b"], 0))
        with listener:
            with self.on("a"):
                here = socket.create_connection(listener.getsockname(), timeout=_WITHIN)
            there = listener.accept()[0]
        with here, there:
            there.settimeout(_WITHIN)
            source, sink = (there, here) if back else (here, there)
            thread = threading.Thread(target=_send, args=(source, size))
            began = time.perf_counter()
            thread.start()
            left = size
            while left > 0:
                left -= len(sink.recv(1 << 20))
            seconds = time.perf_counter() - began
            thread.join()
        return size / seconds


def _send(source: socket.socket, size: int) -> None:
    source.sendall(bytes(size))


def _echo(there: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(TimeoutError, PermissionError):
            said, sender = there.recvfrom(2048)
            there.sendto(said, sender)
