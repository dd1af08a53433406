"""Names are looked up in vain, wrongly or slowly, as when a name server is sick."""

from __future__ import annotations

import importlib.util
import ipaddress
import random
import re
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Hold, Permission
from chaosrun.mechanisms import dns
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held, machine_target
from chaosrun.providers.host.network_place import PERMISSIONS, NetworkPlace
from chaosrun.units import JSON, Duration

_NAME = re.compile(r"\*|(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")


class Dns(Held, frozen=True, kw_only=True):
    """Answer lookups of chosen names wrongly, late or not at all; all others as always.

    Lookups to port 53 of the place's name servers, by UDP and TCP, are brought to a resolver of
    ours, which asks the real one for all that is not meant. What was looked up before stays in
    caches of programs for as long as they like. Encrypted lookups (DoT, DoH) are not touched, and
    lookups in /etc/hosts never ask anybody. When our resolver is gone, however that came, lookups
    go their own way again within two seconds.
    """

    name: ClassVar[str] = "host.dns"
    permissions: ClassVar[tuple[Permission, ...]] = PERMISSIONS
    example: ClassVar[dict[str, JSON]] = {
        "with": {"names": ["db.shop.example", "*.cache.example"], "answer": "nxdomain"}
    }

    target: NetworkPlace = NetworkPlace()
    names: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description="Which names: whole ones, `*.example.org` for all below one, `*` for all",
            examples=[["db.shop.example", "*.cache.example"]],
        ),
    ]
    answer: Annotated[
        Literal["nxdomain", "servfail", "silent", "real"] | tuple[str, ...],
        Meta(
            description="nxdomain: no such name; servfail: the server failed; silent: no answer; "
            "real: the right one; or a list of addresses to give instead",
            examples=["nxdomain", ["127.0.0.1", "::1"]],
        ),
    ] = "real"
    delay: Annotated[Duration, Meta(description="How much later it is answered")] = Duration(0)
    ttl: Annotated[
        Duration, Meta(description="How long wrong addresses may be kept, in whole seconds")
    ] = Duration(1)
    servers: Annotated[
        tuple[str, ...],
        Meta(description="Addresses of name servers; those in resolv.conf when not given"),
    ] = ()

    def __post_init__(self) -> None:
        for name in self.names:
            if not _NAME.fullmatch(name.lower().rstrip(".")):
                raise ValueError(
                    f"{name!r} is not a name such as db.example, *.example or * (in punycode)"
                )
        for address in (*self.servers, *(self.answer if isinstance(self.answer, tuple) else ())):
            try:
                ipaddress.ip_address(address)
            except ValueError:
                raise ValueError(f"{address!r} is not an IP address") from None
        if self.answer == ():
            raise ValueError("say which addresses to give")
        if self.answer == "real" and not self.delay:
            raise ValueError("say what harm: answer, or delay")

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        if importlib.util.find_spec("dnslib") is None:
            raise Refused(
                "host.dns needs dnslib, not installed",
                hint="pip install 'chaosrun[dns-faults]'",
                code="missing-extra",
            )
        inside, used = self.target.found(client)
        servers = self.servers or self._servers(client, self.target.resolv_conf(client, inside))
        lies = isinstance(self.answer, tuple)
        harm = dns.Dns(
            names=tuple(name.lower().rstrip(".") for name in self.names),
            kind="answer" if isinstance(self.answer, tuple) else self.answer,
            addresses=self.answer if isinstance(self.answer, tuple) else (),
            servers=servers,
            ttl=int(self.ttl.seconds),
            delay=self.delay.seconds,
        )
        words = f"get {', '.join(harm.addresses)}" if lies else _WORDS[harm.kind]
        later = f", {self.delay} later" if self.delay else ""
        return self.held(
            client,
            harm,
            target=machine_target(
                "lookups", client, f"lookups of {self.target}", inside.network or "here"
            ),
            inside=inside,
            effect=f"lookups of {', '.join(harm.names)} {words}{later}",
            way_back="lookups are no longer brought to our resolver, and it ends",
            mechanism=f"nftables redirect of port 53 of {', '.join(servers)}",
            used=used,
        )

    @staticmethod
    def _servers(client: Host, files: list[str]) -> tuple[str, ...]:
        found = dict.fromkeys(each for path in files for each in client.name_servers(path))
        if not found:
            raise Refused(
                f"{files[0]} names no name server", hint="say which ones: servers: [10.0.0.2]"
            )
        return tuple(found)


_WORDS: dict[dns.Kind, str] = {
    "nxdomain": "find no such name",
    "servfail": "fail",
    "silent": "get no answer",
    "real": "are answered",
}
