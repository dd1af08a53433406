"""The gate `recent-deploy`: no time, or one that cannot be read, is too recent."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Refused, Transient
from chaosrun.gate import Measured
from chaosrun.providers.http.recent_deploy import RecentDeploy, found_at
from chaosrun.web.client import Client


def ago(**how_long: float) -> str:
    return (datetime.now(UTC) - timedelta(**how_long)).isoformat()


def measure(serve: Any, client: Client, written: Any, path: str, **more: Any) -> Measured:
    def behave(visit: Any) -> None:
        while visit.request():
            visit.answer(msgspec.json.encode(written), Content_Type="application/json")

    arguments = {"url": serve(behave).url, "path": path, "minimumAge": "30m", **more}
    return from_plain(arguments, RecentDeploy).measure(client)


def test_an_old_deploy_opens_it(serve: Any, client: Client) -> None:
    found = measure(serve, client, {"finishedAt": ago(hours=2)}, "/finishedAt")
    assert found.open
    assert found.measured.startswith("the last deploy was 2h ago, at 20")
    assert found.rule == "the last deploy must be at least 30m ago"


def test_a_recent_one_closes_it_and_says_how_long_to_wait(serve: Any, client: Client) -> None:
    found = measure(serve, client, {"finishedAt": ago(minutes=10)}, "/finishedAt")
    assert not found.open
    assert found.hint.startswith(("wait for 20m", "wait for 19m"))


def test_the_newest_of_a_list_counts(serve: Any, client: Client) -> None:
    written = [{"at": ago(days=2)}, {"at": ago(minutes=1)}, {"at": ago(days=1)}]
    assert not measure(serve, client, written, "/*/at").open
    assert measure(serve, client, written, "/0/at").open


def test_a_deploy_of_the_future_closes_it(serve: Any, client: Client) -> None:
    found = measure(serve, client, {"at": ago(hours=-1)}, "/at")
    assert not found.open
    assert found.measured.startswith("the last deploy was in the future")


@pytest.mark.parametrize("unit", [1, 1000])
@pytest.mark.parametrize("kind", [int, float, lambda number: str(int(number))])
def test_seconds_and_milliseconds_are_times(
    serve: Any, client: Client, unit: int, kind: Any
) -> None:
    recent, old = (kind((time.time() - age) * unit) for age in (60, 7200))
    assert not measure(serve, client, {"at": recent}, "/at").open
    assert measure(serve, client, {"at": old}, "/at").open


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ({}, "/finishedAt"),
        ([], "/*/at"),
        ([], "/0/at"),
        ({"at": None}, "/at"),
        ({"at": True}, "/at"),
        ({"at": ["2020-01-01T00:00:00Z"]}, "/at"),
        ({"at": ""}, "/at"),
        ({"at": "yesterday"}, "/at"),
        ({"at": "2020-01-01T00:00:00"}, "/at"),  # where?
        ({"at": "2020-01-01"}, "/at"),
        ({"at": 12345}, "/at"),  # a number of a build, say
        ({"at": -1}, "/at"),
        ({"at": 1e300}, "/at"),
        ([{"at": "2020-01-01T00:00:00Z"}, {"other": 1}], "/*/at"),
        ({"at": "2020-01-01T00:00:00Z"}, "/at/0"),
        (None, ""),
    ],
)
def test_an_answer_without_a_time_raises_so_that_it_is_closed(
    serve: Any, client: Client, written: Any, path: str
) -> None:
    with pytest.raises(Refused):
        measure(serve, client, written, path)


@pytest.mark.parametrize(
    ("status", "kind"),
    [("204 No Content", Refused), ("404 Not Found", Refused), ("503 Busy", Transient)],
)
def test_a_bad_status_raises(
    serve: Any, client: Client, status: str, kind: type[Exception]
) -> None:
    def behave(visit: Any) -> None:
        while visit.request():
            visit.answer(b'{"at": "2020-01-01T00:00:00Z"}', status, Content_Type="application/json")

    arguments = {"url": serve(behave).url, "path": "/at", "minimumAge": "30m"}
    with pytest.raises(kind, match="status"):
        from_plain(arguments, RecentDeploy).measure(client)


def test_no_answer_raises(client: Client, free_port: int) -> None:
    arguments = {"url": f"http://127.0.0.1:{free_port}", "path": "/at", "minimumAge": "30m"}
    with pytest.raises(Transient, match="connection refused"):
        from_plain(arguments, RecentDeploy).measure(client)


def test_nanoseconds_are_read(serve: Any, client: Client) -> None:
    assert measure(serve, client, {"at": "2024-01-01T00:00:00.123456789Z"}, "/at").open


def test_a_pointer_escapes_as_in_its_rfc() -> None:
    assert found_at({"a/b": {"m~n": 1}}, "/a~1b/m~0n") == [1]
    assert found_at({"*": 2}, "/*") == [2]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"path": "finishedAt"}, "not a JSON Pointer"), ({"minimumAge": "0s"}, "longer than 0s")],
)
def test_wrong_arguments_are_told(wrong: dict[str, Any], said: str) -> None:
    arguments = {"url": "http://a", "path": "/at", "minimumAge": "30m", **wrong}
    with pytest.raises(msgspec.ValidationError, match=said):
        from_plain(arguments, RecentDeploy)


def test_it_is_found_by_its_name_and_its_example_is_valid() -> None:
    assert discovery.gate("recent-deploy") is RecentDeploy
    from_plain(RecentDeploy.example, RecentDeploy)
