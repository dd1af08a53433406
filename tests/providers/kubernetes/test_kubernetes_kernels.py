"""What the nodes' kernels have: found by `doctor`, noted, and believed while it holds."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chaosrun import commands, discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.fault import AnyFault, Hold
from chaosrun.mechanisms import kernel
from chaosrun.mechanisms.choosing import NAMES, choose
from chaosrun.mechanisms.impairment import Impairment
from chaosrun.mechanisms.traffic import Traffic
from chaosrun.providers.kubernetes import kernel_trials
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.agents import IMAGE
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kernel_trials import LABEL, Trials
from chaosrun.providers.kubernetes.kernels import ANNOTATION
from chaosrun.rights import Permission
from tests.cluster import images
from tests.cluster.inside import make, point, whole
from tests.cluster.objects import namespace, pods
from tests.cluster.outside import Object, outside, until
from tests.cluster.session import kubeconfig
from tests.providers.kubernetes.conftest import Runner

PLACE = "kernels"
NODES = "/api/v1/nodes"
PODS = f"/api/v1/namespaces/{PLACE}/pods"
IMPAIRMENTS = {
    "latency": Impairment(delay=0.1),
    "loss": Impairment(loss=0.1),
    "rate": Impairment(rate=1e5),
}


@pytest.fixture(scope="module", autouse=True)
def world() -> Iterator[None]:
    with contextlib.ExitStack() as cleanup:
        point(cleanup)
        make(PLACE)
        until(lambda: whole(PLACE), f"{PLACE} should be whole")
        cleanup.callback(forget)
        yield


@pytest.fixture(autouse=True)
def nothing_known(world: None) -> None:
    forget()


def nodes() -> list[Object]:
    return outside().items(NODES)


def forget() -> None:
    for node in nodes():
        if ANNOTATION in node["metadata"].get("annotations", {}):
            annotate(node["metadata"]["name"], None)


def annotate(node: str, text: str | None) -> None:
    outside().patch(f"{NODES}/{node}", {"metadata": {"annotations": {ANNOTATION: text}}})


def note(node: Object, *works: str, **other: str) -> None:
    """Note that this works there, and nothing else."""
    told = node["status"]["nodeInfo"]
    lacks = sorted(kernel.TRIED - {*works})
    found = {"version": told["kernelVersion"], "boot": told["bootID"], "works": works}
    name = node["metadata"]["name"]
    annotate(name, json.dumps({**found, "lacks": lacks, **other}))


def note_all(*works: str, **other: str) -> None:
    for node in nodes():
        note(node, *works, **other)


def noted() -> dict[str, Any]:
    return {
        node["metadata"]["name"]: json.loads(node["metadata"]["annotations"][ANNOTATION])
        for node in nodes()
        if ANNOTATION in node["metadata"].get("annotations", {})
    }


def trials() -> list[Object]:
    return outside().items(f"{PODS}?labelSelector={LABEL}")


def doctor(*words: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "chaosrun", "doctor", "--kubernetes", "--namespace", PLACE]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig()), **(env or {})}
    return subprocess.Popen(
        [*line, *words], env=environment, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def said(started: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = started.communicate(timeout=200)
    return started.returncode, out, err


def fault(name: str, place: str = PLACE, pick: str = "one", **given: Any) -> AnyFault:
    target = {"namespace": place, "selector": "app=client", "pick": pick}
    return from_plain({"target": target, **given}, discovery.fault(f"kubernetes.{name}"))


def plan(meant: AnyFault, client: Kubernetes) -> Hold:
    return meant.plan(client, random.Random(7))


def chosen(hold: Hold) -> set[str]:
    """The mechanisms that the agents are told."""
    return {target.undo["wish"].get("mechanism", "auto") for target in hold.targets}


def test_doctor_finds_what_each_node_has_notes_it_and_leaves_nothing_else() -> None:
    code, out, err = said(doctor("--yes", "--output", "json"))
    assert code == 0, out + err
    rows = {row["node"]: row for row in json.loads(out)}
    there = {node["metadata"]["name"]: node["status"]["nodeInfo"] for node in nodes()}
    assert sorted(rows) == sorted(there)
    assert trials() == []
    for name, row in rows.items():
        about = noted()[name]
        assert (about["version"], about["boot"]) == (row["kernel"], row["boot"])
        assert row["kernel"] == there[name]["kernelVersion"]
        assert row["boot"] == there[name]["bootID"]
        assert about["works"] == row["works"]
        assert {*about["works"], *about["lacks"]} == kernel.TRIED
        offers = kernel.Offers(works=frozenset(row["works"]))
        for what, impairment in IMPAIRMENTS.items():
            assert row[what] == choose("auto", offers, "", impairment, Traffic(direction="out"))
        if row["boot"] == kernel.here().boot:  # its node is this machine
            assert set(row["works"]) == kernel.offers().works


def test_its_table_lines_up_and_is_coloured_for_a_person_only() -> None:
    code, out, _ = said(doctor("--yes"))
    assert (code, "\x1b" in out) == (0, False)
    header, *rows = out.split("\n\n")[0].splitlines()
    assert header.split() == ["NODE", "KERNEL", "LATENCY", "LOSS", "RATE", "HAS"]
    assert len(rows) == len(nodes())
    for column in header.split()[1:]:
        at = header.index(column)
        assert all(row[at - 1] == " " and row[at] != " " for row in rows)
    assert "\x1b[1mNODE" in said(doctor("--yes", "--color", "always"))[1]


def test_once_it_is_known_the_plan_names_the_mechanism_and_the_run_is_of_it(
    cluster: Kubernetes,
) -> None:
    assert said(doctor("--yes"))[0] == 0
    for meant, what in (
        (fault("network-latency", delay="50ms"), "latency"),
        (fault("network-rate", rate="100Ki"), "rate"),
    ):
        hold = plan(meant, cluster)
        node = hold.targets[0].undo["node"]
        offers = kernel.Offers(works=frozenset(noted()[node]["works"]))
        expected = choose("auto", offers, "", IMPAIRMENTS[what], Traffic(direction="out"))
        assert hold.mechanism.startswith(f"{NAMES[expected]}; by ")
        assert chosen(hold) == {expected}
        detail = evidence(meant, hold, cluster)
        marks = {"tun": "passed our device", "tbf": "tbf on ", "netem": "netem on "}
        assert marks[expected] in detail


def evidence(meant: AnyFault, planned: Hold, client: Kubernetes) -> str:
    """What is seen of it while it is there."""
    hold = replace(planned, mark=uuid.uuid4().hex, deadline=time.time() + 90)
    try:
        meant.inject(hold, client)
        looked = meant.took_effect(hold, client)
        assert looked.seen
        return looked.detail
    finally:
        meant.revert(hold, client)
        assert meant.restored(hold, client).seen


def test_what_the_plan_named_is_used_or_refused(cluster: Kubernetes) -> None:
    if "netem" in kernel.offers().works:
        pytest.skip("a kernel without netem")
    note_all("netem")
    meant = fault("network-latency", delay="50ms")
    hold = plan(meant, cluster)
    assert chosen(hold) == {"netem"}
    with pytest.raises(Refused, match="netem cannot do this here"):
        evidence(meant, hold, cluster)


def test_where_nobody_looked_the_plan_says_what_is_tried_and_how_to_know(
    cluster: Kubernetes,
) -> None:
    hold = plan(fault("network-latency", delay="50ms"), cluster)
    node = hold.targets[0].undo["node"]
    assert f"the first that the kernel of {node} (" in hold.mechanism
    assert "`chaosrun doctor --kubernetes` finds out" in hold.mechanism
    assert chosen(hold) == {"auto"}
    named = plan(fault("network-latency", delay="50ms", mechanism="tun"), cluster)
    assert named.mechanism.startswith(f"{NAMES['tun']}; by ")


@pytest.mark.parametrize(
    ("other", "why"),
    [({"boot": "another"}, "an earlier start"), ({"version": "6.1.0"}, "an earlier start")],
)
def test_a_note_of_another_start_is_not_believed(
    cluster: Kubernetes, other: dict[str, str], why: str
) -> None:
    meant = fault("network-latency", delay="50ms")
    note_all("tun", "rules")
    assert chosen(plan(meant, cluster)) == {"tun"}
    note_all("tun", "rules", **other)
    hold = plan(meant, cluster)
    assert chosen(hold) == {"auto"}
    assert why in hold.mechanism


def test_a_note_that_cannot_be_read_or_knows_less_is_not_believed(cluster: Kubernetes) -> None:
    told = nodes()[0]["status"]["nodeInfo"]
    less = {"version": told["kernelVersion"], "boot": told["bootID"], "works": ["tun", "rules"]}
    meant = fault("network-latency", delay="50ms")
    for text, why in (
        ("netem", "cannot be read"),
        (json.dumps({**less, "lacks": []}), "an older chaosrun"),
    ):
        for node in nodes():
            annotate(node["metadata"]["name"], text)
        hold = plan(meant, cluster)
        assert chosen(hold) == {"auto"}
        assert why in hold.mechanism


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        ("network-latency", {"delay": "50ms"}, "nothing here can do this"),
        ("network-latency", {"delay": "50ms", "mechanism": "tun"}, "tun cannot do this here"),
        ("network-loss", {"loss": "5%", "correlation": "20%"}, "nothing here can do this"),
        ("network-partition", {}, "it has no nftables"),
        ("dns", {"names": ["shop.example"], "answer": "nxdomain"}, "no redirects of nftables"),
    ],
)
def test_what_no_kernel_there_can_do_is_refused_before_anything_is_touched(
    cluster: Kubernetes, name: str, given: dict[str, Any], why: str
) -> None:
    plan(fault(name, **given), cluster)
    note_all()
    with pytest.raises(Refused, match=rf"the kernel of \S+ \(.*{why}") as refused:
        plan(fault(name, **given), cluster)
    assert "looks again" in refused.value.hint


def test_where_kernels_differ_the_plan_says_which_node_gets_what(cluster: Kubernetes) -> None:
    one, other = sorted({pod["spec"]["nodeName"] for pod in pods(PLACE, "client")})
    by_name = {node["metadata"]["name"]: node for node in nodes()}
    note(by_name[one], "tbf")
    note(by_name[other], "tun", "rules")
    hold = plan(fault("network-rate", pick="all", rate="100Ki"), cluster)
    told = {target.undo["node"]: target.undo["wish"]["mechanism"] for target in hold.targets}
    assert told == {one: "tbf", other: "tun"}
    assert f"on {one}: {NAMES['tbf']}" in hold.mechanism
    assert f"on {other}: {NAMES['tun']}" in hold.mechanism


def test_what_a_pod_with_a_kernel_of_its_own_has_is_not_known(cluster: Kubernetes) -> None:
    body = {"metadata": {"name": "same-runtime"}, "handler": "runc"}
    classes = "/apis/node.k8s.io/v1/runtimeclasses"
    outside().apply(classes, body)
    try:
        pod = {
            "metadata": {"name": "boxed", "labels": {"app": "boxed"}},
            "spec": {
                "runtimeClassName": "same-runtime",
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {"name": "main", "image": images.BUSYBOX, "command": ["sleep", "600"]}
                ],
            },
        }
        outside().apply(PODS, pod)
        until(
            lambda: outside().get(f"{PODS}/boxed")["status"].get("phase") == "Running",
            "the pod should run",
        )
        note_all("tun", "rules")
        target = {"namespace": PLACE, "selector": "app=boxed"}
        kind = discovery.fault("kubernetes.network-latency")
        hold = plan(from_plain({"target": target, "delay": "50ms"}, kind), cluster)
        assert chosen(hold) == {"auto"}
        assert f"pod {PLACE}/boxed (runtime class same-runtime)" in hold.mechanism
        assert "finds out" not in hold.mechanism
    finally:
        outside().delete(f"{PODS}/boxed")
        outside().delete(f"{classes}/same-runtime")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_look_leaves_no_pod(number: int) -> None:
    started = doctor("--yes")
    until(trials, "a pod should look")
    started.send_signal(number)
    code, _, err = said(started)
    assert code == 128 + number
    assert "stopped" in err
    assert trials() == []


def test_without_an_image_nothing_is_asked_of_the_cluster() -> None:
    code, _, err = said(doctor("--yes", env={IMAGE: ""}))
    assert (code, "none is named" in err) == (3, True)


def test_without_a_yes_nothing_is_done() -> None:
    code, _, err = said(doctor())
    assert (code, "--yes" in err) == (2, True)
    assert noted() == {}


def test_an_image_that_the_nodes_do_not_get_is_told_of_each() -> None:
    code, out, _ = said(doctor("--yes", "--image", "localhost/there-is-no-such-image:1"))
    assert code == 1
    assert out.count("does not start: ") == len(nodes())
    assert "an image of chaosrun is needed" in out
    assert (trials(), noted()) == ([], {})


def test_a_namespace_that_admits_no_such_pod_is_told() -> None:
    place = f"{PLACE}-baseline"
    namespace(place)
    label = {"pod-security.kubernetes.io/enforce": "baseline"}
    outside().patch(f"/api/v1/namespaces/{place}", {"metadata": {"labels": label}})
    code, _, err = said(doctor("--yes", "--namespace", place))
    assert (code, "PodSecurity" in err, "privileged pods are admitted" in err) == (3, True, True)


def test_any_right_that_is_missing_is_named_before_anything_is_done(tmp_path: Path) -> None:
    needed = kernel_trials.rights(PLACE)
    runner = Runner(tmp_path, needed)
    try:
        env = {"KUBECONFIG": str(runner.kubeconfig)}
        code, out, err = said(doctor("--yes", env=env))
        assert code == 0, out + err
        forget()
        for left_out in (Permission("rbac", "patch", "nodes"),
                         Permission("rbac", "create", "pods", PLACE)):  # fmt: skip
            assert left_out in needed
            runner.grant(set(needed) - {left_out})
            until(
                lambda: "rights are missing" in said(doctor("--yes", env=env))[2],
                "the authorizer should know",
            )
            code, _, err = said(doctor("--yes", env=env))
            assert code == 3
            assert f"rights are missing: {left_out.action} {left_out.resource}" in err
            assert (noted(), trials()) == ({}, [])
    finally:
        runner.revoke()


def test_what_pods_see_in_kernels_of_their_own_is_not_noted(cluster: Kubernetes) -> None:
    access = cluster.settle(Access())
    able, _ = kernel_trials.nodes(cluster, access)
    node = able[0]
    node["status"]["nodeInfo"]["bootID"] = "that of the machine"
    (found,) = Trials(cluster, access, os.environ[IMAGE], PLACE).run([node])
    assert found.offers is None
    assert "kernels of their own" in found.problem
    assert (noted(), trials()) == ({}, [])


def test_a_pod_that_does_not_come_to_an_end_is_told_and_taken_away(
    cluster: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = cluster.settle(Access())
    able, _ = kernel_trials.nodes(cluster, access)
    monkeypatch.setattr(kernel_trials, "_WITHIN", 0.01)
    (found,) = Trials(cluster, access, os.environ[IMAGE], PLACE).run(able[:1])
    assert "did not come to an end" in found.problem
    assert (noted(), trials()) == ({}, [])


def test_nodes_that_take_no_pods_are_not_looked_at(cluster: Kubernetes) -> None:
    access = cluster.settle(Access())
    name = nodes()[-1]["metadata"]["name"]
    outside().patch(f"{NODES}/{name}", {"spec": {"unschedulable": True}})
    try:
        able, skipped = kernel_trials.nodes(cluster, access)
    finally:
        outside().patch(f"{NODES}/{name}", {"spec": {"unschedulable": None}})
    assert name not in [one["metadata"]["name"] for one in able]
    assert "it is cordoned" in next(one for one in skipped if one.node == name).problem


def test_the_next_look_takes_away_what_one_left_that_was_killed(
    cluster: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = doctor("--yes")
    until(trials, "a pod should look")
    started.kill()
    said(started)
    assert trials()
    access = cluster.settle(Access())
    Trials(cluster, access, os.environ[IMAGE], PLACE).run([])
    assert trials()  # they may be somebody's who is still looking
    monkeypatch.setattr(kernel_trials, "_FORGOTTEN", -60.0)
    Trials(cluster, access, os.environ[IMAGE], PLACE).run([])
    assert trials() == []


def test_who_is_told_to_stop_starts_no_more(cluster: Kubernetes) -> None:
    access = cluster.settle(Access())
    able, _ = kernel_trials.nodes(cluster, access)
    calls: list[tuple[str, str]] = []
    cluster.observers.append(lambda method, path, _: calls.append((method, path)))
    stop = commands.Cancellation()
    stop.cancelled = True
    token = commands.current.set(stop)
    try:
        assert Trials(cluster, access, os.environ[IMAGE], PLACE).run(able) == []
    finally:
        commands.current.reset(token)
    assert ("POST", PODS) not in calls
    assert (noted(), trials()) == ({}, [])
