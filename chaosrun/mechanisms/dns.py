"""Lookups of chosen names are answered wrongly, late or not at all; all others as always.

What goes to port 53 of the name servers is brought to a resolver of ours (redirect.py), which
passes on what is not meant. Law (L3): when that one is gone, lookups go their own way again,
within two seconds. Law (L6): it is seen by asking, as any program there would.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from chaosrun.codec import from_json
from chaosrun.errors import Refused
from chaosrun.mechanisms import redirect
from chaosrun.mechanisms.harm import Harm, Here, Seen
from chaosrun.mechanisms.redirect import Rule
from chaosrun.units import JSON

Kind = Literal["answer", "nxdomain", "servfail", "silent", "real"]
_ASKS_WITHIN = 1.0
_PORT = 53


class Dns(Harm, frozen=True, kw_only=True, tag="dns"):
    """Lookups at `servers` of `names` get an answer of that `kind`, `delay` seconds later.

    A name is `db.example`, `*.example` (all below it) or `*`. `addresses` and `ttl` are for
    `answer`; `real` is the right answer.
    """

    needs: ClassVar[tuple[str, ...]] = ("CAP_NET_ADMIN",)
    held_in = "network"

    names: tuple[str, ...]
    kind: Kind
    servers: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    ttl: int = 1
    delay: float = 0.0

    def apply(self, here: Here) -> None:
        if redirect.ports_in_place(here):
            return
        from chaosrun.mechanisms import resolver

        lie = {
            "names": self.names, "kind": self.kind, "addresses": self.addresses,
            "ttl": self.ttl, "delay": self.delay,
        }  # fmt: skip
        arguments = {
            "lies": [lie], "mark": redirect.PACKET_MARK, "upstreams": self.servers
        }  # fmt: skip
        words = [sys.executable, "-P", resolver.__file__, json.dumps(arguments)]
        said = redirect.start(here, words, [_PORT])
        try:
            ports: dict[str, tuple[int, int]] = from_json(said, dict[str, tuple[int, int]])
        except msgspec.DecodeError:
            raise Refused(f"the resolver did not start: {said}") from None
        rules: list[Rule] = []
        for server, (udp, tcp) in ports.items():
            rules.append(Rule(protocol="udp", port=_PORT, to=udp, address=server))
            rules.append(Rule(protocol="tcp", port=_PORT, to=tcp, address=server))
        redirect.bring(here, rules)
        redirect.forget(rules)

    def look(self, here: Here) -> Seen:
        ports = redirect.ports_in_place(here)
        if ports is None:
            return Seen(False, "lookups go their own way")
        if not ports:
            detail = "lookups go their own way again; an empty table of ours is left"
            return Seen(False, detail, left=True)
        began = time.monotonic()
        got = _ask(self.servers[0], self._asked(here), self.delay + _ASKS_WITHIN)
        took = time.monotonic() - began
        measured: dict[str, JSON] = {"answer": got, "seconds": round(took, 4)}
        there = self._is_ours(got) and took >= self.delay * 0.9
        return Seen(
            there,
            f"a lookup of {self._asked(here)} got {got} after {took:.3f} s",
            measured,
            left=True,
        )

    def release(self, here: Here) -> None:
        self.remove(here)  # so that no lookup is brought to a resolver that is gone

    def remove(self, here: Here) -> None:
        rules = [Rule(protocol="udp", port=_PORT, to=0, address=each) for each in self.servers]
        redirect.remove(here, rules)

    def _asked(self, here: Here) -> str:
        """A name that is meant. Where many are, one that nobody has."""
        first = self.names[0]
        return first.replace("*", f"chaosrun-{here.short}") if first != "*" else "localhost"

    def _is_ours(self, got: str) -> bool:
        match self.kind:
            case "answer":
                four = [each for each in self.addresses if ":" not in each]
                return got == (", ".join(sorted(four)) or "no address")
            case "silent":
                return got == "no answer"
            case "real":
                return True
        return got == self.kind


def _ask(server: str, name: str, within: float) -> str:
    """What a lookup of the IPv4 addresses of a name gets, in a few words."""
    from chaosrun.mechanisms import resolver

    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(within)
        try:
            sock.connect((server, _PORT))
            sock.send(resolver.question(name))
            return resolver.in_words(sock.recv(65535))
        except TimeoutError:
            return "no answer"
        except OSError as error:
            return error.strerror or type(error).__name__


def servers_of(path: str) -> list[str]:
    """The name servers in a resolv.conf(5), in their order."""
    found: list[str] = []
    with contextlib.suppress(OSError):
        for line in Path(path).read_text(errors="replace").splitlines():
            words = line.split()
            if len(words) > 1 and words[0] == "nameserver" and words[1] not in found:
                found.append(words[1].partition("%")[0])
    return found
