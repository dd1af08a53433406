"""What agents do inside of pods, measured from other pods, and what does not let them in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Indeterminate, Refused
from chaosrun.fault import AnyFault
from chaosrun.providers.kubernetes import agent_states, agents
from chaosrun.providers.kubernetes.access import access_of
from chaosrun.providers.kubernetes.api import Kubernetes
from tests.cluster import inside
from tests.cluster.inside import held, lease, make, one, point, python, whole
from tests.cluster.objects import namespace, pods, ready
from tests.cluster.outside import Object, outside, until
from tests.cluster.programs import ASK

PLACE, KEPT_OUT, LET_IN = "inside", "inside-baseline", "inside-helpers"
SAMPLES = """
import json, sys, time, urllib.request
took = []
for _ in range(12):
    began = time.monotonic()
    try:
        urllib.request.urlopen("http://" + sys.argv[1] + ":8080/", timeout=2).read()
    except OSError:
        pass
    took.append(time.monotonic() - began)
print(json.dumps(took))
"""

KILL = """
import os, signal, sys
from chaosrun.mechanisms.supervisor import holders
for each in holders()[sys.argv[1]]:
    os.kill(each.pid, signal.SIGKILL)
"""


@pytest.fixture(scope="module", autouse=True)
def world() -> Iterator[None]:
    with contextlib.ExitStack() as cleanup:
        point(cleanup)
        make(PLACE)
        until(lambda: whole(PLACE), f"{PLACE} should be whole")
        yield


def fault(name: str, place: str = PLACE, **given: Any) -> AnyFault:
    return inside.fault(name, place, **given)


def pod(app: str, number: int = 0, place: str = PLACE) -> Object:
    return one(place, app, number)


def address_of_server() -> str:
    return str(pod("web")["status"]["podIP"])


def asked(client: Object, path: str = "/") -> tuple[int, float]:
    """The status and the time of a request of that pod to the server."""
    found = python(PLACE, client["metadata"]["name"], ASK, address_of_server(), path)
    return found[0], found[1]


def test_another_pod_sees_the_delay_that_was_asked_for(cluster: Kubernetes) -> None:
    def quickest() -> float:
        """The delay is one of every request; that of a busy machine is not."""
        name = pod("client")["metadata"]["name"]
        return float(min(python(PLACE, name, SAMPLES, address_of_server(), within=60)))

    assert quickest() < 0.1
    with held(fault("kubernetes.network-latency", delay="150ms"), cluster):
        during = quickest()
    # One for the handshake, one for the answer.
    assert 0.28 <= during <= 0.60
    assert quickest() < 0.1


def test_a_partition_cuts_exactly_the_named_peers(cluster: Kubernetes) -> None:
    one, other = pod("client"), pod("client", 1)
    peers = [one["status"]["podIP"]]
    with held(fault("kubernetes.network-partition", peers=peers), cluster):
        assert asked(one)[0] == 0
        assert asked(other)[0] == 200
    assert asked(one)[0] == 200


@pytest.fixture
def clients(world: None) -> Iterator[Callable[[int], None]]:
    """Have so many clients."""
    path = f"/apis/apps/v1/namespaces/{PLACE}/deployments/client"

    def have(count: int) -> None:
        outside().patch(path, {"spec": {"replicas": count}})
        until(lambda: [ready(one) for one in pods(PLACE, "client")] == [True] * count, "clients")

    yield have
    have(2)


def test_a_peer_that_comes_while_it_is_held_is_spared_and_that_is_told(
    cluster: Kubernetes, clients: Callable[[int], None]
) -> None:
    meant = fault("kubernetes.network-partition", peerPods="app=client")
    with held(meant, cluster) as hold:
        assert meant.took_effect(hold, cluster).seen
        clients(3)
        known = {f"{peer['status']['podIP']}/32" for peer in pods(PLACE, "client")}
        (new,) = known - set(hold.targets[0].undo["wish"]["traffic"]["peers"])
        seen = meant.took_effect(hold, cluster)
        assert not seen.seen
        assert f"{new.removesuffix('/32')} became peers after it was planned" in seen.detail


def test_a_peer_that_goes_while_it_is_held_may_leave_its_address_to_another(
    cluster: Kubernetes, clients: Callable[[int], None]
) -> None:
    clients(2)
    meant = fault("kubernetes.network-loss", loss="50%", peerPods="app=client")
    with held(meant, cluster) as hold:
        clients(1)
        seen = meant.took_effect(hold, cluster)
        assert not seen.seen
        assert "are no peers any more, and may be somebody else's by now" in seen.detail


def test_peers_in_their_nodes_network_are_refused_since_others_are_there(
    cluster: Kubernetes,
) -> None:
    address = outside().items("/api/v1/nodes")[0]["status"]["addresses"][0]["address"]
    outside().apply(f"/api/v1/namespaces/{PLACE}/services", {
        "metadata": {"name": "of-nodes"}, "spec": {"ports": [{"port": 80}]},
    })  # fmt: skip
    outside().apply(f"/apis/discovery.k8s.io/v1/namespaces/{PLACE}/endpointslices", {
        "metadata": {"name": "of-nodes", "labels": {"kubernetes.io/service-name": "of-nodes"}},
        "addressType": "IPv4", "endpoints": [{"addresses": [address]}], "ports": [{"port": 80}],
    })  # fmt: skip
    with pytest.raises(Refused, match=f"{address}: peers that use their nodes' network"):
        lease(fault("kubernetes.network-partition", peerServices=["of-nodes"]), cluster)
    for kind in ("api/v1", "apis/discovery.k8s.io/v1"):
        plural = "services" if kind == "api/v1" else "endpointslices"
        outside().delete(f"/{kind}/namespaces/{PLACE}/{plural}/of-nodes")


def test_a_helper_lives_elsewhere_where_pod_security_keeps_agents_out(cluster: Kubernetes) -> None:
    for place, level in ((KEPT_OUT, "baseline"), (LET_IN, "privileged")):
        namespace(place)
        label = {"pod-security.kubernetes.io/enforce": level}
        outside().patch(f"/api/v1/namespaces/{place}", {"metadata": {"labels": label}})
    make(KEPT_OUT)
    until(lambda: whole(KEPT_OUT), f"{KEPT_OUT} should be whole")
    with pytest.raises(Refused, match=r"(?s)ephemeral: .*PodSecurity.*helper: .*PodSecurity"):
        lease(fault("kubernetes.network-partition", KEPT_OUT), cluster)
    meant = fault("kubernetes.network-partition", KEPT_OUT, agent={"namespace": LET_IN})
    client, server = pod("client", place=KEPT_OUT), pod("web", place=KEPT_OUT)

    def status() -> Any:
        address = server["status"]["podIP"]
        return python(KEPT_OUT, client["metadata"]["name"], ASK, address, "/")[0]

    with held(meant, cluster) as hold:
        assert "by a helper pod on its node" in hold.mechanism
        assert {each.resource for each in hold.used} & {"pods/ephemeralcontainers"} == set()
        assert [one["spec"]["nodeName"] for one in agents_in(LET_IN)] == [
            server["spec"]["nodeName"]
        ]
        assert status() == 0
    assert status() == 200
    until(lambda: not agents_in(LET_IN), "the helper should be gone")


def agents_in(place: str) -> list[Object]:
    path = f"/api/v1/namespaces/{place}/pods?labelSelector=app.kubernetes.io/name=chaosrun-agent"
    return outside().items(path)


def test_stress_needs_no_rights_in_a_pod_that_allows_none(cluster: Kubernetes) -> None:
    namespace(KEPT_OUT)
    make(KEPT_OUT)
    until(lambda: whole(KEPT_OUT), f"{KEPT_OUT} should be whole")
    hold = lease(fault("kubernetes.cpu", KEPT_OUT, cores=1), cluster)
    assert "by an ephemeral container of the pod" in hold.mechanism


def test_a_helper_that_was_deleted_by_force_is_noticed_and_made_good(cluster: Kubernetes) -> None:
    meant = fault("kubernetes.network-partition", agent={"by": "helper"})
    hold = lease(meant, cluster)
    meant.inject(hold, cluster)
    (agent,) = agents_in(PLACE)
    outside().delete(f"/api/v1/namespaces/{PLACE}/pods/{agent['metadata']['name']}")
    until(lambda: not agents_in(PLACE), "the helper should be gone")
    assert not meant.restored(hold, cluster).seen
    meant.revert(hold, cluster)
    assert meant.restored(hold, cluster).seen
    assert asked(pod("client"))[0] == 200
    until(lambda: not agents_in(PLACE), "no helper should be left")


def test_what_a_killed_agent_left_is_taken_away_by_another(cluster: Kubernetes) -> None:
    helper = {"by": "helper"}
    meant = fault("kubernetes.network-rate", rate="60Ki", agent=helper, mechanism="tbf")
    hold = lease(meant, cluster)
    meant.inject(hold, cluster)
    (at,) = agents.agents(hold)
    words = ("python3", "-c", KILL, at.errand.mark)
    with contextlib.suppress(Indeterminate):  # it dies with the agent
        cluster.execute(access_of(hold), at.pod, at.name, words, 20)
    killed = until(
        lambda: agent_states.Pods(hold, cluster).state(at, hold).word == "killed", "it dies"
    )
    assert killed
    assert asked(pod("client"), "/large")[1] > 0.5
    assert not meant.restored(hold, cluster).seen
    meant.revert(hold, cluster)
    assert meant.restored(hold, cluster).seen
    assert min(asked(pod("client"), "/large")[1] for _ in range(3)) < 0.5
    until(lambda: not agents_in(PLACE), "no helper should be left")


def test_an_image_that_cannot_be_pulled_harms_nobody_and_is_told(cluster: Kubernetes) -> None:
    image = "localhost/there-is-no-such-image:1"
    meant = fault("kubernetes.network-partition", agent={"by": "helper", "image": image})
    hold = lease(meant, cluster)
    with pytest.raises(Refused, match="does not start"):
        meant.inject(hold, cluster)
    meant.revert(hold, cluster)
    assert meant.restored(hold, cluster).seen
    until(lambda: not agents_in(PLACE), "no helper should be left")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "kubernetes.io", "directory": "tmp"}, "begins with /"),
        ({"name": "kubernetes.io", "directory": "/x", "agent": {"by": "ephemeral"}}, "by: helper"),
        ({"name": "kubernetes.network-latency", "delay": "0s"}, "more than 0"),
        ({"name": "kubernetes.network-loss"}, "say one"),
        ({"name": "kubernetes.network-corrupt"}, "corrupt or duplicate"),
        ({"name": "kubernetes.dns", "names": ["x"]}, "say what harm"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_read(given: dict[str, Any], said: str) -> None:
    name = given.pop("name")
    with pytest.raises(ValueError, match=said):
        fault(name, **given)


def test_peers_that_are_nobody_are_refused_since_they_would_be_everybody(
    cluster: Kubernetes,
) -> None:
    with pytest.raises(Refused, match="nobody is a peer"):
        lease(fault("kubernetes.network-partition", peerPods="app=nobody"), cluster)


def test_without_an_image_nothing_is_planned(
    cluster: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHAOSRUN_AGENT_IMAGE")
    with pytest.raises(Refused, match="none is named"):
        lease(fault("kubernetes.network-partition"), cluster)


def test_peers_that_a_pod_is_among_itself_are_the_others(cluster: Kubernetes) -> None:
    one, other = sorted(pods(PLACE, "client"), key=lambda pod: f"{pod['status']['podIP']}/32")
    target = {"namespace": PLACE, "names": [one["metadata"]["name"]]}
    kind = discovery.fault("kubernetes.network-loss")
    meant = from_plain({"target": target, "loss": "100%", "peerPods": "app=client"}, kind)

    def status() -> Any:
        return python(PLACE, one["metadata"]["name"], ASK, other["status"]["podIP"], "/")[0]

    assert status() == 200
    with held(meant, cluster):
        assert status() == 0
    assert status() == 200
