"""Which lookups of names a person means, and what is to be answered."""

from __future__ import annotations

import importlib.util
import ipaddress
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.mechanisms import dns
from chaosrun.units import Duration

_NAME = re.compile(r"\*|(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")


class Lookups(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True,
    rename="camel",
):  # fmt: skip
    """Lookups of chosen names, and what becomes of them."""

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

    def harm(self, servers: tuple[str, ...]) -> dns.Dns:
        """The harm, where these name servers are asked. Raises Refused."""
        if importlib.util.find_spec("dnslib") is None:
            raise Refused(
                "faults of lookups need dnslib, not installed",
                hint="pip install 'chaosrun[dns-faults]'",
                code="missing-extra",
            )
        return dns.Dns(
            names=tuple(name.lower().rstrip(".") for name in self.names),
            kind="answer" if isinstance(self.answer, tuple) else self.answer,
            addresses=self.answer if isinstance(self.answer, tuple) else (),
            servers=servers,
            ttl=int(self.ttl.seconds),
            delay=self.delay.seconds,
        )

    def in_words(self, harm: dns.Dns) -> str:
        """What happens, for a plan."""
        lies = isinstance(self.answer, tuple)
        words = f"get {', '.join(harm.addresses)}" if lies else _WORDS[harm.kind]
        later = f", {self.delay} later" if self.delay else ""
        return f"lookups of {', '.join(harm.names)} {words}{later}"


_WORDS: dict[dns.Kind, str] = {
    "nxdomain": "find no such name",
    "servfail": "fail",
    "silent": "get no answer",
    "real": "are answered",
}
