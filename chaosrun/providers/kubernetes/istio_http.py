"""Requests through Istio are late or fail: the fault of a VirtualService's routes.

Law: only a route that had no fault gets ours, and only ours is taken from it. What Istio makes
of it is Istio's to say (istio_status.py); where it says nothing, the evidence says that.
"""

from __future__ import annotations

import random
from typing import Annotated, Any, ClassVar

from msgspec import Meta
from msgspec.structs import replace

from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold
from chaosrun.providers.kubernetes import istio_status, marks, objects
from chaosrun.providers.kubernetes.access import Access, access_of, rbac, undo
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.http_faults import HttpFault
from chaosrun.providers.kubernetes.istio_proxies import Proxies
from chaosrun.providers.kubernetes.kinds import VIRTUAL_SERVICE, Object, Ref, uid_of
from chaosrun.providers.kubernetes.require import require
from chaosrun.rights import Permission
from chaosrun.units import JSON

_LEAST = 0.000001


class VirtualService(Access, frozen=True, kw_only=True):
    """HTTP routes of one VirtualService."""

    namespace: Annotated[str, Meta(description="Its namespace", min_length=1)]
    name: Annotated[str, Meta(description="Its name", min_length=1)]
    routes: Annotated[
        tuple[str, ...], Meta(description="Only HTTP routes of these names; else all")
    ] = ()


class IstioHttp(HttpFault, Fault[Kubernetes], frozen=True, kw_only=True):
    """Let requests through Istio be late, or fail with a status.

    It happens at the client's sidecar, or at the gateway, before a route's timeout begins and
    outside of its retries: it cannot test those. A route that has a fault already is refused.
    Istio seldom tells whether a proxy follows the route, so name pods whose sidecars are asked
    (`seenBy`); without them the experiment must say that it takes it on trust (`onTrust`).
    """

    name: ClassVar[str] = "kubernetes.istio-http"
    example: ClassVar[dict[str, JSON]] = {
        "target": {"namespace": "shop", "name": "checkout"},
        "with": {"delay": "2s", "share": "50%", "seenBy": {"selector": "app=web"}},
    }

    target: VirtualService
    seen_by: Annotated[
        Proxies | None,
        Meta(description="Pods whose sidecars must have the fault before it counts as an effect"),
    ] = None
    on_trust: Annotated[
        bool,
        Meta(
            description="Take it for an effect that the VirtualService has the fault, though no "
            "proxy is asked whether it follows it"
        ),
    ] = False

    def __post_init__(self) -> None:
        self.check()
        if (self.seen_by is None) is not self.on_trust:
            raise ValueError(
                "say one: by whose sidecars it is seen, seenBy: {selector: app=web}, or that "
                "Istio is trusted without a look, onTrust: true"
            )
        milliseconds = self.delay.seconds * 1000
        if self.delay and (milliseconds < 1 or abs(milliseconds - round(milliseconds)) > 1e-6):
            raise ValueError(f"Istio knows delays of 1ms, 2ms and so on, not {self.delay}")
        if self.share.fraction < _LEAST:
            raise ValueError(f"Istio knows shares from 0.0001% on, not {self.share}")

    def needs(self) -> tuple[Permission, ...]:
        ref, proxies = self._ref(), self._proxies()
        asked = proxies.needs() if proxies else ()
        own = rbac(ref.kind.resource, "get", "patch", scope=ref.scope)
        return (*self.target.asking(), *own, *asked)

    def _proxies(self) -> Proxies | None:
        given = self.seen_by
        return given and replace(given, namespace=given.namespace or self.target.namespace)

    def _ref(self) -> Ref:
        return Ref(VIRTUAL_SERVICE, self.target.name, self.target.namespace)

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:  # noqa: ARG002
        access, ref = client.settle(self.target.access()), self._ref()
        objects.resolved(client, access, ref.kind)
        require(client, access, self.needs())
        found = client.get(access, ref)
        meant, fault = self._routes(ref, found), self._fault()
        if _having(fault, found):
            raise Refused(f"another route of {ref.label} has exactly that fault")
        if wrong := istio_status.wrong(found):
            raise Refused(f"nobody can rely on {ref.label}: {wrong}")

        def edit(now: Object) -> None:
            for route in _at(meant, now):
                route["fault"] = fault

        client.change(access, ref, edit, uid=uid_of(found), dry=True)  # Istio may not take it
        proxies = self._proxies()
        if proxies:
            proxies.require(client, access, ref)
        more = {"seenBy": to_plain(proxies)} if proxies else {}
        return Hold(
            fault=self.name,
            targets=(objects.target_of(ref, access, found),),
            population=1,
            effect=self.words(),
            undo=undo(access, routes=meant, fault=fault, **objects.named(ref), **more),
            way_back="chaosrun takes the fault from the routes",
            mechanism="VirtualService.spec.http[].fault, at the client's sidecar or the gateway",
            used=self.needs(),
        )

    def _routes(self, ref: Ref, found: Object) -> list[list[Any]]:
        """The place and name of each route that is meant. Raises Refused where one cannot be."""
        routes, names = found["spec"].get("http") or [], set(self.target.routes)
        meant = [
            [index, route.get("name", "")]
            for index, route in enumerate(routes)
            if (route.get("name") in names if names else not _answers_itself(route))
        ]
        if lost := sorted(names - {name for _, name in meant}):
            raise Refused(f"{ref.label} has no HTTP route {', '.join(lost)}")
        if not meant:
            raise Refused(f"{ref.label} has no HTTP routes to a service")
        if own := [name for index, name in meant if _answers_itself(routes[index])]:
            raise Refused(f"HTTP route {own[0]} of {ref.label} redirects or answers: no fault then")
        if any("fault" in routes[index] for index, _ in meant):
            raise Refused(f"{ref.label} has a fault already")
        return meant

    def _fault(self) -> Object:
        percentage = {"value": round(self.share.fraction * 100, 4)}
        found: Object = {}
        if self.delay:
            delay = f"{self.delay.seconds:.3f}".rstrip("0").rstrip(".")
            found["delay"] = {"fixedDelay": f"{delay}s", "percentage": percentage}
        if self.status:
            found["abort"] = {"httpStatus": self.status, "percentage": percentage}
        return found

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        def edit(found: Object) -> None:
            for route in _meant(hold, found):
                ours = marks.ours(found, hold) and route.get("fault") == hold.undo["fault"]
                if "fault" in route and not ours:
                    raise Refused("a route has got another fault since it was planned")
                route["fault"] = hold.undo["fault"]
            marks.put(found, hold)

        client.change(access_of(hold), objects.ref_of(hold), edit, uid=hold.targets[0].id)

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        def put_back(found: Object) -> None:
            for route in _ours(hold, found):
                del route["fault"]

        marks.give_back(hold, client, objects.ref_of(hold), put_back)

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        ref = objects.ref_of(hold)
        found = client.find(access_of(hold), ref, hold.targets[0].id)
        if found is None:
            return Evidence(False, f"{ref.label} is gone")
        on = [route for route in _meant(hold, found) if route.get("fault") == hold.undo["fault"]]
        said = f"{len(on)} of {len(hold.undo['routes'])} routes have the fault"
        if len(on) < len(hold.undo["routes"]):
            set_back = ": somebody set the others back" if marks.ours(found, hold) else ""
            return Evidence(False, f"{said}{set_back}")
        word = istio_status.word_of(found)
        if "seenBy" not in hold.undo or word.good is False:
            return Evidence(word.good is not False, f"{said}; {word.text}")
        proxies = from_plain(hold.undo["seenBy"], Proxies)
        have = proxies.have(client, access_of(hold), ref, hold.undo["fault"])
        return Evidence(have.seen, f"{said}; {have.detail}", have.measured)

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        ref = objects.ref_of(hold)
        found = marks.here(hold, client, ref)
        if found is None:
            return Evidence(True, f"{ref.label} was deleted meanwhile")
        if marks.bears(found, hold) or _ours(hold, found):
            return Evidence(False, f"{ref.label} is still marked, or has our fault")
        again = _having(hold.undo["fault"], found)  # another run's, and sidecars have that
        if "seenBy" in hold.undo and not again:
            proxies = from_plain(hold.undo["seenBy"], Proxies)
            if still := proxies.still(client, access_of(hold), ref, hold.undo["fault"]):
                return Evidence(False, f"{ref.label} has no fault of ours, but {still}")
        return Evidence(True, f"{ref.label} has no fault of ours")


def _ours(hold: Hold, found: Object) -> list[Any]:
    """The routes with our fault, wherever they stand now; no route had it when it was planned.

    Where another hold's mark stands and not ours, it is that one's, though it is the same.
    """
    if marks.borne(found) and not marks.ours(found, hold):
        return []
    return _having(hold.undo["fault"], found)


def _having(fault: Object, found: Object) -> list[Any]:
    """The routes with just that fault, whosoever it is."""
    return [route for route in found["spec"].get("http") or [] if route.get("fault") == fault]


def _answers_itself(route: Object) -> bool:
    """Istio takes no fault on a route that goes to no service."""
    return "redirect" in route or "directResponse" in route


def _meant(hold: Hold, found: Object) -> list[Any]:
    return _at(hold.undo["routes"], found)


def _at(meant: list[list[Any]], found: Object) -> list[Any]:
    """The routes that are meant, at their place; a route that moved is not guessed."""
    routes = found["spec"].get("http") or []
    return [
        routes[index]
        for index, name in meant
        if index < len(routes) and routes[index].get("name", "") == name
    ]
