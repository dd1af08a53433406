"""A shop in a mesh: two servers, and a client whose sidecar istiod tells what to do."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import Any

import pytest

from tests.cluster import images
from tests.cluster.build import Missing
from tests.cluster.inside import python
from tests.cluster.istio import ADMIN_PORT, PROXY_PORT, Istiod, kinds, sidecar
from tests.cluster.objects import deployment, is_whole, namespace, pods, template
from tests.cluster.outside import Object, outside, until
from tests.cluster.session import agent, beside

PLACE, CONTROL = "mesh", "mesh-istiod"
HOST = f"checkout.{PLACE}.svc.cluster.local"
ROUTES = f"/apis/networking.istio.io/v1/namespaces/{PLACE}/virtualservices"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_SERVER = """
import http.server, json, os, time, urllib.parse
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        wanted = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        time.sleep(float(wanted.get("takes", 0)))
        told = {"version": os.environ["VERSION"], "path": self.path, "headers": dict(self.headers)}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8080), H).serve_forever()
"""
_ASK = f"""
import json, sys, time, urllib.error, urllib.request
host, path, times = sys.argv[1:4]
by = urllib.request.ProxyHandler({{"http": "http://127.0.0.1:{PROXY_PORT}"}})
ask = urllib.request.build_opener(by).open
found, end = [], time.monotonic() + 8
while len(found) < int(times) and time.monotonic() < end:
    began, body = time.monotonic(), b""
    try:
        with ask(f"http://{{host}}{{path}}", timeout=10) as got:
            status, body = got.status, got.read()
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError:
        status = 0
    try:
        told = json.loads(body)
    except ValueError:
        told = {{}}
    found.append([status, time.monotonic() - began, told])
print(json.dumps(found))
"""
_ADMIN = f"""
import json, sys, urllib.request
with urllib.request.urlopen("http://127.0.0.1:{ADMIN_PORT}" + sys.argv[1], timeout=5) as got:
    print(json.dumps(got.read().decode()))
"""
_PILOT_AGENT = f"""#!/usr/bin/python3
import sys, urllib.request
words = sys.argv[1:]
assert words[:2] == ["request", "GET"], words
with urllib.request.urlopen("http://127.0.0.1:{ADMIN_PORT}/" + words[2], timeout=5) as got:
    sys.stdout.buffer.write(got.read())
"""  # the one command of Istio's agent that is asked for
_SIDECAR = """
import os, pathlib, sys, envoy
agent = pathlib.Path("/usr/bin/pilot-agent")
agent.write_text(sys.argv[2])
agent.chmod(0o755)
told = sys.argv[1].replace("ADDRESS", os.environ["ADDRESS"]).replace("POD", os.environ["POD"])
program = str(pathlib.Path(envoy.__file__).parent / "_bin" / "envoy")
os.execv(program, [program, "--config-yaml", told, "--concurrency", "1", "--disable-hot-restart",
                   "--log-level", "warning"])
"""


class Mesh:
    """The mesh, and what its client sees."""

    def __init__(self) -> None:
        self.istiod = Istiod(beside(), CONTROL, [PLACE])

    def make(self, cleanup: contextlib.ExitStack) -> None:
        """Make all of it; `cleanup` ends it. Skips the test where it cannot be made."""
        try:
            for kind in kinds():
                define(kind, cleanup)
            for place in (CONTROL, PLACE):
                path = f"/api/v1/namespaces/{place}"
                until(partial(absent, path), f"{place} of before should be gone", seconds=60)
                namespace(place)
                cleanup.callback(outside().delete, path)
            self.istiod.start()
        except Missing as missing:
            pytest.skip(f"a Kubernetes cluster: {missing}")
        cleanup.callback(self.istiod.end)
        self._pods()

    def _pods(self) -> None:
        probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 60}
        for version in ("v1", "v2"):
            variables = [{"name": "VERSION", "value": version}]
            deployment(
                PLACE, f"checkout-{version}", 1, image=images.PYTHON, env=variables,
                command=["python3", "-c", _SERVER], startupProbe=probe,
            )  # fmt: skip
            service(f"checkout-{version}", f"checkout-{version}")
        service("checkout", "checkout-v1")
        pod = template("client", images.PYTHON)
        pod["spec"]["containers"].append(self._sidecar())
        outside().apply(f"/apis/apps/v1/namespaces/{PLACE}/deployments", {
            "metadata": {"name": "client"},
            "spec": {"selector": {"matchLabels": {"app": "client"}}, "template": pod},
        })  # fmt: skip
        for app in ("client", "checkout-v1", "checkout-v2"):
            until(partial(is_whole, PLACE, app), f"{app} should be whole", seconds=90)
        until(lambda: self.asked("/")[0][0] == 200, "the sidecar should be told of the servers")

    def _sidecar(self) -> Object:
        told = json.dumps(sidecar(self.istiod.port, PLACE, "POD", "ADDRESS"))
        return {
            "name": "istio-proxy", "image": agent(), "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", _SIDECAR, told, _PILOT_AGENT],
            "env": [
                {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
                for name, path in (("ADDRESS", "status.podIP"), ("POD", "metadata.name"))
            ],
        }  # fmt: skip

    def client(self) -> str:
        """The name of the client's pod."""
        (found,) = pods(PLACE, "client")
        return str(found["metadata"]["name"])

    def asked(self, path: str, times: int = 1, host: str = HOST) -> list[tuple[int, float, Any]]:
        """The status, the seconds and the answer of each request of the client."""
        found: list[tuple[int, float, Any]] = []
        while left := times - len(found):  # a program in a pod has its time
            found += map(tuple, python(PLACE, self.client(), _ASK, host, path, str(left)))
        return found

    def of_sidecar(self, path: str) -> str:
        """What the client's Envoy says of itself."""
        return str(python(PLACE, self.client(), _ADMIN, path))


def service(name: str, app: str) -> None:
    port = {"name": "http", "port": 80, "targetPort": 8080}
    spec = {"selector": {"app": app}, "ports": [port]}
    outside().apply(
        f"/api/v1/namespaces/{PLACE}/services", {"metadata": {"name": name}, "spec": spec}
    )


def define(kind: Object, cleanup: contextlib.ExitStack) -> None:
    """Have Istio's own definition of a kind; what was there before comes back."""
    path = f"{_DEFINITIONS}/{kind['metadata']['name']}"
    before = outside().get(path)
    if before["_status"] == 404:
        outside().apply(_DEFINITIONS, kind)
        cleanup.callback(gone, path)
    else:
        replaced(path, kind["spec"])
        cleanup.callback(replaced, path, before["spec"])
    until(lambda: served(kind), f"{path} should be known")


def replaced(path: str, spec: Object) -> None:
    now = outside().get(path)
    done = outside().call("PUT", path, {**now, "spec": spec})
    assert done["_status"] < 300, done


def served(kind: Object) -> bool:
    spec = kind["spec"]
    path = f"/apis/{spec['group']}/v1/namespaces/default/{spec['names']['plural']}"
    return bool(outside().get(path)["_status"] == 200)


def absent(path: str) -> bool:
    """Whether nothing of before is about to go there."""
    return "deletionTimestamp" not in outside().get(path).get("metadata", {})


def gone(path: str) -> None:
    """Delete it, and return when it is not there any more."""
    outside().delete(path)
    until(lambda: outside().get(path)["_status"] == 404, f"{path} should go", seconds=60)
