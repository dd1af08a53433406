"""HTTP requests through a proxy that stands between two parts wait, fail or break off."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.mechanisms import http_proxy
from chaosrun.mechanisms.asked.requests import HarmedRequests
from chaosrun.network import has_reference, parse_address
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held, machine_target
from chaosrun.units import JSON


class Standing(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """A running proxy: `python -m chaosrun.mechanisms.http_proxy --listen ... --upstream ...`."""

    listen: Annotated[
        str, Meta(description="The address it listens on", examples=["127.0.0.1:8001"])
    ]

    def __post_init__(self) -> None:
        if not has_reference(self.listen):
            parse_address(self.listen)


class HttpProxy(Held, HarmedRequests, frozen=True, kw_only=True):
    """Harm the HTTP requests that pass through an Envoy which you run between two parts.

    Where host.http cannot bring connections to an Envoy of its own, for want of rights: a client is
    told the proxy's address instead of the service's, and nothing else is needed. Open connections
    are harmed too. One fault at a time; the proxy ends it at its deadline by its own clock.
    """

    name: ClassVar[str] = "host.http-proxy"
    example: ClassVar[dict[str, JSON]] = {
        "target": {"listen": "127.0.0.1:8001"},
        "with": {"paths": ["/api/*"], "delay": "500ms"},
    }

    target: Standing

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        listen = self.target.listen
        if not client.http_proxy_runs(listen):
            raise Refused(
                f"no HTTP proxy of ours listens on {listen}",
                hint="start one: python -m chaosrun.mechanisms.http_proxy "
                f"--listen {listen} --upstream ADDRESS",
            )
        meant = self.harm("", (), "out", ())
        return self.held(
            client,
            http_proxy.HttpProxy(listen=listen, requests=meant.requests, harmed=meant.harmed),
            target=machine_target("http-proxy", client, f"the proxy on {listen}", listen),
            effect=self.in_words(),
            way_back="the proxy passes all requests on again, at the deadline by its own clock",
            mechanism="Envoy's fault filter, in a proxy between the two",
        )
