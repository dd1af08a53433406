"""Faults of Istio's routes, as a client sees them whose sidecar a real istiod tells what to do."""

from __future__ import annotations

import contextlib
import copy
import re
import statistics
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.istio_http import IstioHttp
from chaosrun.providers.kubernetes.istio_proxies import Proxies
from tests.cluster.inside import held, lease
from tests.cluster.objects import worn
from tests.cluster.outside import Object, outside, until
from tests.cluster.session import enter
from tests.providers.kubernetes.mesh import CONTROL, HOST, PLACE, ROUTES, Mesh

SECOND = {
    "name": "second",
    "match": [{"uri": {"prefix": "/second"}}],
    "route": [{"destination": {"host": f"checkout-v2.{PLACE}.svc.cluster.local"}}],
}
STRICT = {
    "name": "strict",
    "match": [{"uri": {"prefix": "/strict"}, "method": {"exact": "GET"}}],
    "timeout": "300ms",
    "retries": {"attempts": 1, "perTryTimeout": "300ms", "retryOn": "connect-failure"},
    "headers": {"request": {"set": {"x-by": "strict"}}},
    "route": [{"destination": {"host": HOST, "port": {"number": 80}}, "weight": 100}],
}
AWAY = {
    "name": "away",
    "match": [{"uri": {"prefix": "/away"}}],
    "redirect": {"uri": "/", "redirectCode": 302},
}
REST = {"name": "rest", "route": [{"destination": {"host": HOST}}]}


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    with contextlib.ExitStack() as cleanup:
        enter(cleanup)
        made = Mesh()
        made.make(cleanup)
        yield made


@pytest.fixture
def routes(mesh: Mesh, cluster: Kubernetes) -> str:
    """The name of a VirtualService that the client's sidecar follows."""
    name = "checkout"
    apply(name, {"hosts": [HOST], "http": [SECOND, STRICT, AWAY, REST]})
    until(lambda: version(mesh, "/second") == "v2", "the sidecar should follow")
    return name


def apply(name: str, spec: Object) -> None:
    outside().apply(ROUTES, {
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": name}, "spec": spec,
    })  # fmt: skip


def version(mesh: Mesh, path: str) -> str:
    ((_, _, told),) = mesh.asked(path)
    return str(told.get("version"))


def fault(name: str = "checkout", *names: str, **given: Any) -> IstioHttp:
    target = {"namespace": PLACE, "name": name, "routes": list(names)}
    return from_plain({"target": target, "onTrust": "seenBy" not in given, **given}, IstioHttp)


def content(name: str = "checkout") -> Any:
    found = outside().get(f"{ROUTES}/{name}")
    return [found["spec"], worn(found)]


def late(mesh: Mesh, path: str, seconds: float = 0.3) -> bool:
    """Whether each of some requests takes that long."""
    return all(took >= seconds for _, took, _ in mesh.asked(path, 3))


def within(count: int, share: float, of: int) -> bool:
    """Whether so many are what chance makes of that share: four deviations, one in 15,000."""
    return bool(abs(count - share * of) <= 4 * (of * share * (1 - share)) ** 0.5)


def test_the_client_sees_the_delay_on_the_named_route_and_on_no_other(
    mesh: Mesh, routes: str, cluster: Kubernetes
) -> None:
    before = content()
    assert not late(mesh, "/second")
    with held(fault(routes, "second", delay="300ms"), cluster) as hold:
        until(lambda: late(mesh, "/second"), "the client should see the delay")
        took = [seconds for _, seconds, _ in mesh.asked("/second", 10)]
        assert min(took) >= 0.3 - 0.003  # Envoy's timers know whole milliseconds
        assert statistics.median(took) < 0.6
        assert {status for status, _, _ in mesh.asked("/second", 3)} == {200}
        assert statistics.median(seconds for _, seconds, _ in mesh.asked("/", 10)) < 0.25
        seen = IstioHttp.took_effect(hold, cluster)
        assert seen.seen
        assert "1 of 1 routes have the fault; Istio does not tell" in seen.detail
    until(lambda: not late(mesh, "/second"), "the delay should go")
    assert content() == before


def test_what_no_sidecar_has_is_no_effect_where_sidecars_are_named(
    mesh: Mesh, routes: str, cluster: Kubernetes
) -> None:
    seen_by = {"selector": "app=client"}
    with held(fault(routes, "rest", delay="20ms", share="7%", seenBy=seen_by), cluster) as hold:
        until(lambda: IstioHttp.took_effect(hold, cluster).seen, "the sidecar should have it")
        seen = IstioHttp.took_effect(hold, cluster)
        assert "1 of 1 sidecars that were asked have it" in seen.detail
        assert seen.measured == {"sidecars": 1, "with": 1}
    other = f"checkout-v2.{PLACE}.svc.cluster.local"
    apply("nobodys", {"hosts": [other], "http": [REST], "exportTo": [CONTROL]})
    meant = fault("nobodys", delay="20ms", seenBy=seen_by)
    with held(meant, cluster) as hold:
        said = "has 0 routes of VirtualService mesh/nobodys"
        until(lambda: said in IstioHttp.took_effect(hold, cluster).detail, "it should be asked")
        assert not IstioHttp.took_effect(hold, cluster).seen
    outside().delete(f"{ROUTES}/nobodys")
    without = fault(routes, delay="20ms", seenBy={"selector": "app=checkout-v1"})
    with pytest.raises(Refused, match="no pod of app=checkout-v1 has a container istio-proxy that"):
        lease(without, cluster)
    mute = fault(
        routes, delay="20ms", seenBy={"selector": "app=checkout-v1", "container": "main"}
    )  # which has no agent of Istio's to ask
    with pytest.raises(Refused, match=r"must tell their routes; checkout-v1-.* does not tell"):
        lease(mute, cluster)


@pytest.mark.parametrize(
    ("ready", "asked"),
    [
        ({"status": "True"}, True),
        ({"status": "False", "reason": "ContainersNotReady"}, True),  # maybe of the fault
        ({"status": "False"}, False),  # of a node that is lost
        ({"status": "Unknown"}, False),
    ],
)
def test_a_sidecar_whose_application_suffers_is_asked_and_one_of_a_lost_node_is_not(
    monkeypatch: pytest.MonkeyPatch, ready: dict[str, str], asked: bool
) -> None:
    status = {
        "containerStatuses": [{"name": "istio-proxy", "ready": True}],
        "conditions": [{"type": "Ready", **ready}],
    }
    pod = {"metadata": {"name": "one"}, "status": status}
    monkeypatch.setattr(Kubernetes, "all", lambda *_, **__: [pod])
    found = Proxies(selector="app=one", namespace=PLACE).pods(Kubernetes(), Access())
    assert [one.name for one in found] == (["one"] if asked else [])


def test_it_is_owed_until_the_sidecars_have_let_go_of_it_where_they_are_named(
    mesh: Mesh, routes: str, cluster: Kubernetes
) -> None:
    meant = fault(routes, "rest", delay="20ms", share="7%", seenBy={"selector": "app=client"})
    with held(meant, cluster) as hold:
        until(lambda: IstioHttp.took_effect(hold, cluster).seen, "the sidecar should have it")
        mesh.istiod.end()
        try:
            IstioHttp.revert(hold, cluster)
            seen = IstioHttp.restored(hold, cluster)
        finally:
            mesh.istiod.start()
        assert not seen.seen
        assert re.search(r"has no fault of ours, but client-\S+ has the fault yet", seen.detail)


def test_the_client_sees_the_status_for_the_share_that_was_asked_for(
    mesh: Mesh, routes: str, cluster: Kubernetes
) -> None:
    with held(fault(routes, "rest", status=503, share="30%"), cluster):
        until(lambda: any(s == 503 for s, _, _ in mesh.asked("/", 20)), "some should fail")
        got = [status for status, _, _ in mesh.asked("/", 300)]
        assert set(got) == {200, 503}
        assert within(got.count(503), 0.3, len(got)), got.count(503)
        assert {status for status, _, _ in mesh.asked("/second", 30)} == {200}
    until(lambda: all(s == 200 for s, _, _ in mesh.asked("/", 30)), "none should fail")


def test_a_delay_and_a_status_fall_on_requests_independently(
    mesh: Mesh, routes: str, cluster: Kubernetes
) -> None:
    with held(fault(routes, "second", delay="200ms", status=418, share="50%"), cluster):
        until(lambda: any(s == 418 for s, _, _ in mesh.asked("/second", 9)), "some should fail")
        got = mesh.asked("/second", 80)
        for which in (
            [one for one in got if one[0] == 418],
            [one for one in got if one[1] >= 0.2],
        ):
            assert within(len(which), 0.5, len(got)), len(which)
        assert within(len([one for one in got if one[0] == 418 and one[1] >= 0.2]), 0.25, len(got))
    until(lambda: all(s == 200 for s, _, _ in mesh.asked("/second", 15)), "none should fail")


def test_a_route_keeps_all_that_it_has_while_it_has_a_fault_and_afterwards(
    mesh: Mesh, routes: str, cluster: Kubernetes
) -> None:
    before = content()
    with held(fault(routes, delay="20ms", status=418, share="0.25%"), cluster) as hold:
        during = copy.deepcopy(content()[0])
        for route in during["http"]:
            gets = route.pop("fault", None)
            assert gets == (None if route["name"] == "away" else hold.undo["fault"])
        assert during == before[0]
    assert content() == before


def test_a_routes_timeout_cuts_what_the_server_takes_but_not_the_delay(
    mesh: Mesh, routes: str, cluster: Kubernetes
) -> None:
    def passes(at_least: float) -> bool:
        """Whether it serves as the route has it: a busy machine takes more than its timeout."""
        ((status, seconds, told),) = mesh.asked("/strict")
        by = told.get("headers", {}).get("x-by")
        return bool((status, by) == (200, "strict") and seconds >= at_least)

    until(lambda: passes(0), "the route should serve")
    assert mesh.asked("/strict?takes=2")[0][0] == 504
    with held(fault(routes, "strict", delay="600ms"), cluster):
        until(lambda: late(mesh, "/strict", 0.6), "the client should see the delay")
        until(lambda: passes(0.6), "the route should serve after the delay")
        ((status, seconds, _),) = mesh.asked("/strict?takes=30")
        assert (status, 0.9 <= seconds < 20) == (504, True)
    until(lambda: not late(mesh, "/strict", 0.6), "the delay should go")


def test_what_istio_finds_wrong_is_refused_before_and_is_no_effect_afterwards(
    mesh: Mesh, routes: str, cluster: Kubernetes
) -> None:
    nowhere = {"spec": {"gateways": ["no-such-gateway"]}}
    with held(fault(routes, "rest", delay="20ms"), cluster) as hold:
        assert IstioHttp.took_effect(hold, cluster).seen
        outside().patch(f"{ROUTES}/{routes}", nowhere)
        until(lambda: not IstioHttp.took_effect(hold, cluster).seen, "Istio should say so")
        assert "Istio says: IST0101" in IstioHttp.took_effect(hold, cluster).detail
    until(lambda: told(routes, "IST0101"), "Istio should say so of what it is now")
    with pytest.raises(Refused, match="Istio says: IST0101"):
        lease(fault(routes, "rest", delay="20ms"), cluster)
    outside().patch(f"{ROUTES}/{routes}", {"spec": {"gateways": None}})
    with held(fault(routes, "rest", delay="20ms"), cluster) as hold:  # it never takes that back
        seen = IstioHttp.took_effect(hold, cluster)
        assert seen.seen
        assert "of what it was before, Istio says: IST0101" in seen.detail
    outside().delete(f"{ROUTES}/{routes}")


def told(name: str, code: str) -> bool:
    """Whether Istio says that of the object as it is now."""
    found = outside().get(f"{ROUTES}/{name}")
    status = found.get("status") or {}
    now = int(status.get("observedGeneration", 0)) == found["metadata"]["generation"]
    return now and code in str(status.get("validationMessages"))


def test_a_route_that_goes_to_no_service_takes_no_fault(
    mesh: Mesh, routes: str, cluster: Kubernetes
) -> None:
    with pytest.raises(Refused, match=r"route away of .* redirects or answers"):
        lease(fault(routes, "away", delay="20ms"), cluster)
    everything = lease(fault(routes, delay="20ms"), cluster)
    assert everything.undo["routes"] == [[0, "second"], [1, "strict"], [3, "rest"]]


def test_a_fault_of_somebody_else_stays_even_if_it_is_the_same(
    mesh: Mesh, routes: str, cluster: Kubernetes
) -> None:
    meant = fault(routes, "rest", delay="20ms")
    one, other = lease(meant, cluster), lease(meant, cluster)
    IstioHttp.inject(one, cluster)
    with pytest.raises(Refused, match="has got another fault"):
        IstioHttp.inject(other, cluster)
    IstioHttp.revert(other, cluster)
    assert IstioHttp.restored(other, cluster).seen
    assert IstioHttp.took_effect(one, cluster).seen
    IstioHttp.revert(one, cluster)
    assert IstioHttp.restored(one, cluster).seen


def test_a_fault_whose_mark_was_taken_is_taken_back_all_the_same(
    mesh: Mesh, routes: str, cluster: Kubernetes
) -> None:
    meant = fault(routes, "rest", delay="20ms")
    hold = lease(meant, cluster)
    IstioHttp.inject(hold, cluster)
    marks = outside().get(f"{ROUTES}/{routes}")["metadata"]["labels"]
    outside().patch(f"{ROUTES}/{routes}", {"metadata": {"labels": dict.fromkeys(marks)}})
    assert not IstioHttp.restored(hold, cluster).seen
    IstioHttp.revert(hold, cluster)
    assert IstioHttp.restored(hold, cluster).seen
    there = outside().get(f"{ROUTES}/{routes}")["spec"]["http"]
    assert not any("fault" in route for route in there)


def test_istio_takes_each_delay_and_share_that_we_take(
    mesh: Mesh, routes: str, cluster: Kubernetes
) -> None:
    for delay, share in (("1ms", "100%"), ("1001ms", "57%"), ("20m", "0.29%"), ("366d", "0.0001%")):
        meant = fault(routes, "rest", delay=delay, share=share)
        written = lease(meant, cluster).undo["fault"]["delay"]  # by what the API server takes
        assert float(written["fixedDelay"].removesuffix("s")) == meant.delay.seconds
        assert "e" not in written["fixedDelay"]
        millionths = int(written["percentage"]["value"] * 10_000)  # as istiod reads it
        assert millionths == round(meant.share.fraction * 1_000_000)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"delay": "10us"}, "1ms, 2ms and so on, not 10us"),
        ({"delay": "1500us"}, "1ms, 2ms and so on, not 1.5ms"),
        ({"delay": "1s", "share": "0.00001%"}, "shares from 0.0001% on"),
    ],
)
def test_what_istio_cannot_do_is_refused_when_it_is_read(given: Any, said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        fault(**given)
