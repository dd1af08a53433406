"""The cluster from outside, for tests: looked at and changed past all of chaosrun."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from chaosrun.errors import ChaosrunError
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.client import Call, Connection
from tests.cluster.session import kubeconfig

Object = dict[str, Any]


class Outside:
    """Looks at the cluster and changes it, past all of chaosrun but its connection."""

    def __init__(self) -> None:
        self._connection = Connection(Access(kubeconfig=str(kubeconfig())))

    def call(self, method: str, path: str, body: Any = None, content: str = "") -> Any:
        """The answer as data, and its status under `_status`."""
        for _ in range(20):
            where, _, query = path.partition("?")
            pairs = dict(part.split("=", 1) for part in query.split("&") if part)
            answer = self._connection.send(Call(method, where, pairs, body, content))
            if not isinstance(answer, ChaosrunError) and answer.status not in (429, 500, 503):
                data = answer.data if answer.data.startswith(b"{") else b"{}"
                return {**json.loads(data), "_status": answer.status}
            time.sleep(0.25)
        raise AssertionError(f"{method} {path}: no good answer: {answer}")

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def items(self, path: str) -> list[Any]:
        return list(self.get(path).get("items") or ())

    def apply(self, path: str, body: Object) -> Object:
        """Create it, or make it as it is written here."""
        name = body["metadata"]["name"]
        done = self.call("POST", path, body)
        if done["_status"] == 409:
            done = self.call("PATCH", f"{path}/{name}", body, "application/merge-patch+json")
        assert done["_status"] < 300, done
        return dict(done)

    def patch(self, path: str, body: Any) -> Object:
        done = self.call("PATCH", path, body, "application/merge-patch+json")
        assert done["_status"] < 300, done
        return dict(done)

    def delete(self, path: str) -> None:
        self.call("DELETE", path, {"gracePeriodSeconds": 0})

    def close(self) -> None:
        self._connection.close()


@cache
def outside() -> Outside:
    return Outside()


def until(look: Callable[[], Any], said: str, seconds: float = 120.0) -> Any:
    """What `look` gives once it gives something."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"waited in vain: {said}"
        time.sleep(0.05)
    return found
