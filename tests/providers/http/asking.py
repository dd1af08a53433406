"""How the tests ask: one sample, with what must be true of every one."""

from __future__ import annotations

import time
from typing import Any

from chaosrun.codec import from_plain
from chaosrun.providers.http.probe import HttpProbe, Response
from chaosrun.web.client import Client

SLACK = 5
"""How many seconds a machine may stand still meanwhile."""


def observe(client: Client, url: str, **more: Any) -> Response:
    probe = from_plain({"url": url, **more}, HttpProbe)
    began = time.monotonic()
    response = probe.observe(client)
    took = time.monotonic() - began
    assert took < probe.time_needed.seconds + SLACK
    assert response.latency.seconds <= took
    assert (response.error == "") == (response.status > 0)
    return response


def polite(visit: Any) -> None:
    while visit.request():
        visit.answer(b'{"state": "up", "queue": 3}', Content_Type="application/json", X_Pod="a")
