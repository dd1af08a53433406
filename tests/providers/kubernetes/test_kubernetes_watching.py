"""What is followed is known as it is, whatever becomes of the watch; a wait ends when it is so."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaosrun import commands
from chaosrun.errors import Indeterminate, Transient
from chaosrun.providers.kubernetes.access import CLUSTER, Access, rbac
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import CONFIG_MAP, Object, Ref
from chaosrun.providers.kubernetes.watching import Following, Watched, single
from chaosrun.providers.kubernetes.workload_probe import RecoveredProbe
from chaosrun.rights import Permission
from chaosrun.units import Duration
from tests.cluster.objects import deployment, namespace
from tests.cluster.outside import outside, until
from tests.cluster.session import kubeconfig
from tests.cluster.streams import StreamingApi
from tests.contract.cluster_lab import right_of
from tests.providers.kubernetes.conftest import Runner

PLACE = "watched"
MAPS = f"/api/v1/namespaces/{PLACE}/configmaps"
LABELS = "of=tests"
OURS = f"{MAPS}?labelSelector=of=tests"
REF = Ref(CONFIG_MAP, "one", PLACE)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[StreamingApi]:
    begin()
    found = StreamingApi(kubeconfig(), tmp_path)
    with found:
        yield found


@pytest.fixture
def access(api: StreamingApi) -> Access:
    return Access(kubeconfig=str(api.kubeconfig))


@pytest.fixture
def client() -> Iterator[Kubernetes]:
    found = Kubernetes()
    yield found
    found.close()


def begin() -> None:
    """There is one object, and its value is 0."""
    namespace(PLACE)
    for found in outside().items(OURS):
        outside().delete(f"{MAPS}/{found['metadata']['name']}")
    put("one", 0)


def put(name: str, value: object) -> str:
    """Set its value; the version that this makes."""
    body = {"metadata": {"name": name, "labels": {"of": "tests"}}, "data": {"value": str(value)}}
    return str(outside().apply(MAPS, body)["metadata"]["resourceVersion"])


def value_of(found: Object) -> str:
    """Its value; the cluster's own certificate is there too, in time."""
    return str((found.get("data") or {}).get("value", ""))


class Told:
    """Every change that a follower is told, by its version, and how all are now."""

    def __init__(self, client: Kubernetes, access: Access) -> None:
        self.versions: list[str] = []
        self._watched = Watched(access, CONFIG_MAP, PLACE, labels=LABELS, keep=self._kept)
        self._following = Following(client, [self._watched], time.monotonic() + 60)

    def _kept(self, found: Object) -> bool:
        self.versions.append(found["metadata"]["resourceVersion"])
        return True

    def now(self) -> dict[str, str]:
        of = self._watched
        found = self._following.all(of.access, of.kind, of.namespace, of.labels, of.fields) or ()
        return {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in found}

    def __enter__(self) -> Told:
        self._following.__enter__()
        until(self.now, "it should be listed")
        return self

    def __exit__(self, *_: object) -> None:
        self._following.__exit__(None, None, None)


def truth() -> dict[str, str]:
    return {
        one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in outside().items(OURS)
    }


def fails(*words: str) -> Callable[[int], str]:
    """That goes wrong with the first watches."""
    return lambda number: words[number] if number < len(words) else ""


ENDS = {
    "cut in an event": ["cut:2", "cut:0", "cut:3"],
    "ended by the server": ["end:1", "end:2", "end:1"],
    "no event": ["event:{}", "event:not JSON", "end:1"],
    "an error event": ['event:{"type": "ERROR", "object": {"code": 500}}', "cut:1"],
    "busy and broken": ["cut:1", "busy", "broken", "cut:1"],
}


@pytest.mark.parametrize("words", ENDS.values(), ids=list(ENDS))
def test_a_watch_that_ends_goes_on_and_no_change_is_lost_or_told_twice(
    api: StreamingApi, access: Access, client: Kubernetes, words: list[str]
) -> None:
    api.wrong = fails(*words)
    with Told(client, access) as told:
        until(lambda: api.watches, "it should watch")
        told.versions.clear()
        made = [put("one" if number % 3 else f"more-{number}", number + 1) for number in range(12)]
        outside().delete(f"{MAPS}/more-0")
        until(lambda: told.now() == truth(), "all should be told")
        assert told.versions == made
        assert len(api.watches) > len(words)
    assert api.asked().count("list") == 1


def test_a_busy_server_is_asked_again_when_it_says(
    api: StreamingApi, access: Access, client: Kubernetes
) -> None:
    api.wrong = fails("busy")
    with Told(client, access) as told:
        until(lambda: api.watches, "it should watch")
        made = put("one", "busy")
        until(lambda: len(api.watches) == 2, "it should watch again")
        assert api.arrived[1] - api.arrived[0] > 0.8
        until(lambda: told.now()["one"] == made, "it should be told")
    assert api.asked().count("list") == 1


GONE = '{"type": "ERROR", "object": {"kind": "Status", "reason": "Expired", "code": 410}}'


@pytest.mark.parametrize("word", ["gone", f"event:{GONE}", "old", "end:0"])
def test_where_the_server_has_forgotten_the_version_all_are_listed_anew(
    api: StreamingApi, access: Access, client: Kubernetes, word: str
) -> None:
    put("lost", 1)
    api.wrong = fails("cut:0", word)
    with Told(client, access) as told:
        until(lambda: api.watches, "it should watch")
        outside().delete(f"{MAPS}/lost")
        put("one", word)
        put("one", "more")
        until(lambda: told.now() == truth(), "it should be known as it is")
        until(lambda: len(api.watches) > 2, "it should watch again")
        made = put("one", "again")
        until(lambda: told.now()["one"] == made, "it should be told")
    assert api.asked().count("list") == 2


def test_a_version_that_only_a_bookmark_told_is_gone_on_from(
    api: StreamingApi, access: Access, client: Kubernetes
) -> None:
    later: list[str] = []

    def wrong(number: int) -> str:
        if number:
            return ""
        other = {"metadata": {"name": "aside", "annotations": {"at": str(time.time())}}}
        later.append(str(outside().apply(MAPS, other)["metadata"]["resourceVersion"]))
        mark = {"kind": "ConfigMap", "metadata": {"resourceVersion": later[0]}}
        return f"event:{json.dumps({'type': 'BOOKMARK', 'object': mark})}"

    api.wrong = wrong
    with Told(client, access) as told:
        until(lambda: len(api.watches) > 1, "it should watch again")
        assert api.watches[0]["resourceVersion"] != later[0]
        assert [each["resourceVersion"] for each in api.watches[1:]] == later
        assert api.watches[1]["allowWatchBookmarks"] == "true"
        assert list(told.now()) == ["one"]  # a bookmark is no object


def changes_to(wanted: str, access: Access) -> Callable[[Kubernetes], bool]:
    return lambda client: value_of(client.get(access, REF)) == wanted


def test_a_wait_takes_one_list_and_one_watch_however_often_it_looks(
    api: StreamingApi, access: Access, client: Kubernetes
) -> None:
    looks = [""]

    def look(now: Kubernetes) -> bool:
        looks.append(value_of(now.get(access, REF)))
        return looks[-1] == "30"

    def change() -> None:
        for number in range(30):
            until(lambda: looks[-1] == str(number), f"{number} should be looked at")  # noqa: B023
            put("one", number + 1)

    changing = threading.Thread(target=change)
    changing.start()
    client.until(look, "it should be 30", 60, [single(access, REF)], again=60)
    changing.join()
    assert [value for value, _ in itertools.groupby(looks)] == ["", *map(str, range(31))]
    assert api.asked() == ["one", "list", "watch", "one"]


def test_what_is_so_at_once_is_not_watched(
    api: StreamingApi, access: Access, client: Kubernetes
) -> None:
    client.until(changes_to("0", access), "it should be 0", 20, [single(access, REF)])
    assert api.asked() == ["one"]


def test_only_what_is_kept_is_held_and_looked_at_anew(
    api: StreamingApi, access: Access, client: Kubernetes
) -> None:
    looks: list[list[str]] = []
    kept = Watched(access, CONFIG_MAP, PLACE, keep=lambda found: value_of(found) == "kept")

    def look(now: Kubernetes) -> bool:
        looks.append([value_of(found) for found in now.all(access, CONFIG_MAP, PLACE)])
        return looks[-1].count("kept") == 2

    def change() -> None:
        until(lambda: api.watches, "it should watch")
        for number in range(10):
            put("other", number)
        put("one", "kept")
        put("other", "kept")

    thread = threading.Thread(target=change)
    thread.start()
    client.until(look, "two should be kept", 60, [kept], again=60)
    thread.join()
    first, *between, last = looks
    assert "0" in first
    assert between[-1] == ["kept", "kept"]
    assert {each for one in between for each in one} <= {"kept"}
    assert len(between) <= 3
    assert last.count("kept") == 2
    assert api.asked() == ["list", "list", "watch", "list"]


def test_more_lists_than_a_few_are_asked_for_in_turns(
    api: StreamingApi, access: Access, client: Kubernetes
) -> None:
    timer = threading.Timer(0.5, put, ("one", "changed"))
    timer.start()
    many = [single(access, Ref(CONFIG_MAP, f"n-{number}", PLACE)) for number in range(9)]
    client.until(changes_to("changed", access), "it should change", 60, many, again=60)
    timer.join()
    assert set(api.asked()) == {"one"}


@pytest.mark.parametrize("word", ["still", "dead"])
def test_a_watch_that_stands_still_is_made_up_for_by_a_look_now_and_then(
    api: StreamingApi, access: Access, client: Kubernetes, word: str
) -> None:
    api.wrong = lambda _: word

    def change() -> None:
        until(lambda: api.asked().count("one") > 2, "it should look again")
        put("one", "changed")

    changing = threading.Thread(target=change)
    changing.start()
    began = time.monotonic()
    watching = [single(access, REF)]
    client.until(changes_to("changed", access), "it should change", 20, watching, again=0.4)
    took = time.monotonic() - began
    changing.join()
    assert took < 10
    assert api.asked().count("one") <= 1 + took / 0.4


@pytest.mark.parametrize("word", ["", "still", "dead", "gone", "broken", "never"])
def test_a_wait_ends_at_its_deadline_whatever_the_watch_does(
    api: StreamingApi, access: Access, client: Kubernetes, word: str
) -> None:
    api.wrong = lambda _: word
    began = time.monotonic()
    with pytest.raises(Indeterminate, match="waited in vain: it should change"):
        client.until(changes_to("never", access), "it should change", 1.0, [single(access, REF)])
    assert 1.0 <= time.monotonic() - began < 5  # what is watched would be given up after six
    assert len(api.asked()) < 25


@pytest.mark.parametrize("word", ["", "still", "dead", "gone"])
def test_a_wait_that_is_cancelled_ends_at_once(
    api: StreamingApi, access: Access, client: Kubernetes, word: str
) -> None:
    api.wrong = lambda _: word
    cancellation = commands.Cancellation()
    token, moments = commands.current.set(cancellation), [0.0]

    def cancel() -> None:
        until(lambda: api.watches, "it should watch")
        moments[0] = time.monotonic()
        cancellation.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        with pytest.raises(Indeterminate):
            client.until(changes_to("never", access), "never", 30, [single(access, REF)])
        assert time.monotonic() - moments[0] < 5
    finally:
        commands.current.reset(token)
        thread.join()


def watchers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "chaosrun-watch"]


def test_nothing_is_watched_any_more_when_the_wait_is_over(
    api: StreamingApi, access: Access, client: Kubernetes
) -> None:
    timer = threading.Timer(0.3, put, ("one", "over"))
    timer.start()
    client.until(changes_to("over", access), "it should be over", 60, [single(access, REF)])
    timer.join()
    until(lambda: not watchers(), "the watch should end", seconds=20)  # by itself after thirty


def test_a_wait_asks_in_turns_where_it_may_not_watch(tmp_path: Path) -> None:
    begin()
    get, listed, watched = rbac("configmaps", "get", "list", "watch", scope=REF.scope)
    runner = Runner(tmp_path, rights := [*CLUSTER, get, listed])
    runner.await_rights(rights)
    access, client = Access(kubeconfig=str(runner.kubeconfig)), Kubernetes()
    calls: list[Permission | None] = []
    client.observers.append(lambda *call: calls.append(right_of(*call)))

    def change() -> None:
        until(lambda: calls.count(get) > 4, "it should look again")
        put("one", "changed")

    changing = threading.Thread(target=change)
    changing.start()
    began = time.monotonic()
    client.until(changes_to("changed", access), "it should change", 20, [single(access, REF)])
    assert time.monotonic() - began < 10
    changing.join()
    client.close()
    runner.revoke()
    assert calls.count(listed) == calls.count(watched) == 1
    assert 4 < calls.count(get) < 12


def test_the_right_to_watch_one_object_by_name_is_enough(tmp_path: Path) -> None:
    begin()
    rights = rbac("configmaps", "get", "list", "watch", scope=REF.scope)
    runner = Runner(tmp_path, [*CLUSTER, *rights])
    runner.await_rights([*CLUSTER, *rights])
    access, client = Access(kubeconfig=str(runner.kubeconfig)), Kubernetes()
    calls: list[Permission | None] = []
    client.observers.append(lambda *call: calls.append(right_of(*call)))
    get, listed, watched = rights

    def change() -> None:
        until(lambda: watched in calls, "it should watch")
        put("one", "changed")

    changing = threading.Thread(target=change)
    changing.start()
    watching = [single(access, REF)]
    client.until(changes_to("changed", access), "it should change", 60, watching, again=60)
    changing.join()
    client.close()
    runner.revoke()
    assert calls == [get, listed, watched, get]


def test_a_watch_that_is_cut_is_told_without_the_credentials(
    api: StreamingApi, access: Access, client: Kubernetes
) -> None:
    secrets = [one["user"].get("token", "") for one in json_of(api.kubeconfig)["users"]]
    assert any(secrets)
    api.wrong = lambda _: "cut:0"
    query = {"watch": "1", "timeoutSeconds": "5"}
    with pytest.raises(Transient, match="configmaps: it was cut") as cut:
        list(client.stream(access, MAPS, query, 10).lines())
    assert not any(secret and secret in str(cut.value) for secret in secrets)


def json_of(path: Path) -> Any:
    return json.loads(path.read_text())


class Moments:
    """When a Deployment was last seen not to be ready, and first to be, by asking all the time.

    `longest` is the longest time without an answer: as long as that the machine may stand still.
    """

    def __init__(self, path: str, ready: int) -> None:
        self.not_yet = self.seen = self.longest = 0.0
        self._path, self._ready = path, ready
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        last = time.monotonic()
        while not (self._over.is_set() and self.seen):
            asked = time.monotonic()
            ready = outside().get(self._path)["status"].get("readyReplicas") == self._ready
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now
            if not ready:
                self.not_yet = asked
            elif not self.seen:
                self.seen = now

    def __enter__(self) -> Moments:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_the_moment_of_a_recovery_is_known_to_some_milliseconds(client: Kubernetes) -> None:
    namespace(PLACE)
    path = f"/apis/apps/v1/namespaces/{PLACE}/deployments/web"
    outside().delete(path)
    deployment(PLACE, "web", 0)
    asked: list[str] = []
    client.observers.append(lambda _method, path, _query: asked.append(path))
    probe = RecoveredProbe(
        namespace=PLACE, called="web", within=Duration(90), kubeconfig=str(kubeconfig())
    )
    probe.observe(client)
    for replicas in (1, 2, 3):  # one that asks four times a second is by chance right once
        asked.clear()
        outside().patch(path, {"spec": {"replicas": replicas}})
        with Moments(path, replicas) as truth:
            began = time.monotonic()
            found = probe.observe(client)
        assert found.recovered
        assert found.ready == replicas
        latest = truth.seen + truth.longest + 0.1
        assert truth.not_yet < began + found.took.seconds < latest
        assert found.took.seconds > 0.1
        looks = [path for path in asked if "selfsubjectaccessreviews" not in path]
        assert len(looks) <= 4 + found.took.seconds / 5
    outside().delete(path)
