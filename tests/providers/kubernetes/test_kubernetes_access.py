"""How a cluster is reached, and what is said when it is not."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from chaosrun.errors import Refused, Transient
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.answers import Blocked, Changed, Exists, NotFound, error_of
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.client import Connection
from chaosrun.providers.kubernetes.kinds import POD, Ref
from tests.cluster.faults import FaultyApi
from tests.cluster.objects import pods
from tests.cluster.session import kubeconfig
from tests.cluster.tunnel import Tunnel


def written(directory: Path, server: str = "http://127.0.0.1:9", **user: object) -> str:
    path = directory / "config"
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user or {"token": "a-token-of-a-test"}}],
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
    }))  # fmt: skip
    return str(path)


def test_a_cluster_that_does_not_answer_is_told_within_seconds(tmp_path: Path) -> None:
    client = Kubernetes()
    with pytest.raises(Transient, match=r"cannot be reached: .*refused") as refused:
        client.settle(Access(kubeconfig=written(tmp_path)))
    assert "a-token-of-a-test" not in str(refused.value)
    client.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no current context"),
        ("- a list", "cannot be read"),
        ("{", "cannot be read"),
        ("apiVersion: v1\nkind: Config\n", "no current context"),
        ('{"apiVersion": "v1", "current-context": "none", "contexts": []}', "kubeconfig"),
    ],
)
def test_a_kubeconfig_that_is_wrong_is_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(Refused, match=said):
        Kubernetes().settle(Access(kubeconfig=str(path)))


def test_without_a_kubeconfig_nothing_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chaosrun.providers.kubernetes import marks

    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert marks.find(Kubernetes()) == ()
    with pytest.raises(Refused, match=re.escape(f"no kubeconfig at {tmp_path / 'none'}")):
        Kubernetes().settle(Access())


def test_a_context_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="two"):
        Kubernetes().settle(Access(kubeconfig=written(tmp_path), context="two"))


def test_the_first_of_several_kubeconfigs_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = os.pathsep.join([str(kubeconfig()), written(tmp_path)])
    monkeypatch.setenv("KUBECONFIG", both)
    client = Kubernetes()
    assert client.settle(Access()).cluster
    client.close()


def test_credentials_that_expired_are_read_anew_but_not_those_of_another_server(
    tmp_path: Path,
) -> None:
    with FaultyApi(kubeconfig(), tmp_path) as api:
        config = json.loads(api.kubeconfig.read_text())
        good = config["users"][0]["user"]["token"]
        client, access = Kubernetes(), Access(kubeconfig=str(api.kubeconfig))
        config["users"][0]["user"]["token"] = "expired"
        api.kubeconfig.write_text(json.dumps(config))
        with pytest.raises(Refused, match="the credentials are not accepted"):
            client.settle(access)
        config["users"][0]["user"]["token"] = good
        api.kubeconfig.write_text(json.dumps(config))
        assert client.settle(access).cluster
        config["users"][0]["user"]["token"] = "expired"
        api.kubeconfig.write_text(json.dumps(config))
        other, stale = Kubernetes(), Access(kubeconfig=str(api.kubeconfig), context="test")
        other._connection(stale)  # it has read the expired token
        config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:9"
        api.kubeconfig.write_text(json.dumps(config))
        for _ in range(3):  # it stays with the one that was meant, however often it is tried
            with pytest.raises(Refused, match="names another server than before"):
                other.settle(stale)
        client.close()
        other.close()


class Renamed(BaseHTTPRequestHandler):
    """A fake: by its second token the same address leads to another cluster, as a tunnel may."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        uid = {"Bearer first": "one", "Bearer second": "another"}[self.headers["Authorization"]]
        self.asked.append(f"{uid} {self.path}")
        expired = uid == "one" and self.asked.count(f"one {self.path}") > 1
        body = json.dumps({"metadata": {"uid": uid}}).encode()
        self.send_response(401 if expired else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_new_credentials_of_another_cluster_at_that_address_are_not_used(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Renamed) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_port}"
        client, ref = Kubernetes(), Ref(POD, "one", "shop")
        access = client.settle(Access(kubeconfig=written(tmp_path, address, token="first")))
        assert client.get(access, ref)
        written(tmp_path, address, token="second")

        def refused(_: int) -> None:
            with pytest.raises(Refused, match=r"cluster one is meant, and .* is cluster another"):
                client.get(access, ref)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(refused, range(24)))
        client.close()
        server.shutdown()
    there = {each for each in Renamed.asked if each.startswith("another")}
    assert there == {"another /api/v1/namespaces/kube-system"}


def test_each_answer_becomes_the_error_that_it_means() -> None:
    def of(status: int, method: str = "PATCH", **body: object) -> BaseException:
        return error_of(status, json.dumps(body).encode(), method, "PATCH /x")

    blocked = {"causes": [{"reason": "DisruptionBudget", "message": "it needs 2"}]}
    assert isinstance(of(429, details=blocked), Blocked)
    assert str(of(429, details=blocked)) == "it needs 2"
    assert isinstance(of(429, message="slow down"), Transient)
    assert isinstance(of(404), NotFound)
    assert isinstance(of(409, reason="AlreadyExists"), Exists)
    assert isinstance(of(409, reason="Conflict"), Changed)
    assert type(of(500)).__name__ == "Indeterminate"
    assert type(of(500, "GET")).__name__ == "Transient"
    assert isinstance(of(422, message="no"), Refused)
    assert isinstance(error_of(500, b"<html>", "GET", "GET /x"), Transient)


def test_a_kubeconfig_that_is_no_yaml_is_not_quoted_since_it_holds_a_token(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("users:\n- user:\n    token: a-token-of-a-test: oops\n")
    with pytest.raises(Refused, match="it is not YAML, at line 3") as refused:
        Kubernetes().settle(Access(kubeconfig=str(path)))
    assert "a-token-of-a-test" not in str(refused.value)


def test_no_cluster_waits_for_the_credentials_of_another(tmp_path: Path) -> None:
    (slow := tmp_path / "slow").mkdir()
    program = {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "sleep", "args": ["3"],
        "interactiveMode": "Never",
    }  # fmt: skip
    client, waiting = Kubernetes(), Access(kubeconfig=written(slow, exec=program))
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(client._connection, waiting)
        time.sleep(0.5)
        client._connection(Access(kubeconfig=written(tmp_path)))
        assert not asked.done()
    client.close()


def test_a_program_in_a_pod_is_run_through_the_proxy_of_every_other_call(
    shop: str, tmp_path: Path
) -> None:
    found, path = yaml.safe_load(kubeconfig().read_text()), tmp_path / "through-a-proxy"
    with Tunnel() as tunnel:
        for each in found["clusters"]:
            each["cluster"]["proxy-url"] = f"http://someone:a%20word@127.0.0.1:{tunnel.port}"
        path.write_text(yaml.safe_dump(found))
        access, client = Access(kubeconfig=str(path)), Kubernetes()
        pod = Ref(POD, pods(shop, "traffic")[0]["metadata"]["name"], shop)
        client.get(access, pod)
        calls = len(tunnel.asked)
        assert client.execute(access, pod, "traffic", ("echo", "hello"), 20) == "hello\n"
        client.close()
        assert len(tunnel.asked) == calls + 1
        credentials = b64encode(b"someone:a word").decode()
        assert {said for _, said in tunnel.asked} == {f"Basic {credentials}"}


def test_a_program_in_a_pod_is_run_without_a_proxy_where_other_calls_have_none(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    access, client = Access(kubeconfig=str(kubeconfig())), Kubernetes()
    pod = Ref(POD, pods(shop, "traffic")[0]["metadata"]["name"], shop)
    client.get(access, pod)
    for name in ("https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # after the other calls had been set up
    assert client.execute(access, pod, "traffic", ("echo", "hello"), 20) == "hello\n"
    client.close()


def test_a_proxy_that_programs_in_pods_cannot_be_run_through_is_refused(
    tmp_path: Path,
) -> None:
    found, path = yaml.safe_load(kubeconfig().read_text()), tmp_path / "through-a-proxy"
    for each in found["clusters"]:
        each["cluster"]["proxy-url"] = "https://127.0.0.1:9"
    path.write_text(yaml.safe_dump(found))
    connection = Connection(Access(kubeconfig=str(path)))
    with pytest.raises(Refused, match="no program can be run in a pod through a proxy of https"):
        connection.execute("/", (), 1)
    connection.close()
