"""Which HTTP requests a person means, and what is to happen to them."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chaosrun.mechanisms import http
from chaosrun.mechanisms.asked.packets import Port
from chaosrun.mechanisms.envoy import Harmed, Requests
from chaosrun.units import Duration, Share

_METHOD = re.compile(r"[A-Z-]{1,32}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")  # RFC 9110, token


Ports = Annotated[
    tuple[Port, ...],
    Meta(min_length=1, description="The TCP ports connected to", examples=[[8080]]),
]
Side = Annotated[
    Literal["in", "out", "both"],
    Meta(
        description="in: connections that come from elsewhere to this place; out: those that "
        "programs here make, also to this place itself"
    ),
]
Addresses = Annotated[
    tuple[str, ...],
    Meta(
        description="The addresses or CIDRs connected to; any when not given",
        examples=[["10.0.0.7"]],
    ),
]


def check_addresses(addresses: tuple[str, ...]) -> None:
    """Raise ValueError unless each is an address or a CIDR."""
    for each in addresses:
        try:
            ipaddress.ip_network(each)
        except ValueError as error:
            raise ValueError(f"{each!r} is not an address or a CIDR: {error}") from None


class HarmedRequests(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True,
    rename="camel",
):  # fmt: skip
    """HTTP requests, and what becomes of them."""

    delay: Annotated[Duration, Meta(description="How much later they are passed on")] = Duration(0)
    status: (
        Annotated[
            int,
            Meta(ge=200, le=599, description="The status that is answered instead of asking"),
        ]
        | None
    ) = None
    abort: Annotated[
        bool,
        Meta(description="The answer breaks off: a good head comes, and then the connection ends"),
    ] = False
    methods: Annotated[
        tuple[str, ...], Meta(description="Only these methods", examples=[["GET", "HEAD"]])
    ] = ()
    paths: Annotated[
        tuple[str, ...],
        Meta(
            description="Only these paths, without the query; with * at the end: all that begin so",
            examples=[["/api/orders", "/static/*"]],
        ),
    ] = ()
    headers: Annotated[
        dict[str, str],
        Meta(
            description="Only with these headers and values; * is any value",
            examples=[{"x-user": "test"}],
        ),
    ] = {}
    share: Annotated[Share, Meta(description="Only as many of them, by chance")] = Share(1)

    def __post_init__(self) -> None:
        if not (self.delay or self.status or self.abort):
            raise ValueError("say what harm: delay, status or abort")
        if self.status and self.abort:
            raise ValueError("an answer has a status or breaks off, not both")
        if self.share.fraction == 0:
            raise ValueError("a share of 0% of requests does nothing")
        for method in self.methods:
            if not _METHOD.fullmatch(method):
                raise ValueError(f"{method!r} is not a method such as GET")
        for path in self.paths:
            if not path.startswith("/") or "*" in path[:-1] or "?" in path:
                raise ValueError(f"{path!r} is not a path such as /orders or /api/*")
        for name in self.headers:
            if not _HEADER.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a header")

    def harm(
        self, program: str, ports: tuple[int, ...], side: Side, addresses: tuple[str, ...]
    ) -> http.Http:
        """The harm on connections to these ports, by that Envoy."""
        return http.Http(
            program=program,
            ports=tuple(sorted(set(ports))),
            addresses=addresses,
            incoming=side in ("in", "both"),
            outgoing=side in ("out", "both"),
            requests=Requests(
                methods=self.methods, paths=self.paths, headers=self.headers,
                share=self.share.fraction,
            ),
            harmed=Harmed(
                delay=self.delay.seconds, status=self.status or 0, abort=self.abort
            ),
        )  # fmt: skip

    def in_words(self) -> str:
        """What happens, for a plan."""
        which = [" or ".join(self.methods) or "all", "requests"]
        which += [f"for {' or '.join(self.paths)}"] if self.paths else []
        which += [f"with {' and '.join(self.headers)}"] if self.headers else []
        if self.share < Share(1):
            which.insert(0, f"{self.share} of")
        does = [f"wait {self.delay}"] if self.delay else []
        does += [f"get status {self.status}"] if self.status else []
        does += ["get an answer that breaks off"] if self.abort else []
        return f"{' '.join(which)} {' and '.join(does)}"
