"""Fakes of those who know of incidents: they answer the vendors' documented shapes.

They do what the vendors say of the parameters that the gates send, and refuse all others.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

Parameters = dict[str, list[str]]


class Fake(ThreadingHTTPServer):
    """A server on loopback; `broken` is what it answers instead: a status and a body."""

    path: ClassVar[str]
    broken: tuple[int, bytes] | None = None

    def __init__(self, items: list[dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Visit)
        self.items = items
        self.asked: list[tuple[str, Parameters, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def answer(self, path: str, asked: Parameters, headers: dict[str, str]) -> tuple[int, Any]:
        """The status, and what to say as JSON."""
        if path != self.path:
            return 404, {"message": "not found"}
        return 200, self.found(asked)

    def found(self, asked: Parameters) -> Any:
        raise NotImplementedError


class _Visit(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Fake

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((parts.path, asked, headers))
        if self.server.broken is None:
            status, found = self.server.answer(parts.path, asked, headers)
            body = json.dumps(found).encode()
        else:
            status, body = self.server.broken
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("location", "/elsewhere")
        self.end_headers()
        with suppress(ConnectionError):  # a client reads no more of a body than it may
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(server: Fake) -> Iterator[Fake]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)


class FakeAlertmanager(Fake):
    """GET /api/v2/alerts of Alertmanager 0.27."""

    path = "/api/v2/alerts"

    def found(self, asked: Parameters) -> Any:
        known = {"active", "silenced", "inhibited", "unprocessed", "filter"}
        assert set(asked) <= known
        return [alert for alert in self.items if self._shown(alert, asked)]

    def _shown(self, alert: dict[str, Any], asked: Parameters) -> bool:
        status = alert["status"]
        if status["silencedBy"] and asked["silenced"] == ["false"]:
            return False
        if status["inhibitedBy"] and asked["inhibited"] == ["false"]:
            return False
        return all(_matches(alert["labels"], matcher) for matcher in asked.get("filter", []))


def _matches(labels: dict[str, str], matcher: str) -> bool:
    parts = re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', matcher)
    assert parts is not None
    value = labels.get(parts[1], "")
    return {
        "=": value == parts[3],
        "!=": value != parts[3],
        "=~": bool(re.fullmatch(parts[3], value)),
        "!~": not re.fullmatch(parts[3], value),
    }[parts[2]]


def alert(name: str, *, silenced: bool = False, **labels: str) -> dict[str, Any]:
    return {
        "annotations": {"summary": "it hurts"},
        "endsAt": "2026-11-24T10:04:00.000Z",
        "fingerprint": "d41d8cd98f00b204",
        "receivers": [{"name": "default"}],
        "startsAt": "2026-11-24T10:00:00.000Z",
        "status": {
            "inhibitedBy": [],
            "silencedBy": ["8188b168-1332-4398-83a5-a9df2263c60d"] if silenced else [],
            "state": "suppressed" if silenced else "active",
        },
        "updatedAt": "2026-11-24T10:00:04.000Z",
        "generatorURL": "http://prometheus:9090/graph",
        "labels": {"alertname": name, **labels},
    }


class FakeStatuspage(Fake):
    """GET /api/v2/incidents/unresolved.json of a public page."""

    path = "/api/v2/incidents/unresolved.json"

    def found(self, asked: Parameters) -> Any:
        assert not asked
        page = {
            "id": "y2j98763l56x", "name": "Supplier", "url": "https://status.supplier.example",
            "time_zone": "Etc/UTC", "updated_at": "2026-11-24T10:00:00Z",
        }  # fmt: skip
        return {"page": page, "incidents": self.items}


def page_incident(name: str, impact: str, *components: str) -> dict[str, Any]:
    return {
        "id": "cp306tmzcl0y", "name": name, "status": "identified", "impact": impact,
        "created_at": "2026-11-24T10:00:00Z", "updated_at": "2026-11-24T10:01:00Z",
        "monitoring_at": None, "resolved_at": None, "shortlink": "http://stspg.example/1",
        "page_id": "y2j98763l56x", "incident_updates": [],
        "components": [
            {"id": str(index), "name": component, "status": "major_outage"}
            for index, component in enumerate(components)
        ],
    }  # fmt: skip


class FakePagerDuty(Fake):
    """GET /incidents of PagerDuty's REST API v2. Without `date_range=all`: of the last month."""

    path = "/incidents"
    token = "u+wGdVwyzzPTFS3uA4jQ"

    def answer(self, path: str, asked: Parameters, headers: dict[str, str]) -> tuple[int, Any]:
        assert headers["accept"] == "application/vnd.pagerduty+json;version=2"
        if headers.get("authorization") != f"Token token={self.token}":
            return 401, {"error": {"message": "Access denied", "code": 2010}}
        return super().answer(path, asked, headers)

    def found(self, asked: Parameters) -> Any:
        known = {"date_range", "limit", "statuses[]", "service_ids[]", "team_ids[]", "urgencies[]"}
        assert set(asked) <= known
        limit = int(asked["limit"][0])
        found = [incident for incident in self.items if self._shown(incident, asked)]
        return {
            "incidents": found[:limit], "limit": limit, "offset": 0, "total": None,
            "more": len(found) > limit,
        }  # fmt: skip

    def _shown(self, incident: dict[str, Any], asked: Parameters) -> bool:
        if asked.get("date_range") != ["all"] and incident["created_at"] < "2026-11":
            return False
        teams = {team["id"] for team in incident["teams"]}
        return (
            incident["status"] in asked["statuses[]"]
            and incident["urgency"] in asked["urgencies[]"]
            and incident["service"]["id"] in asked.get("service_ids[]", [incident["service"]["id"]])
            and ("team_ids[]" not in asked or bool(teams & set(asked["team_ids[]"])))
        )


def pager_incident(
    title: str, *, status: str = "triggered", urgency: str = "high", service: str = "PSHOP",
    team: str = "PTEAM", created: str = "2026-11-24",
) -> dict[str, Any]:  # fmt: skip
    return {
        "id": "PT4KHLK", "type": "incident", "summary": f"[#1234] {title}",
        "html_url": "https://subdomain.pagerduty.com/incidents/PT4KHLK",
        "incident_number": 1234, "title": title, "created_at": f"{created}T10:00:00Z",
        "status": status, "urgency": urgency, "priority": None,
        "service": {"id": service, "type": "service_reference", "summary": "Checkout"},
        "teams": [{"id": team, "type": "team_reference", "summary": "Payments"}],
    }  # fmt: skip


class FakeOpsgenie(Fake):
    """GET /v1/incidents and /v2/alerts of Opsgenie; of its queries it knows status and priority."""

    token = "eb243592-faa2-4ba2-a551q-1afdf565c889"

    def answer(self, path: str, asked: Parameters, headers: dict[str, str]) -> tuple[int, Any]:
        if headers.get("authorization") != f"GenieKey {self.token}":
            return 401, {"message": "Could not authenticate", "took": 0.0, "requestId": "1"}
        if path not in ("/v1/incidents", "/v2/alerts"):
            return 404, {"message": "not found"}
        assert set(asked) == {"query", "limit"}
        limit = int(asked["limit"][0])
        query = re.fullmatch(r"status: open(?: AND \(priority: (P\d)\))?", asked["query"][0])
        assert query is not None
        found = [
            item for item in self.items
            if item["status"] == "open" and query[1] in (None, item["priority"])
        ]  # fmt: skip
        paging = {"first": f"{self.url}{path}?offset=0", "last": f"{self.url}{path}?offset=100"}
        if len(found) > limit:
            paging["next"] = paging["last"]
        answer = {"data": found[:limit], "paging": paging, "took": 0.1, "requestId": "9ae63dd7"}
        return 200, answer


def genie_item(message: str, *, status: str = "open", priority: str = "P3") -> dict[str, Any]:
    return {
        "id": "70413a06-38d6-4c85-92b8-5ebc900d42e2", "tinyId": "1791", "message": message,
        "status": status, "priority": priority, "tags": ["checkout"],
        "createdAt": "2026-11-24T10:00:00.000Z", "updatedAt": "2026-11-24T10:00:00.000Z",
    }  # fmt: skip
