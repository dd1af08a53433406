"""Faults at a real Envoy Gateway, measured by another pod's requests through it.

The gateway serves two routes to one backend. What counts as an effect is what the requests of a
pod show, and what the gateway says of the policies agrees with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chaosrun.codec import from_plain
from chaosrun.errors import Indeterminate, Refused
from chaosrun.events import Verdict
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes import envoy_http
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.envoy_http import EnvoyHttp
from chaosrun.providers.kubernetes.kinds import POD, Ref
from chaosrun.verdicts import exit_code
from tests.cluster import images
from tests.cluster.objects import deployment, is_whole, pods
from tests.cluster.outside import Object, outside, until
from tests.cluster.session import kubeconfig
from tests.providers.kubernetes import experiments, gateways

PLACE = "gateway"
ROUTES = f"/apis/gateway.networking.k8s.io/v1/namespaces/{PLACE}/httproutes"
GATEWAYS = f"/apis/gateway.networking.k8s.io/v1/namespaces/{PLACE}/gateways"
POLICIES = f"/apis/gateway.envoyproxy.io/v1alpha1/namespaces/{PLACE}/backendtrafficpolicies"
SERVES = """
import http.server, time
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(1)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *given):
        pass
http.server.ThreadingHTTPServer(("", 8080), Answer).serve_forever()
"""
ASKS = """
import http.client, json, sys, time
address, host, path, times = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
found = []
for _ in range(times):
    asks, began = http.client.HTTPConnection(address, 80, timeout=10), time.monotonic()
    try:
        asks.request("GET", path, headers={"host": host})
        status = asks.getresponse().status
    except OSError:
        status = 0
    found.append([status, time.monotonic() - began])
    asks.close()
print(json.dumps(found))
"""
EXPERIMENT = f"""
apiVersion: chaosrun.dev/v1
kind: Experiment
metadata: {{name: fails-at-the-gateway}}
spec:
  title: The backend is there while the gateway fails
  steadyState:
    - name: it is there
      probe: kubernetes.workload
      with: {{namespace: {PLACE}, kind: Deployment, name: backend}}
      expect: ready >= 1
  method:
    - name: all fail
      fault: kubernetes.envoy-http
      target: {{namespace: {PLACE}, name: checkout}}
      with: {{status: 503}}
      hold: 5s
"""


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The address at which a real gateway serves the two routes."""
    with contextlib.ExitStack() as cleanup:
        cleanup.enter_context(gateways.running(PLACE))
        python = {"image": images.PYTHON}
        deployment(PLACE, "backend", 1, **python, command=["python3", "-c", SERVES])
        deployment(PLACE, "asks", 1, **python)
        outside().apply(f"/api/v1/namespaces/{PLACE}/services", {
            "metadata": {"name": "backend"},
            "spec": {"selector": {"app": "backend"}, "ports": [{"port": 80, "targetPort": 8080}]},
        })  # fmt: skip
        listener = {"name": "http", "protocol": "HTTP", "port": 80}
        outside().apply(GATEWAYS, {
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "edge"},
            "spec": {"gatewayClassName": gateways.CLASS, "listeners": [listener]},
        })  # fmt: skip
        for name in ("checkout", "catalog"):
            route(name)
        until(lambda: all(is_whole(PLACE, app) for app in ("backend", "asks")), "pods", 60)
        address = until(_address, "the gateway should be programmed", seconds=90)
        cleanup.enter_context(contextlib.closing(client := Kubernetes()))
        serves(client, address)
        yield address


def route(name: str) -> None:
    backend = {"name": "backend", "port": 80}
    outside().apply(ROUTES, {
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"parentRefs": [{"name": "edge"}], "hostnames": [f"{name}.test"],
                 "rules": [{"backendRefs": [backend]}]},
    })  # fmt: skip


def _address() -> str:
    found = outside().get(f"{GATEWAYS}/edge").get("status", {})
    programmed = any(
        one["type"] == "Programmed" and one["status"] == "True" for one in found["conditions"]
    )
    return str(found["addresses"][0]["value"]) if programmed else ""


def asked(
    client: Kubernetes, address: str, name: str, times: int, path: str = "/"
) -> list[tuple[int, float]]:
    """What a pod's requests to that route were answered with, and after how many seconds."""
    (pod,) = [one["metadata"]["name"] for one in pods(PLACE, "asks")]
    words = ["python3", "-c", ASKS, address, f"{name}.test", path, str(times)]
    access = Access(kubeconfig=str(kubeconfig()))
    said = client.execute(access, Ref(POD, pod, PLACE), "main", words, 60)
    return [(status, seconds) for status, seconds in json.loads(said)]


def statuses(
    client: Kubernetes, address: str, name: str, times: int = 5, path: str = "/"
) -> set[int]:
    return {status for status, _ in asked(client, address, name, times, path)}


def serves(client: Kubernetes, address: str) -> None:
    """Both routes do."""
    until(
        lambda: all(statuses(client, address, one) == {200} for one in ("checkout", "catalog")),
        "both routes should serve",
    )


def policy(name: str, kind: str, *targets: str, **spec: Any) -> Object:
    """Somebody's policy, which the gateway has read."""
    if targets:
        spec["targetRefs"] = [
            {"group": "gateway.networking.k8s.io", "kind": kind, "name": one} for one in targets
        ]
    body = {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "BackendTrafficPolicy",
        "metadata": {"name": name}, "spec": spec,
    }  # fmt: skip
    outside().apply(POLICIES, body)
    return until(lambda: _read(name), f"{name} should be read")  # type: ignore[no-any-return]


def _read(name: str) -> Object | None:
    found: Object = outside().get(f"{POLICIES}/{name}")
    return found if found.get("status", {}).get("ancestors") else None


@pytest.fixture
def gateway(served: str, cluster: Kubernetes, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The gateway's address; nobody has a policy, before and after."""
    monkeypatch.setattr(envoy_http, "_READ_WITHIN", 30.0)
    yield served
    gateways.scale(1)
    for name in ("checkout", "catalog"):
        route(name)
    gateways.gone([f"{POLICIES}/{one['metadata']['name']}" for one in outside().items(POLICIES)])
    serves(cluster, served)


@pytest.fixture
def in_vain(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited in vain: only as long as the gateway may take to say why."""
    monkeypatch.setattr(envoy_http, "_READ_WITHIN", 8.0)


def plan(client: Kubernetes, name: str = "checkout", kind: str = "HTTPRoute", **more: Any) -> Hold:
    target = {"namespace": PLACE, "kind": kind, "name": name}
    hold = from_plain({"target": target, **more}, EnvoyHttp).plan(client, random.Random(1))
    return replace(hold, mark=f"mark-{time.monotonic_ns()}")


@contextlib.contextmanager
def held(client: Kubernetes, hold: Hold) -> Iterator[None]:
    """The fault is there, and is seen; then it is gone, and that is seen."""
    EnvoyHttp.inject(hold, client)
    seen = EnvoyHttp.took_effect(hold, client)
    assert seen.seen, seen
    yield
    EnvoyHttp.revert(hold, client)
    seen = EnvoyHttp.restored(hold, client)
    assert seen.seen, seen


def soon(client: Kubernetes, address: str, name: str, wanted: set[int], path: str = "/") -> None:
    """Envoy is told a moment after the gateway has accepted it; later where it has to connect."""
    until(
        lambda: statuses(client, address, name, path=path) == wanted,
        f"{name} should answer {wanted}",
    )


def test_one_route_fails_and_the_other_serves(cluster: Kubernetes, gateway: str) -> None:
    with held(cluster, plan(cluster, status=503)):
        soon(cluster, gateway, "checkout", {503})
        assert statuses(cluster, gateway, "checkout", 30) == {503}
        assert statuses(cluster, gateway, "catalog", 30) == {200}
    soon(cluster, gateway, "checkout", {200})
    assert outside().items(POLICIES) == []


def test_a_fault_that_somebody_took_is_not_seen(cluster: Kubernetes, gateway: str) -> None:
    with held(cluster, hold := plan(cluster, status=503)):
        outside().patch(f"{POLICIES}/{_only()}", {"spec": {"faultInjection": None}})
        assert "has the fault no more" in EnvoyHttp.took_effect(hold, cluster).detail


def test_a_lease_of_an_older_version_is_reverted(cluster: Kubernetes, gateway: str) -> None:
    hold = plan(cluster, status=503)
    EnvoyHttp.inject(hold, cluster)
    old = replace(hold, undo={k: v for k, v in hold.undo.items() if k not in ("since", "route")})
    EnvoyHttp.revert(old, cluster)
    assert EnvoyHttp.restored(old, cluster).seen
    assert outside().items(POLICIES) == []


def test_a_share_of_the_requests_fails(cluster: Kubernetes, gateway: str) -> None:
    with held(cluster, plan(cluster, status=503, share="30%")):
        until(lambda: 503 in statuses(cluster, gateway, "checkout", 20), "some should fail")
        found = [status for status, _ in asked(cluster, gateway, "checkout", 400)]
    assert set(found) == {200, 503}
    assert 80 <= found.count(503) <= 160  # 120, and more than four times its deviation
    soon(cluster, gateway, "checkout", {200})


def test_requests_are_late_as_long_as_it_is_held(cluster: Kubernetes, gateway: str) -> None:
    with held(cluster, plan(cluster, delay="400ms")):
        until(lambda: asked(cluster, gateway, "checkout", 1)[0][1] >= 0.39, "it should be late")
        found = asked(cluster, gateway, "checkout", 5)
        assert {status for status, _ in found} == {200}
        assert min(seconds for _, seconds in found) >= 0.39  # Envoy counts milliseconds
    until(lambda: asked(cluster, gateway, "checkout", 1)[0][1] < 0.39, "it should be gone")
    assert min(seconds for _, seconds in asked(cluster, gateway, "checkout", 5)) < 0.39


@pytest.mark.parametrize("delay", ["1ms", "1500ms", "100s", "27h"])
def test_every_delay_is_written_as_the_gateway_takes_it(
    cluster: Kubernetes, gateway: str, delay: str
) -> None:
    body = plan(cluster, delay=delay).undo["body"]  # which the API server has taken once
    body["spec"]["faultInjection"]["delay"]["fixedDelay"] = "100000ms"
    assert outside().call("POST", f"{POLICIES}?dryRun=All", body)["_status"] == 422


def test_of_a_routes_own_policy_only_the_fault_comes_and_goes(
    cluster: Kubernetes, gateway: str
) -> None:
    timeout = {"http": {"requestTimeout": "300ms"}}
    before = policy("own", "HTTPRoute", "checkout", timeout=timeout)
    soon(cluster, gateway, "checkout", {504}, "/slow")
    with held(cluster, plan(cluster, delay="1ms")):
        now = outside().get(f"{POLICIES}/own")["spec"]
        assert now.pop("faultInjection") == {"delay": {"fixedDelay": "1ms", "percentage": 100}}
        assert now == before["spec"]
        assert statuses(cluster, gateway, "checkout", path="/slow") == {504}
    after = outside().get(f"{POLICIES}/own")
    assert after["spec"] == before["spec"]
    assert after["metadata"].get("annotations", {}) == {}
    assert statuses(cluster, gateway, "checkout", path="/slow") == {504}


def test_what_the_gateways_policy_says_stays_in_force_for_the_route(
    cluster: Kubernetes, gateway: str
) -> None:
    policy("all", "Gateway", "edge", timeout={"http": {"requestTimeout": "300ms"}})
    soon(cluster, gateway, "checkout", {504}, "/slow")
    hold = plan(cluster, status=418, share="50%")
    with held(cluster, hold):
        until(lambda: 418 in statuses(cluster, gateway, "checkout", 20), "some should fail")
        assert statuses(cluster, gateway, "checkout", 20, "/slow") == {418, 504}
        assert "Merged with policy gateway/all" in EnvoyHttp.took_effect(hold, cluster).detail
    assert statuses(cluster, gateway, "checkout", path="/slow") == {504}


def test_a_fault_of_the_gateway_says_which_routes_it_does_not_reach(
    cluster: Kubernetes, gateway: str
) -> None:
    policy("own", "HTTPRoute", "checkout", timeout={"http": {"requestTimeout": "5s"}})
    hold = plan(cluster, "edge", "Gateway", status=503)
    with held(cluster, hold):
        soon(cluster, gateway, "catalog", {503})
        assert statuses(cluster, gateway, "checkout") == {200}
        seen = EnvoyHttp.took_effect(hold, cluster)
        assert "overridden" in seen.detail
        assert "gateway/checkout" in seen.detail
        policy("too", "HTTPRoute", "catalog", timeout={"http": {"requestTimeout": "5s"}})
        until(lambda: not EnvoyHttp.took_effect(hold, cluster).seen, "no route should be left")
        soon(cluster, gateway, "catalog", {200})


def test_rules_with_policies_of_their_own_are_not_reached(
    cluster: Kubernetes, gateway: str, in_vain: None
) -> None:
    rule = {"name": "only", "backendRefs": [{"name": "backend", "port": 80}]}
    outside().patch(f"{ROUTES}/checkout", {"spec": {"rules": [rule]}})
    part = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "checkout",
            "sectionName": "only"}  # fmt: skip
    policy("part", "HTTPRoute", targetRefs=[part], timeout={"http": {"requestTimeout": "5s"}})
    hold = plan(cluster, status=503)
    with pytest.raises(Indeterminate, match="Nothing of HTTPRoute gateway/checkout is left"):
        EnvoyHttp.inject(hold, cluster)
    assert statuses(cluster, gateway, "checkout") == {200}
    EnvoyHttp.revert(hold, cluster)
    assert EnvoyHttp.restored(hold, cluster).seen


def test_a_route_that_is_not_there_is_refused_and_one_that_went_is_not_seen(
    cluster: Kubernetes, gateway: str, in_vain: None
) -> None:
    with pytest.raises(Refused, match="there is no HTTPRoute gateway/nowhere"):
        plan(cluster, "nowhere", status=503)
    hold = plan(cluster, status=503)
    gateways.gone([f"{ROUTES}/checkout"])
    with pytest.raises(Indeterminate, match="HTTPRoute gateway/checkout is not there any more"):
        EnvoyHttp.inject(hold, cluster)
    EnvoyHttp.revert(hold, cluster)
    assert EnvoyHttp.restored(hold, cluster).seen


def _only() -> str:
    (one,) = outside().items(POLICIES)
    return str(one["metadata"]["name"])


def test_a_route_that_goes_while_it_is_held_leaves_nothing_owed(
    cluster: Kubernetes, gateway: str
) -> None:
    with held(cluster, hold := plan(cluster, status=503)):
        gateways.gone([f"{ROUTES}/checkout"])
        assert not EnvoyHttp.took_effect(hold, cluster).seen
    assert outside().items(POLICIES) == []


def test_a_policy_that_the_gateway_rejects_is_no_effect(
    cluster: Kubernetes, gateway: str, in_vain: None
) -> None:
    hold = plan(cluster, status=503)
    policy("an-older", "HTTPRoute", "checkout", timeout={"http": {"requestTimeout": "5s"}})
    with pytest.raises(Indeterminate, match=r"does not accept it: Conflicted"):
        EnvoyHttp.inject(hold, cluster)
    assert statuses(cluster, gateway, "checkout") == {200}
    EnvoyHttp.revert(hold, cluster)
    assert EnvoyHttp.restored(hold, cluster).seen
    assert _only() == "an-older"


def test_a_policy_that_nobody_reads_is_no_effect(
    cluster: Kubernetes, gateway: str, tmp_path: Path
) -> None:
    gateways.scale(0)
    done = run(tmp_path)
    assert done.returncode == exit_code(Verdict.INCONCLUSIVE), done.stdout
    said = " ".join(done.stdout.split())
    assert "BackendTrafficPolicy gateway/chaosrun-httproute-checkout: it has no status" in said, (
        done.stdout
    )
    assert outside().items(POLICIES) == []
    assert statuses(cluster, gateway, "checkout") == {200}


def test_an_experiment_through_the_gateway_passes(gateway: str, tmp_path: Path) -> None:
    done = experiments.asked(lambda: run(tmp_path), lambda: None)
    assert done.returncode == exit_code(Verdict.PASSED), done.stdout
    assert outside().items(POLICIES) == []


def run(directory: Path) -> subprocess.CompletedProcess[str]:
    file = directory / "experiment.yaml"
    file.write_text(EXPERIMENT)
    return subprocess.run(
        [sys.executable, "-m", "chaosrun", "run", str(file)],
        capture_output=True, text=True, timeout=120,
        env={**os.environ, "KUBECONFIG": str(kubeconfig()), "COLUMNS": "200"},
    )  # fmt: skip


@pytest.mark.parametrize("own", [False, True], ids=["a policy of ours", "a policy of its own"])
def test_it_is_owed_until_the_gateway_has_read_that_the_fault_is_gone(
    cluster: Kubernetes, gateway: str, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if own:
        policy("own", "HTTPRoute", "checkout", timeout={"http": {"requestTimeout": "5s"}})
    hold = plan(cluster, status=503)
    EnvoyHttp.inject(hold, cluster)
    soon(cluster, gateway, "checkout", {503})
    gateways.scale(0)
    refusal = contextlib.nullcontext() if own else pytest.raises(Indeterminate, match="should read")
    with monkeypatch.context() as patched, refusal:
        patched.setattr(envoy_http, "_READ_WITHIN", 3.0)
        EnvoyHttp.revert(hold, cluster)
    seen = EnvoyHttp.restored(hold, cluster)
    assert not seen.seen, seen
    assert statuses(cluster, gateway, "checkout") == {503}  # as Envoy was told last
    gateways.scale(1)
    EnvoyHttp.revert(hold, cluster)
    until(lambda: EnvoyHttp.restored(hold, cluster).seen, "it should be restored")
    soon(cluster, gateway, "checkout", {200})


@pytest.mark.parametrize(
    "spec",
    [
        {"targetRefs": ["checkout", "catalog"]},
        {"targetSelectors": [{"kind": "HTTPRoute", "matchLabels": {"app": "checkout"}}]},
    ],
    ids=["two routes", "by labels"],
)
def test_a_policy_that_is_for_other_routes_too_is_not_given_the_fault(
    cluster: Kubernetes, gateway: str, spec: dict[str, Any]
) -> None:
    names = spec.pop("targetRefs", ())
    policy("shared", "HTTPRoute", *names, timeout={"http": {"requestTimeout": "5s"}}, **spec)
    with pytest.raises(Refused, match="is for others than HTTPRoute gateway/checkout too"):
        plan(cluster, status=503)


def test_a_gateway_that_does_not_merge_policies_is_refused(
    cluster: Kubernetes, gateway: str
) -> None:
    with gateways.without_field("backendtrafficpolicies", "mergeType"):
        with pytest.raises(Refused, match="does not merge them"):
            until(lambda: not plan(cluster, status=503), "the field should be unknown", 20)
        policy("own", "HTTPRoute", "checkout", timeout={"http": {"requestTimeout": "5s"}})
        assert plan(cluster, status=503)
