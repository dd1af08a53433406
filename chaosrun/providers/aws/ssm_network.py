"""Instances whose packets are lost, late or gone: a ready-made script for Systems Manager."""

from __future__ import annotations

import ipaddress
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.network import has_reference
from chaosrun.providers.aws.ssm import OnInstances, Script
from chaosrun.units import JSON, SEEN_BY_OTHERS, Duration, Share

# A table, or chains, of our own: taking them away takes away nothing of anybody else's.
_DROP = """
set -u
name=chaosrun_$(basename "$(dirname "$0")" | cut -c1-16)
if command -v nft >/dev/null; then
  {{ echo "table inet $name {{"
    echo "chain out {{ type filter hook output priority 0; policy accept;"
{nft}
    echo "}}"
    echo "}}"; }} | nft -f -
elif command -v iptables >/dev/null; then
{iptables}
else
  echo "there is neither nft nor iptables"
  exit 1
fi
"""
# They are gone when they cannot be listed. But iptables' 4 is that others hold its lock: then it is
# not known, unless there is nft, which was used in its place.
_UNDO_DROP = """
name=chaosrun_$(basename "$(dirname "$0")" | cut -c1-16)
if nft=$(command -v nft); then
  nft delete table inet "$name" 2>/dev/null
  if nft list table inet "$name" >/dev/null 2>&1; then
    echo "nft still has the table $name"
    exit 1
  fi
fi
for tables in iptables ip6tables; do
  command -v $tables >/dev/null || continue
  while $tables -D OUTPUT -j "$name" 2>/dev/null; do :; done
  $tables -F "$name" 2>/dev/null && $tables -X "$name"
  $tables -S "$name" >/dev/null 2>&1
  case "$?$nft" in 0*|4)
    echo "$tables may still have the chain $name"
    exit 1
  esac
done
exit 0
"""
_SEEN_DROP = """
name=chaosrun_$(basename "$(dirname "$0")" | cut -c1-16)
if command -v nft >/dev/null; then
  rules=$(nft list table inet "$name") || exit 1
  echo "$(echo "$rules" | sed -n 's/.*counter packets \\([0-9]*\\).*/\\1/p' |
    awk '{{ n += $1 }} END {{ print n + 0 }}') packets dropped"
else
  iptables -S "$name" >/dev/null && echo "iptables drops"
fi
"""
# Four bands, of which only the last is ours and nothing gets there but by our filters.
_DELAY = """
set -u
device={device}
[ -n "$device" ] || device=$(ip -o route get {first} | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
case $(tc qdisc show dev "$device" root) in
  *" 0: root"*|"") ;; # the kernel's own, which comes back by itself
  *) echo "$device has a qdisc of somebody's; it could not be put back exactly"; exit 1 ;;
esac
echo "$device" >"$(dirname "$0")/device"
tc qdisc add dev "$device" root handle c4a0: prio bands 4 &&
  tc qdisc add dev "$device" parent c4a0:4 handle c4a1: netem {netem} || {{
    echo "this kernel cannot delay packets (sch_netem): install its extra modules"
    exit 1
  }}
{filters}
"""
_UNDO_DELAY = """
device=$(cat "$(dirname "$0")/device" 2>/dev/null) || exit 0
[ -e "/sys/class/net/$device" ] || exit 0 # it is gone, with all that was on it
case $(tc qdisc show dev "$device" root) in
  *"prio c4a0: root"*) tc qdisc del dev "$device" root ;;
esac
case $(tc qdisc show dev "$device" root || echo c4a0:) in *c4a0:*)
  echo "$device may still have our qdisc"
  exit 1
esac
exit 0
"""
_SEEN_DELAY = """
tc -s qdisc show dev "$(cat "$(dirname "$0")/device")" | grep -A1 "netem c4a1:" | tr '\\n' ' ' |
  grep netem
"""


class SsmNetwork(OnInstances, frozen=True, kw_only=True):
    """Delay, lose or drop what instances send, by Systems Manager; say to where.

    Drops and losses take nft or iptables there, delays the kernel's netem; what is missing is
    told, and nothing is left. Only packets that go out, to these networks and ports. What cuts
    off Systems Manager itself ends only at its deadline: so port 443 needs `to`.
    """

    name: ClassVar[str] = "aws.ssm-network"
    example: ClassVar[dict[str, JSON]] = {
        "target": {"tags": {"app": "checkout"}, "pick": "one"},
        "with": {"delay": "200ms", "jitter": "20ms", "to": ["10.0.3.0/24"], "ports": [5432]},
    }

    delay: Annotated[Duration | None, Meta(description="How much later packets go out")] = None
    jitter: Annotated[Duration, Meta(description="How much the delay varies")] = Duration(0)
    loss: Annotated[Share | None, Meta(description="The share of packets that are lost")] = None
    blackhole: Annotated[bool, Meta(description="Drop all of them")] = False
    to: Annotated[
        tuple[str, ...],
        Meta(description="Addresses or networks, in CIDR", extra={SEEN_BY_OTHERS: True}),
    ] = ()
    ports: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=65535)], ...],
        Meta(description="Ports there, of TCP and UDP"),
    ] = ()
    device: Annotated[
        str,
        Meta(description="The interface to delay on; else the one on the way there",
             pattern=r"^[A-Za-z0-9_.-]{0,15}$"),
    ] = ""  # fmt: skip

    def __post_init__(self) -> None:
        if [self.delay is not None, self.loss is not None, self.blackhole].count(True) != 1:
            raise ValueError("give one of delay, loss and blackhole")
        if not (self.to or self.ports):
            raise ValueError("say to where: `to`, `ports` or both")
        if 443 in self.ports and not self.to:
            raise ValueError("port 443 is also that of Systems Manager: say `to` where")
        if self.delay is not None and not self.delay:
            raise ValueError("a delay is longer than 0s")
        if self.loss is not None and self.loss.fraction == 0:
            raise ValueError("a loss is more than 0%")
        if self.jitter and self.delay is None:
            raise ValueError("jitter is of a delay")
        for network in self.to:
            if not has_reference(network):
                ipaddress.ip_network(network, strict=False)

    def script(self) -> Script:
        if self.delay is not None:
            return Script(run=self._delays(), undo=_UNDO_DELAY, seen=_SEEN_DELAY)
        return Script(run=self._drops(), undo=_UNDO_DROP, seen=_SEEN_DROP.format())

    def effect(self) -> str:
        share = f"{self.loss} are lost" if self.loss is not None else "are dropped"
        what = f"are {self.delay} late" if self.delay is not None else share
        ports = f" port {', '.join(map(str, self.ports))}" if self.ports else ""
        return f"packets to {', '.join(self.to) or 'anywhere'}{ports}: {what}"

    def _networks(self) -> list[tuple[int, str]]:
        """Each as its version and text; all of both when none is named."""
        found = [ipaddress.ip_network(one, strict=False) for one in self.to]
        return [(one.version, str(one)) for one in found] or [(4, ""), (6, "")]

    def _drops(self) -> str:
        nft, tables = [], ["  made="]
        ports = ",".join(map(str, self.ports))
        chance = self.loss.fraction if self.loss is not None else 1.0
        some = f"numgen random mod 10000 < {round(chance * 10000)} " if chance < 1 else ""
        share = f"-m statistic --mode random --probability {chance} " if chance < 1 else ""
        for version, network in self._networks():
            family, command = ("ip", "iptables") if version == 4 else ("ip6", "ip6tables")
            where = f"{family} daddr {network} " if network else ""
            if network or version == 4:  # without a network one rule is for both
                at = f"th dport {{ {ports} }} " if ports else ""
                only = "meta l4proto { tcp, udp } " if ports else ""
                nft.append(f'    echo "{where}{only}{at}{some}counter drop"')
            there = f"-d {network} " if network else ""
            protocols = [f"-p {p} -m multiport --dports {ports} " for p in ("tcp", "udp")]
            for protocol in protocols if ports else [""]:
                rule = f'-A "$name" {there}{protocol}{share}-j DROP'
                tables.append(
                    f'  command -v {command} >/dev/null && {{ {command} -N "$name" 2>/dev/null; '
                    f'{command} {rule} && made="$made {command}"; }}'
                )
        tables.append('  [ -n "$made" ] || exit 1')
        tables.append('  for one in $(echo "$made" | tr " " "\\n" | sort -u); do')
        tables.append('    $one -I OUTPUT -j "$name" || exit 1\n  done')
        return _DROP.format(nft="\n".join(nft), iptables="\n".join(tables))

    def _delays(self) -> str:
        assert self.delay is not None
        netem = f"delay {round(self.delay.seconds * 1e6)}us"
        if self.jitter:
            netem += f" {round(self.jitter.seconds * 1e6)}us"
        filters = []
        for version, network in self._networks():
            word, protocol = ("ip", "ip") if version == 4 else ("ip6", "ipv6")
            where = f"match {word} dst {network} " if network else ""
            for port in self.ports or (0,):
                at = f"match {word} dport {port} 0xffff " if port else ""
                filters.append(
                    f'tc filter add dev "$device" parent c4a0: protocol {protocol} '
                    f"prio {4 if version == 4 else 6} u32 {where}{at}flowid c4a0:4 || exit 1"
                )
        first = next((text for _, text in self._networks() if text), "0.0.0.0/0").split("/")[0]
        return _DELAY.format(
            device=self.device or '""', first="192.0.2.1" if first == "0.0.0.0" else first,
            netem=netem, filters="\n".join(filters),
        )  # fmt: skip
