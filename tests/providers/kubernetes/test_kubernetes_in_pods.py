"""What agents do inside of pods, measured from other pods, and what does not let them in."""

from __future__ import annotations

import contextlib
import random
import statistics
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Indeterminate, Refused
from chaosrun.fault import AnyFault, Hold
from chaosrun.providers.kubernetes import agents
from chaosrun.providers.kubernetes.access import access_of
from chaosrun.providers.kubernetes.api import Kubernetes
from tests.contract.labs.in_pods import ASK, make, point, python, whole
from tests.contract.labs.kubernetes import Object, namespace, outside, pods, until

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
    target = {"namespace": place, "selector": "app=web", "pick": "one"}
    return from_plain({"target": target, **given}, discovery.fault(name))


def lease(meant: AnyFault, client: Kubernetes) -> Hold:
    hold = meant.plan(client, random.Random(7))
    return replace(hold, mark=uuid.uuid4().hex, deadline=time.time() + 90)


@contextlib.contextmanager
def held(meant: AnyFault, client: Kubernetes) -> Iterator[Hold]:
    hold = lease(meant, client)
    try:
        meant.inject(hold, client)
        yield hold
    finally:
        meant.revert(hold, client)
        assert meant.restored(hold, client).seen


def pod(app: str, number: int = 0, place: str = PLACE) -> Object:
    return sorted(pods(place, app), key=lambda one: str(one["metadata"]["name"]))[number]


def address_of_server() -> str:
    return str(pod("web")["status"]["podIP"])


def asked(client: Object, path: str = "/") -> tuple[int, float]:
    """The status and the time of a request of that pod to the server."""
    found = python(PLACE, client["metadata"]["name"], ASK, address_of_server(), path)
    return found[0], found[1]


def test_another_pod_sees_the_delay_that_was_asked_for(cluster: Kubernetes) -> None:
    def median() -> float:
        name = pod("client")["metadata"]["name"]
        return float(statistics.median(python(PLACE, name, SAMPLES, address_of_server())))

    before = median()
    with held(fault("kubernetes.network-latency", delay="150ms"), cluster):
        during = median()
    # One for the handshake, one for the answer.
    assert 0.28 <= during - before <= 0.60
    assert median() < before + 0.1


def test_a_partition_cuts_exactly_the_named_peers(cluster: Kubernetes) -> None:
    one, other = pod("client"), pod("client", 1)
    peers = [one["status"]["podIP"]]
    with held(fault("kubernetes.network-partition", peers=peers), cluster):
        assert asked(one)[0] == 0
        assert asked(other)[0] == 200
    assert asked(one)[0] == 200


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
    killed = until(lambda: agents.Pods(hold, cluster).state(at, hold).word == "killed", "it dies")
    assert killed
    assert asked(pod("client"), "/large")[1] > 0.5
    assert not meant.restored(hold, cluster).seen
    meant.revert(hold, cluster)
    assert meant.restored(hold, cluster).seen
    assert asked(pod("client"), "/large")[1] < 0.5
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
