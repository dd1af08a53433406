"""The control plane on this machine: certificates, tokens, etcd, API server, its controllers."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.cluster.network import HOST, KUBERNETES_SERVICE, SERVICES
from tests.cluster.parts import Parts

PORT = 16443
_ETCD, _ETCD_PEERS = "127.0.0.1:12379", "127.0.0.1:12380"
ADMIN = "admin"


def token_of(user: str) -> str:
    """The tokens are known: only this machine reaches the cluster, and only while tests run."""
    return f"token-of-{user.replace(':', '-')}"


def secrets(directory: Path, nodes: list[str]) -> None:
    """Certificates, keys, tokens, and a kubeconfig for each user."""
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    names = ["127.0.0.1", "localhost", HOST, KUBERNETES_SERVICE, "kubernetes.default.svc"]
    certificate = authority.issue_cert(*names)
    certificate.private_key_pem.write_to_path(directory / "api.key")
    for number, pem in enumerate(certificate.cert_chain_pems):
        pem.write_to_path(directory / "api.pem", append=number > 0)
    key = directory / "accounts.key"
    subprocess.run(
        ["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True, timeout=60
    )
    users = {
        ADMIN: "system:masters",
        "controllers": "system:masters",
        "scheduler": "system:masters",
    }
    users |= {f"system:node:{node}": "system:nodes" for node in nodes}
    users["proxy"] = "system:masters"
    rows = [f'{token_of(user)},{user},{user},"{group}"' for user, group in users.items()]
    (directory / "tokens.csv").write_text("\n".join(rows) + "\n")
    for user in users:
        kubeconfig(directory, user)


def kubeconfig(directory: Path, user: str) -> Path:
    """How that user reaches the cluster."""
    path = directory / f"{user.replace(':', '-')}.kubeconfig"
    path.write_text(json.dumps(kubeconfig_of(f"https://{HOST}:{PORT}", directory / "ca.pem", user)))
    return path


def kubeconfig_of(server: str, authority: Path, user: str, token: str = "") -> dict[str, Any]:
    """A kubeconfig with one context, `test`."""
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [
            {"name": "test",
             "cluster": {"server": server, "certificate-authority": str(authority)}}
        ],
        "users": [{"name": user, "user": {"token": token or token_of(user)}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
    }  # fmt: skip


def start(parts: Parts, program: Path, directory: Path) -> None:
    start_etcd(parts, program, directory)
    _write_once()
    parts.start("kube-apiserver", [
        program, "kube-apiserver", f"--etcd-servers=http://{_ETCD}",
        "--bind-address=0.0.0.0", f"--advertise-address={HOST}", f"--secure-port={PORT}",
        f"--tls-cert-file={directory / 'api.pem'}",
        f"--tls-private-key-file={directory / 'api.key'}",
        f"--token-auth-file={directory / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged", f"--service-cluster-ip-range={SERVICES}",
        f"--service-account-key-file={directory / 'accounts.key'}",
        f"--service-account-signing-key-file={directory / 'accounts.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--kubelet-preferred-address-types=InternalIP", "--profiling=false",
        "--goaway-chance=0", "--shutdown-delay-duration=0s",
    ])  # fmt: skip


def start_etcd(parts: Parts, program: Path, directory: Path) -> None:
    parts.start("etcd", [
        program, "etcd", f"--data-dir={directory / 'etcd'}", "--unsafe-no-fsync",
        f"--listen-client-urls=http://{_ETCD}", f"--advertise-client-urls=http://{_ETCD}",
        f"--listen-peer-urls=http://{_ETCD_PEERS}", "--log-level=warn",
        f"--initial-advertise-peer-urls=http://{_ETCD_PEERS}",
        f"--initial-cluster=default=http://{_ETCD_PEERS}",
    ])  # fmt: skip


def _write_once() -> None:
    """Have a version before all that the API server knows: it has to say that it is too old."""
    body = json.dumps({"key": "YQ==", "value": "YQ=="}).encode()
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://{_ETCD}/v3/kv/put", body, timeout=5):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def start_controllers(parts: Parts, program: Path, directory: Path) -> None:
    parts.start("kube-controller-manager", [
        program, "kube-controller-manager",
        f"--kubeconfig={directory / 'controllers.kubeconfig'}",
        f"--service-account-private-key-file={directory / 'accounts.key'}",
        f"--root-ca-file={directory / 'ca.pem'}", "--use-service-account-credentials=false",
        "--leader-elect=false", "--secure-port=0", "--kube-api-qps=200", "--kube-api-burst=400",
        "--node-monitor-grace-period=20s", "--node-monitor-period=1s",
    ])  # fmt: skip
    parts.start("kube-scheduler", [
        program, "kube-scheduler", f"--kubeconfig={directory / 'scheduler.kubeconfig'}",
        "--leader-elect=false", "--secure-port=0", "--kube-api-qps=200", "--kube-api-burst=400",
    ])  # fmt: skip
