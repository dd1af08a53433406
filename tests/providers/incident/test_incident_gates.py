"""The gates of incidents, against fakes: closed while anything is wrong, and when nobody knows."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import ChaosrunError, Refused, Transient
from chaosrun.gate import Measured
from chaosrun.providers.incident.client import Client, connect
from tests.providers.incident.fakes import (
    Fake,
    FakeAlertmanager,
    FakeOpsgenie,
    FakePagerDuty,
    FakeStatuspage,
    alert,
    genie_item,
    page_incident,
    pager_incident,
    serving,
)

FAKES: dict[str, type[Fake]] = {
    "incident.alertmanager": FakeAlertmanager,
    "incident.opsgenie": FakeOpsgenie,
    "incident.pagerduty": FakePagerDuty,
    "incident.statuspage": FakeStatuspage,
}
TOKENS = {"incident.opsgenie": FakeOpsgenie.token, "incident.pagerduty": FakePagerDuty.token}


@pytest.fixture
def client() -> Iterator[Client]:
    client = connect()
    yield client
    client.close()


def gate(name: str, url: str, **arguments: Any) -> Any:
    token = {"token": TOKENS[name]} if name in TOKENS else {}
    return from_plain({"url": url, **token, **arguments}, discovery.gate(name))


def measure(name: str, items: list[dict[str, Any]], client: Client, **arguments: Any) -> Measured:
    with serving(FAKES[name](items)) as fake:
        found: Measured = gate(name, fake.url, **arguments).measure(client)
        return found


@pytest.mark.parametrize("name", FAKES)
def test_without_incidents_it_is_open(name: str, client: Client) -> None:
    found = measure(name, [], client)
    assert found.open
    assert found.measured.startswith("no ")
    assert found.rule.startswith("no ")


PAYMENTS = [
    alert("DiskFull", severity="warning"),
    alert("HighErrorRate", severity="critical", team="payments"),
    alert("Known", silenced=True, severity="critical"),
]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "2 alerts are firing: DiskFull, HighErrorRate"),
        ({"matchers": ['severity="critical"']}, "1 alert is firing: HighErrorRate"),
        ({"matchers": ['severity="critical"', 'team!="payments"']}, ""),
        ({"matchers": ['severity="critical"'], "silenced": True}, "2 alerts are firing"),
        ({"matchers": ['team=~"search|maps"']}, ""),
        ({"watchdog": "Watchdog"}, "the alert Watchdog, which always fires, does not"),
        ({"watchdog": "DiskFull"}, "1 alert is firing: HighErrorRate"),
    ],
)
def test_alertmanager_is_closed_while_a_matching_alert_fires(
    arguments: dict[str, Any], said: str, client: Client
) -> None:
    found = measure("incident.alertmanager", PAYMENTS, client, **arguments)
    assert found.open is (not said)
    assert found.measured.startswith(said or "no alerts are firing")
    assert found.open or found.hint


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "1 unresolved incident: Cards are declined"),
        ({"impact": "none"}, "2 unresolved incidents: Typo, Cards are declined"),
        ({"impact": "critical"}, ""),
        ({"components": ["Payments API"]}, "1 unresolved incident: Cards are declined"),
        ({"components": ["Search"]}, ""),
    ],
)
def test_statuspage_is_closed_while_an_incident_that_counts_is_unresolved(
    arguments: dict[str, Any], said: str, client: Client
) -> None:
    items = [
        page_incident("Typo", "none"),
        page_incident("Cards are declined", "major", "Payments API"),
    ]
    found = measure("incident.statuspage", items, client, **arguments)
    assert found.open is (not said)
    assert found.measured == (said or "no unresolved incidents")


@pytest.mark.parametrize(
    "incident",
    [page_incident("New", "apocalyptic"), page_incident("All of it", "critical")],
    ids=["an impact nobody knows", "no components"],
)
def test_an_incident_that_does_not_say_enough_counts(
    incident: dict[str, Any], client: Client
) -> None:
    arguments = {"impact": "critical", "components": ["Search"]}
    assert not measure("incident.statuspage", [incident], client, **arguments).open


@pytest.mark.parametrize(
    ("incident", "arguments", "is_open"),
    [
        (pager_incident("Down"), {}, False),
        (pager_incident("Down", status="acknowledged"), {}, False),
        (pager_incident("Down", created="2024-01-01"), {}, False),
        (pager_incident("Down", status="resolved"), {}, True),
        (pager_incident("Slow", urgency="low"), {}, False),
        (pager_incident("Slow", urgency="low"), {"urgencies": ["high"]}, True),
        (pager_incident("Down"), {"services": ["PSHOP", "PMAPS"]}, False),
        (pager_incident("Down"), {"services": ["PMAPS"]}, True),
        (pager_incident("Down"), {"teams": ["PTEAM"]}, False),
        (pager_incident("Down"), {"teams": ["PMAPS"]}, True),
    ],
)
def test_pagerduty_is_closed_while_an_incident_that_counts_is_not_resolved(
    incident: dict[str, Any], arguments: dict[str, Any], is_open: bool, client: Client
) -> None:
    found = measure("incident.pagerduty", [incident], client, **arguments)
    assert found.open is is_open
    assert found.measured == (
        "no open incidents" if is_open else f"1 open incident: {incident['title']}"
    )


@pytest.mark.parametrize("kind", ["incidents", "alerts"])
@pytest.mark.parametrize(
    ("item", "arguments", "is_open"),
    [
        (genie_item("Down"), {}, False),
        (genie_item("Down", status="closed"), {}, True),
        (genie_item("Down", priority="P1"), {"query": "priority: P1"}, False),
        (genie_item("Slow", priority="P5"), {"query": "priority: P1"}, True),
    ],
)
def test_opsgenie_is_closed_while_anything_that_counts_is_open(
    kind: str, item: dict[str, Any], arguments: dict[str, Any], is_open: bool, client: Client
) -> None:
    found = measure("incident.opsgenie", [item], client, kind=kind, **arguments)
    assert found.open is is_open
    assert found.measured == (f"no open {kind}" if is_open else f"1 open {kind[:-1]}: Down")


@pytest.mark.parametrize("name", TOKENS)
def test_more_than_a_page_is_told_as_at_least_that_many(name: str, client: Client) -> None:
    one = pager_incident if name == "incident.pagerduty" else genie_item
    found = measure(name, [one(f"Down {index}") for index in range(101)], client)
    assert not found.open
    assert found.measured == "at least 100 open incidents: Down 0, Down 1, Down 2, ..."


@pytest.mark.parametrize("name", FAKES)
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"", Refused),
        (200, b"<html>Sign in</html>", Refused),
        (200, b"{}", Refused),
        (200, b"null", Refused),
        (200, b'{"incidents": null, "data": null}', Refused),
        (200, b"[{}]", Refused),
        (200, b"[" * 100_000, Refused),
        (200, b"[]" + b" " * (17 * 1024 * 1024), Refused),
        (302, b"[]", Refused),
        (401, b"[]", Refused),
        (403, b"[]", Refused),
        (404, b"[]", Refused),
        (429, b"[]", Transient),
        (503, b"[]", Transient),
        (204, b"", Refused),
    ],
)
def test_what_is_not_the_documented_answer_raises_so_that_it_is_closed(
    name: str, status: int, body: bytes, kind: type[ChaosrunError], client: Client
) -> None:
    with serving(FAKES[name]([])) as fake:
        fake.broken = status, body
        with pytest.raises(kind) as caught:
            gate(name, fake.url).measure(client)
    assert TOKENS.get(name, "hunter2") not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("name", TOKENS)
def test_a_page_that_says_more_but_gives_none_is_refused(name: str, client: Client) -> None:
    with serving(FAKES[name]([])) as fake:
        fake.broken = 200, b'{"incidents": [], "more": true, "data": [], "paging": {"next": "x"}}'
        with pytest.raises(Refused, match="but gives none"):
            gate(name, fake.url).measure(client)


@pytest.mark.parametrize("name", TOKENS)
def test_a_wrong_token_is_refused_with_a_hint(name: str, client: Client) -> None:
    with serving(FAKES[name]([])) as fake, pytest.raises(Refused, match="status 401") as caught:
        gate(name, fake.url, token="hunter2").measure(client)
    assert "token" in caught.value.hint
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", FAKES)
def test_a_server_that_does_not_answer_in_time_raises(name: str, client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Transient, match="did not answer: timeout"):
            gate(name, url, timeout="50ms").measure(client)


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("incident.alertmanager", {"matchers": ["critical"]}, 'of the form severity="critical"'),
        ("incident.alertmanager", {"matchers": ['a="b", c="d"']}, "of the form"),
        ("incident.alertmanager", {"url": "http://a/?x=1"}, "without a query"),
        ("incident.alertmanager", {"watchdog": 'a"b'}, "without quotes"),
        ("incident.statuspage", {"impact": "huge"}, "impact"),
        ("incident.pagerduty", {"urgencies": []}, "nothing would count"),
        ("incident.pagerduty", {"token": ""}, "`token` is empty"),
        ("incident.pagerduty", {"token": "hunter2\n"}, "`token` is empty, or has a space"),
        ("incident.opsgenie", {"headers": {"Authorization": "x"}}, "exclude each other"),
        ("incident.opsgenie", {"kind": "pages"}, "kind"),
    ],
)
def test_wrong_arguments_are_told(name: str, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said) as caught:
        gate(name, **{"url": "http://a", **wrong})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", FAKES)
def test_the_example_is_valid_and_time_is_given_for_every_request(name: str) -> None:
    kind = discovery.gate(name)
    typed: Any = from_plain(kind.example, kind)
    requests = 2 if getattr(typed, "watchdog", "") else 1
    assert typed.time_needed.seconds > requests * typed.timeout.seconds
