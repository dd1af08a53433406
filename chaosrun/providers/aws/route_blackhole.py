"""A route is taken out of a route table, so that what it led to cannot be reached."""

from __future__ import annotations

import random
from ipaddress import ip_network
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission
from chaosrun.network import has_reference
from chaosrun.providers.aws import marks
from chaosrun.providers.aws.access import (
    MARK_KEY,
    Access,
    access_of,
    belonging,
    iam,
    labels_of,
    undo,
)
from chaosrun.providers.aws.client import Aws
from chaosrun.targeting import Target
from chaosrun.units import JSON

_TO = ("DestinationCidrBlock", "DestinationIpv6CidrBlock")
_BY = (
    "GatewayId", "NatGatewayId", "TransitGatewayId", "VpcPeeringConnectionId",
    "NetworkInterfaceId", "EgressOnlyInternetGatewayId", "LocalGatewayId", "CarrierGatewayId",
    "CoreNetworkArn",
)  # fmt: skip


class Route(Access, frozen=True, kw_only=True):
    """One route of a route table."""

    table: Annotated[str, Meta(description="The id or ARN of the route table", min_length=1)]
    destination: Annotated[
        str, Meta(description="The route's destination", examples=["0.0.0.0/0", "10.9.0.0/16"])
    ]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not has_reference(self.destination):
            ip_network(self.destination)


class RouteBlackhole(Fault[Aws], frozen=True, kw_only=True):
    """Take a route away, and put it back when the hold ends.

    Every subnet of the route table is affected. Refused where another route covers the same
    destination, for traffic would go that way; and where the route is not one that a person made.
    """

    name: ClassVar[str] = "aws.route-blackhole"
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "ec2:DescribeRouteTables",
        "ec2:DeleteRoute",
        "ec2:CreateRoute",
        "ec2:CreateTags",
        "ec2:DeleteTags",
    )
    example: ClassVar[dict[str, JSON]] = {
        "target": {"table": "rtb-0a1b2c3d4e5f60718", "destination": "0.0.0.0/0"}
    }

    target: Route

    def plan(self, client: Aws, rng: random.Random) -> Hold:  # noqa: ARG002
        access = client.settle(self.target.access())
        table_id, wanted = access.named(self.target.table), self.target.destination
        table = _table(client, access, table_id)
        route = _route(table, wanted)
        if route is None:
            raise Refused(f"{table_id} has no route to {wanted}")
        if route.get("Origin") != "CreateRoute" or route.get("GatewayId") == "local":
            raise Refused(f"the route to {wanted} is not one that can be made again")
        by = {key: route[key] for key in _BY if route.get(key)}
        if "NetworkInterfaceId" in by:  # one of an instance is made by its interface alone
            by = {"NetworkInterfaceId": by["NetworkInterfaceId"]}
        if len(by) != 1 or by.get("GatewayId", "").startswith("vpce-"):
            raise Refused(f"the route to {wanted} is not one that can be made again")
        if other := _covering(table, wanted):
            raise Refused(f"traffic to {wanted} would take the route to {other}")
        return Hold(
            fault=self.name,
            targets=(
                Target(
                    kind="route",
                    id=f"{table_id}/{wanted}",
                    name=wanted,
                    undo=by,
                    labels=labels_of(table.get("Tags", ())),
                    groups=belonging(access, zone=""),
                ),
            ),
            population=len([one for one in table["Routes"] if one.get("GatewayId") != "local"]),
            effect=f"{wanted} cannot be reached",
            undo=undo(access, table=table_id, to=_key(route)),
            way_back="chaosrun makes the route again",
            mechanism="DeleteRoute",
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        table = _table(client, access_of(hold), hold.undo["table"])
        if (route := _route(table, hold.targets[0].name)) is None:
            return
        if not _same(route, hold):
            raise Refused("the route was changed since it was planned")
        marks.put(hold, client, [hold.undo["table"]])
        client.call(
            access_of(hold), "ec2", "delete_route",
            RouteTableId=hold.undo["table"], **{hold.undo["to"]: hold.targets[0].name},
        )  # fmt: skip

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        (target,) = hold.targets
        table = _table(client, access_of(hold), hold.undo["table"])
        if _route(table, target.name) is None:
            client.call(
                access_of(hold), "ec2", "create_route",
                RouteTableId=hold.undo["table"], **{hold.undo["to"]: target.name}, **target.undo,
            )  # fmt: skip
        if _marked(table, hold):
            marks.take(hold, client, [hold.undo["table"]])

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        gone = _route(_table(client, access_of(hold), hold.undo["table"]), hold.targets[0].name)
        return Evidence(gone is None, "the route is gone" if gone is None else "the route is there")

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        table = _table(client, access_of(hold), hold.undo["table"])
        route = _route(table, hold.targets[0].name)
        if route is None:
            return Evidence(False, "the route is gone")
        if not _same(route, hold):
            return Evidence(False, "the route is another than before")
        if _marked(table, hold):
            return Evidence(False, "the route is there; the table is still tagged")
        return Evidence(True, f"the route is there, and {route.get('State', 'active')}")


def _table(client: Aws, access: Access, table: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = client.pages(
        access, "ec2", "describe_route_tables", "RouteTables", RouteTableIds=[table]
    )
    return found[0]


def _key(route: dict[str, Any]) -> str:
    return next(key for key in _TO if key in route)


def _route(table: dict[str, Any], destination: str) -> dict[str, Any] | None:
    for route in table["Routes"]:
        if destination in (route.get(key) for key in _TO):
            found: dict[str, Any] = route
            return found
    return None


def _same(route: dict[str, Any], hold: Hold) -> bool:
    return all(route.get(key) == value for key, value in hold.targets[0].undo.items())


def _marked(table: dict[str, Any], hold: Hold) -> bool:
    return {"Key": MARK_KEY, "Value": marks.value(hold)} in table.get("Tags", ())


def _covering(table: dict[str, Any], destination: str) -> str:
    """Another route that would take the traffic, or nothing."""
    wanted = ip_network(destination)
    others = [one[key] for one in table["Routes"] for key in _TO if key in one]
    for other in sorted(set(others) - {destination}):
        network = ip_network(other)
        if network.version == wanted.version and wanted.subnet_of(network):  # type: ignore[arg-type]
            return str(other)
    return ""
