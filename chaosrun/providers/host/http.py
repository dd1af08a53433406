"""HTTP requests wait, fail or break off, as when a service is sick, and no proxy must be put up."""

from __future__ import annotations

import ipaddress
import random
import re
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from chaosrun.fault import Hold, Permission
from chaosrun.mechanisms import http
from chaosrun.mechanisms.envoy import Harmed, Requests
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held, machine_target
from chaosrun.providers.host.network_place import PERMISSIONS, NetworkPlace
from chaosrun.units import JSON, Duration, Share

_METHOD = re.compile(r"[A-Z-]{1,32}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")  # RFC 9110, token
Port = Annotated[int, Meta(ge=1, le=65535)]


class Traffic(
    NetworkPlace,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """Connections of one place to TCP ports that speak HTTP without TLS."""

    ports: Annotated[
        tuple[Port, ...],
        Meta(min_length=1, description="The TCP ports connected to", examples=[[8080]]),
    ]
    direction: Annotated[
        Literal["in", "out", "both"],
        Meta(
            description="in: connections that come from elsewhere to this place; out: those that "
            "programs here make, also to this place itself"
        ),
    ] = "out"
    addresses: Annotated[
        tuple[str, ...],
        Meta(
            description="The addresses or CIDRs connected to; any when not given",
            examples=[["10.0.0.7"]],
        ),
    ] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for each in self.addresses:
            try:
                ipaddress.ip_network(each)
            except ValueError as error:
                raise ValueError(f"{each!r} is not an address or a CIDR: {error}") from None


class Http(Held, frozen=True, kw_only=True):
    """Delay, fail or break off HTTP requests to chosen ports, by Envoy's fault filter.

    New connections to these ports are brought to an Envoy of ours by nftables; it passes on all
    that is not meant, to where it was going, from an address of this machine. Connections that were
    open before keep their way, so clients that keep connections are harmed when they make new
    ones.
    Only plain HTTP (1.0, 1.1 and 2) may run on these ports: TLS would break. When Envoy is gone,
    however that came, new connections go their own way within two seconds.
    """

    name: ClassVar[str] = "host.http"
    permissions: ClassVar[tuple[Permission, ...]] = PERMISSIONS
    example: ClassVar[dict[str, JSON]] = {
        "target": {"ports": [8080]},
        "with": {"paths": ["/api/orders*"], "methods": ["POST"], "share": "20%", "status": 503},
    }

    target: Traffic
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

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        program = client.envoy()
        inside, used = self.target.found(client)
        harm = http.Http(
            program=program,
            ports=tuple(sorted(set(self.target.ports))),
            addresses=self.target.addresses,
            incoming=self.target.direction in ("in", "both"),
            outgoing=self.target.direction in ("out", "both"),
            requests=Requests(
                methods=self.methods, paths=self.paths, headers=self.headers,
                share=self.share.fraction,
            ),
            harmed=Harmed(
                delay=self.delay.seconds, status=self.status or 0, abort=self.abort
            ),
        )  # fmt: skip
        ports = ", ".join(map(str, harm.ports))
        return self.held(
            client,
            harm,
            targets=tuple(
                machine_target(
                    "http-port", client, f"port {port} of {self.target}",
                    f"{port}.{inside.network or 'here'}",
                )
                for port in harm.ports
            ),
            inside=inside,
            effect=self._in_words(),
            way_back="connections are no longer brought to Envoy, and it ends",
            mechanism=f"Envoy's fault filter, by nftables redirect of port {ports}",
            used=used,
        )  # fmt: skip

    def _in_words(self) -> str:
        which = [" or ".join(self.methods) or "all", "requests"]
        which += [f"for {' or '.join(self.paths)}"] if self.paths else []
        which += [f"with {' and '.join(self.headers)}"] if self.headers else []
        if self.share < Share(1):
            which.insert(0, f"{self.share} of")
        does = [f"wait {self.delay}"] if self.delay else []
        does += [f"get status {self.status}"] if self.status else []
        does += ["get an answer that breaks off"] if self.abort else []
        return f"{' '.join(which)} {' and '.join(does)}"
