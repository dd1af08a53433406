"""A real Istio beside the cluster: its own kinds, istiod on this machine, and its sidecars.

The sidecar is Envoy as its authors publish it, not Istio's build of it, and there is no iptables:
istiod leaves out the filters that only Istio's build has, and a program asks through the port
that istiod opens in the sidecar for HTTP proxying.
Law: it looks at the namespaces it is given and at no other, and writes to its own alone.
"""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import Any

import yaml

from tests.cluster.build import module, program
from tests.cluster.cluster import Cluster
from tests.cluster.network import HOST

PROXY_PORT, ADMIN_PORT = 15080, 15000
_KINDS = ("virtualservices", "destinationrules", "gateways", "sidecars", "serviceentries")
_GROUP = "networking.istio.io"
_CHARTS = "manifests/charts/base/files/crd-all.gen.yaml"
_WITHOUT = {
    "PILOT_ENABLE_ALPN_FILTER": "false",  # filters of Istio's own Envoy
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "ENABLE_CA_SERVER": "false",  # else its root goes into every namespace
    "PILOT_CERT_PROVIDER": "none",
    "PILOT_ENABLE_GATEWAY_API": "false",  # others' gateways are not ours
    "INJECTION_WEBHOOK_CONFIG_NAME": "",
    "VALIDATION_WEBHOOK_CONFIG_NAME": "",
}
_ENVIRONMENT = {
    **_WITHOUT, "PILOT_ENABLE_ANALYSIS": "true", "PILOT_ANALYSIS_INTERVAL": "1s",
    "PILOT_DEBOUNCE_AFTER": "20ms",
}  # fmt: skip


def kinds() -> list[dict[str, Any]]:
    """Istio's own definitions of its kinds, out of the module it is built of. Raises Missing."""
    text = (module("istiod", "istio.io/istio") / _CHARTS).read_text()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    names = [f"{plural}.{_GROUP}" for plural in _KINDS]
    return [
        yaml.load(part, loader)
        for part in text.split("\n---")
        if any(f"\n  name: {name}\n" in part for name in names)
    ]


class Istiod:
    """The one of a cluster: it tells the sidecars of `namespaces` what to do."""

    def __init__(self, cluster: Cluster, own: str, namespaces: Iterable[str]) -> None:
        self._cluster, self._own = cluster, own
        self._namespaces = list(namespaces)
        self._http, self.port = _free(), _free()
        self._home = cluster.directory / "istiod"

    def start(self) -> None:
        """Return when it is ready. Raises Missing where it cannot be built."""
        binary = program("istiod")
        self._home.mkdir(exist_ok=True)
        mesh = self._home / "mesh.json"
        mesh.write_text(json.dumps(self._mesh()))
        words = [
            "env", *(f"{name}={value}" for name, value in _ENVIRONMENT.items()), "POD_NAME=istiod",
            f"POD_NAMESPACE={self._own}", str(binary), "discovery",
            f"--kubeconfig={self._cluster.kubeconfig}", f"--namespace={self._own}",
            f"--meshConfig={mesh}", f"--grpcAddr={HOST}:{self.port}", "--secureGRPCAddr=",
            f"--httpAddr=127.0.0.1:{self._http}", "--httpsAddr=", "--monitoringAddr=",
            "--ctrlz_port=0", "--profile=false", "--shutdownDuration=0s",
        ]  # fmt: skip
        self._cluster.parts.start("istiod", words)
        self._cluster.until("istiod should be ready", self._ready, seconds=60)

    def end(self) -> None:
        self._cluster.parts.end("istiod")

    def log(self) -> str:
        return self._cluster.parts.log("istiod")

    def asked(self, path: str) -> Any:
        """What it answers on its page for debugging, from this machine alone."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._http}/{path}", timeout=5) as answer:
            return json.loads(answer.read())

    def _ready(self) -> bool:
        if not self._cluster.parts.runs("istiod"):
            raise RuntimeError(f"istiod has ended: {self.log()}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._http}/ready", timeout=5) as said:
                return bool(said.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _mesh(self) -> dict[str, Any]:
        names = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": self._namespaces}
        return {
            "rootNamespace": self._own, "enableAutoMtls": False, "enablePrometheusMerge": False,
            "ingressControllerMode": "OFF", "discoverySelectors": [{"matchExpressions": [names]}],
            "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
        }  # fmt: skip


def sidecar(port: int, namespace: str, pod: str, address: str) -> dict[str, Any]:
    """What Envoy is told when it starts: who it is, and that istiod at that port knows the rest."""
    domain = f"{namespace}.svc.cluster.local"
    upstream = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    address_of = {"socket_address": {"address": HOST, "port_value": port}}
    return {
        "node": {
            "id": f"sidecar~{address}~{pod}.{namespace}~{domain}", "cluster": f"client.{namespace}",
            "metadata": {
                "NAMESPACE": namespace, "NAME": pod, "INSTANCE_IPS": address,
                "CLUSTER_ID": "Kubernetes", "ISTIO_VERSION": "1.31.0",
                "INTERCEPTION_MODE": "NONE", "HTTP_PROXY_PORT": str(PROXY_PORT),
            },
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC", "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "istiod"}}],
            },
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {"clusters": [{
            "name": "istiod", "type": "STATIC", "connect_timeout": "1s",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": upstream, "explicit_http_config": {"http2_protocol_options": {}},
                },
            },
            "load_assignment": {"cluster_name": "istiod", "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": address_of}}]},
            ]},
        }]},
        "admin": {"address": {
            "socket_address": {"address": "127.0.0.1", "port_value": ADMIN_PORT},
        }},
    }  # fmt: skip


def _free() -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])
