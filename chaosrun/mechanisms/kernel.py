"""What this kernel offers to network faults, found by trying.

Law: tried in a network namespace that is made for it and is gone a moment later, so nothing
here is touched; what was not seen to work is not offered.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import msgspec

from chaosrun.errors import ChaosrunError
from chaosrun.mechanisms import tools
from chaosrun.mechanisms.tools import Failed

_TRIALS = {
    "netem": "tc qdisc add dev left root netem delay 1ms && tc qdisc del dev left root",
    "tbf": "tc qdisc add dev left root tbf rate 1mbit burst 16k latency 50ms && "
    "tc qdisc del dev left root",
    "prio": "tc qdisc add dev left root prio bands 4 && tc qdisc del dev left root",
    "htb": "tc qdisc add dev left root htb default 0 && tc qdisc del dev left root",
    # Its module makes two devices when it is loaded, unless it is told to make none.
    "ifb": "{ test -d /sys/module/ifb || modprobe ifb numifbs=0; true; } && "
    "ip link add middle type ifb && tc qdisc add dev left ingress && "
    "tc filter add dev left parent ffff: protocol ip u32 match u32 0 0 "
    "action mirred egress redirect dev middle",
    "nftables": "printf 'table inet t {\\nset s { type ipv4_addr; flags interval, timeout; }\\n"
    "chain c {\\ntype filter hook input priority -310;\\nip saddr @s counter drop\\n}\\n}\\n'"
    " | nft -f -",
    "numgen": "nft add table inet n && nft add chain inet n c && "
    "nft add rule inet n c numgen random mod 100 '<' 5 drop",
    "redirect": "nft add table inet r && nft add chain inet r c "
    "'{ type nat hook output priority 0; }' && "
    "nft add rule inet r c tcp dport 80 redirect to :81",
    "tproxy": "nft add table inet p && nft add chain inet p c "
    "'{ type filter hook prerouting priority -150; }' && "
    "nft add rule inet p c meta l4proto tcp tproxy to :81",
    "tun": "ip tuntap add mode tun name t",
    "rules": "ip rule add pref 9 iif lo to 10.0.0.0/8 ipproto tcp dport 80 lookup 77 && "
    "ip route add throw 10.0.0.0/8 table 77",
}


TRIED = frozenset(_TRIALS)
"""What is tried. Who has known of less knows nothing of the rest."""


class Offers(msgspec.Struct, frozen=True, kw_only=True):
    """What works, and why nothing is known where it could not be tried."""

    works: frozenset[str] = frozenset()
    unknown: str = ""
    hint: str = ""

    @property
    def mechanisms(self) -> list[str]:
        """The mechanisms of network faults that it has, the best first."""
        found = {
            "netem": {"netem"} <= self.works,
            "tbf": {"tbf"} <= self.works,
            "nftables": {"nftables", "numgen"} <= self.works,
            "tun": {"tun", "rules"} <= self.works,
        }
        return [name for name, works in found.items() if works]

    def __str__(self) -> str:
        """In words, for `doctor` and for who is refused."""
        if self.unknown:
            return f"unknown: {self.unknown}"
        missing = sorted(set(_TRIALS) - self.works)
        said = f"{', '.join(self.mechanisms) or 'no mechanism'}"
        return f"{said} (without {', '.join(missing)})" if missing else said


@cache
def offers() -> Offers:
    """What this kernel offers. Takes a moment; tried once in a process."""
    script = ["ip link add left type veth peer name right || ip link add left type dummy"]
    script += [f"( {trial} ) >/dev/null 2>&1 && echo {name}" for name, trial in _TRIALS.items()]
    try:
        said = tools.run(["unshare", "--net", "sh", "-c", "\n".join([*script, "true"])])
    except Failed:
        hint = "it takes CAP_SYS_ADMIN and CAP_NET_ADMIN: run as root"
        return Offers(unknown="no network namespace can be made to try it in", hint=hint)
    except ChaosrunError as error:
        return Offers(unknown=str(error), hint=error.hint)
    return Offers(works=frozenset(said.split()))


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """Which kernel this is, since which start of it, and what it offers."""

    version: str
    boot: str
    offers: Offers


def here() -> Kernel:
    """The kernel on which this process runs; in a sandbox that is not the machine's."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return Kernel(version=os.uname().release, boot=boot, offers=offers())
