"""How a cluster is reached, and what is said when it is not."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from chaosrun.errors import Refused, Transient
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.answers import Blocked, Changed, Exists, NotFound, error_of
from chaosrun.providers.kubernetes.api import Kubernetes
from tests.cluster.faults import FaultyApi
from tests.cluster.session import kubeconfig


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
        with pytest.raises(Refused, match="names another server than before"):
            other.settle(stale)
        client.close()
        other.close()


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
