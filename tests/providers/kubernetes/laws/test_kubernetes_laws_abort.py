"""An abort in the middle of an inject into a cluster.

Law (L5): it is prompt, and spares all that is not harmed yet.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from chaosrun import commands
from chaosrun.codec import from_plain
from chaosrun.errors import Indeterminate
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.pod_kill import PodKill
from tests.cluster.objects import pods
from tests.providers.kubernetes.laws.changes import PLACE, planned


def test_an_abort_spares_every_pod_that_is_not_killed_yet(cluster: Kubernetes, web: str) -> None:
    target = {"namespace": PLACE, "selector": "app=web", "pick": "all"}
    fault = from_plain({"target": target, "how": "force"}, PodKill)
    hold, cancellation = planned(fault, cluster), commands.Cancellation()
    killed: list[str] = []

    def abort(method: str, path: str, _: Mapping[str, str]) -> None:
        if method == "DELETE":
            killed.append(path)
            cancellation.cancel()  # as the engine does; what is on its way arrives

    cluster.observers.append(abort)
    outer = commands.current.set(cancellation)
    try:
        with pytest.raises(Indeterminate, match="cancelled"):
            fault.inject(hold, cluster)
    finally:
        commands.current.reset(outer)
    assert len(killed) <= 1
    left = {pod["metadata"]["uid"] for pod in pods(PLACE, "web")}
    assert len(left & {t.id for t in hold.targets}) >= 1
