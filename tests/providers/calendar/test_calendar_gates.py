"""The gates `window` and `freeze`: closed when it is not time, and when nobody can tell."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Refused, Transient
from chaosrun.gate import Measured
from chaosrun.providers.calendar.client import Client, connect
from chaosrun.providers.calendar.freeze import Freeze
from chaosrun.providers.calendar.window import Window

TUESDAY = "2026-11-24T10:00+00:00"
ICALENDAR = "\r\n".join(
    [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//shop//EN",
        "BEGIN:VEVENT", "UID:1", "SUMMARY:Migration",
        "DTSTART:20261124T120000Z", "DTEND:20261124T140000Z", "END:VEVENT",
        "END:VCALENDAR", "",
    ]
).encode()  # fmt: skip


class At(Client):
    """The real client at a time that the test says."""

    def __init__(self, instant: str) -> None:
        super().__init__()
        self._instant = datetime.fromisoformat(instant)

    def now(self) -> datetime:
        return self._instant


def window(instant: str, **arguments: Any) -> Measured:
    return from_plain({"timezone": "Europe/Berlin", **arguments}, Window).measure(At(instant))


def freeze(instant: str, **arguments: Any) -> Measured:
    client = At(instant)
    try:
        return from_plain(arguments, Freeze).measure(client)
    finally:
        client.close()


class _Fake(ThreadingHTTPServer):
    status = 200
    answer = ICALENDAR

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/private-hunter2/freezes.ics"


class _Visit(BaseHTTPRequestHandler):
    server: _Fake

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def fake_calendar_server() -> Iterator[_Fake]:
    with _Fake(("127.0.0.1", 0), _Visit) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def test_a_window_is_open_in_its_hours() -> None:
    assert window(TUESDAY).open
    assert window("2026-11-24T08:00+00:00").open
    assert not window("2026-11-24T07:59:59+00:00").open
    assert not window("2026-11-24T16:00+00:00").open


def test_a_closed_window_says_the_time_there_the_rule_and_when_it_opens() -> None:
    found = window("2026-11-28T10:00+00:00", holidays=[{"country": "DE", "subdivision": "BY"}])
    assert found == Measured(
        open=False,
        measured="it is Sat 2026-11-28 11:00 in Europe/Berlin: Saturday is not a working day",
        rule="open mon-fri 09:00-17:00 in Europe/Berlin, but for public holidays of DE-BY",
        hint="it opens Mon 2026-11-30 09:00 in Europe/Berlin",
    )


@pytest.mark.parametrize(
    ("instant", "is_open"),
    [("2026-11-24T15:30+00:00", True), ("2026-11-24T15:30:01+00:00", False)],
)
def test_a_window_must_stay_open_as_long_as_asked(instant: str, is_open: bool) -> None:
    found = window(instant, staysOpen="30m")
    assert found.open is is_open
    assert found.rule.endswith("; for 30m more")
    if not is_open:
        assert found.measured.endswith("in less than 30m: outside of 09:00-17:00")
        assert found.hint == "it opens Wed 2026-11-25 09:00 in Europe/Berlin"


@pytest.mark.parametrize(
    ("instant", "is_open"),
    [
        ("2026-11-24T11:59:59+00:00", True),
        ("2026-11-24T12:00+00:00", False),
        ("2026-11-24T14:00+00:00", True),
        ("2026-11-29T03:00+00:00", False),
    ],
)
def test_dates_files_and_urls_all_freeze(
    instant: str, is_open: bool, tmp_path: Path, fake_calendar_server: _Fake
) -> None:
    (tmp_path / "freezes.ics").write_bytes(ICALENDAR)
    dates = [{"dates": "2026-11-28..2026-11-29", "name": "sale"}]
    file = freeze(instant, dates=dates, files=[str(tmp_path / "freezes.ics")])
    url = freeze(instant, dates=dates, urls=[{"url": fake_calendar_server.url}])
    assert file.open is url.open is is_open


def test_a_freeze_is_named_with_its_end() -> None:
    found = freeze(
        "2026-11-25T12:00+00:00",
        timezone="Europe/Berlin",
        dates=[{"dates": "2026-11-25T12:00..2026-11-30T08:00", "name": "Black Friday"}],
    )
    assert found == Measured(
        open=False,
        measured="it is Wed 2026-11-25 13:00 in Europe/Berlin: freeze Black Friday "
        "(2026-11-25T12:00..2026-11-30T08:00)",
        rule="no freeze may be on",
        hint="it opens Mon 2026-11-30 08:00 in Europe/Berlin",
    )


def test_no_freeze_may_begin_too_soon(tmp_path: Path) -> None:
    (tmp_path / "freezes.ics").write_bytes(ICALENDAR)
    files = [str(tmp_path / "freezes.ics")]
    assert freeze("2026-11-24T11:30+00:00", files=files, staysOpen="30m").open
    found = freeze("2026-11-24T11:31+00:00", files=files, staysOpen="30m")
    assert not found.open
    assert "in less than 30m: freeze Migration" in found.measured
    assert found.hint == "it opens Tue 2026-11-24 14:00 in UTC"


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (200, b"", Refused),
        (200, b"<html>Sign in</html>", Refused),
        (200, ICALENDAR[:-40], Refused),
        (200, b"\xff\xfe", Refused),
        (200, ICALENDAR + b"\n" * (4 * 1024 * 1024) + ICALENDAR, Refused),
        (404, ICALENDAR, Refused),
        (204, b"", Refused),
        (503, ICALENDAR, Transient),
    ],
)
def test_a_calendar_that_cannot_be_read_is_a_freeze(
    status: int, answer: bytes, kind: type[Exception], fake_calendar_server: _Fake
) -> None:
    fake_calendar_server.status, fake_calendar_server.answer = status, answer
    with pytest.raises(kind) as caught:
        freeze(TUESDAY, urls=[{"url": fake_calendar_server.url}])
    assert "hunter2" not in str(caught.value)  # a calendar's private address is a secret


def test_a_server_that_cannot_be_reached_is_a_freeze(fake_calendar_server: _Fake) -> None:
    url = fake_calendar_server.url
    fake_calendar_server.socket.close()
    with pytest.raises(Transient, match=r"no iCalendar from urls\[0\]: connection"):
        freeze(TUESDAY, urls=[{"url": url}])


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", ICALENDAR[:-20]])
def test_a_file_that_cannot_be_read_is_a_freeze(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "freezes.ics"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Refused, match="iCalendar"):
        freeze(TUESDAY, files=[str(path)])


def test_what_is_no_file_is_a_freeze(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # to open it would take for ever
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(Refused, match="is not a file"):
            freeze(TUESDAY, files=[str(path)])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "needs `dates`, `files` or `urls`"),
        ({"timezone": "Mars"}, "not a time zone such as"),
        ({"dates": [{"dates": "soon"}]}, "not of the form"),
        ({"urls": [{"url": "ftp://a"}]}, "not a URL such as"),
    ],
)
def test_what_is_no_freeze_is_told(arguments: dict[str, Any], said: str) -> None:
    dates = {} if not arguments else {"dates": [{"dates": "2026-11-24"}]}
    with pytest.raises(msgspec.ValidationError, match=said):
        from_plain({**dates, **arguments}, Freeze)


def test_the_gates_are_found_and_their_examples_are_valid() -> None:
    for name, kind in (("window", Window), ("freeze", Freeze)):
        assert discovery.gate(name) is kind
        from_plain(kind.example, kind)
    assert from_plain(Freeze.example, Freeze).time_needed.seconds == 8


def test_the_client_tells_the_present_time() -> None:
    client = connect()
    before = client.now()
    assert before.tzinfo is not None
    assert client.now() >= before
    client.close()
