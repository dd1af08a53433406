"""What calendars are not told by their words: the time, and iCalendars in files and at URLs.

Law (L4): what was not read whole is refused. No error repeats a URL, which may be a secret.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from chaosrun.errors import Refused, Transient
from chaosrun.web import Endpoint, Request

if TYPE_CHECKING:
    from chaosrun.web.client import Client as Web

_LONGEST = 4 * 1024 * 1024
_HINT = "the freeze is taken to be on until its calendar can be read"


class Client:
    """Tells the time, and reads iCalendars."""

    def __init__(self) -> None:
        self._web: Web | None = None

    def close(self) -> None:
        """Close every connection that is not in use."""
        if self._web is not None:
            self._web.close()

    def now(self) -> datetime:
        """The present instant."""
        return datetime.now(UTC)

    def read(self, path: str) -> str:
        """The text of a file. Raises Refused when it cannot be read."""
        try:
            if Path(path).exists() and not Path(path).is_file():
                raise Refused(f"the iCalendar {path} is not a file", hint=_HINT)
            with Path(path).open("rb") as file:
                content = file.read(_LONGEST + 1)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise Refused(f"cannot read the iCalendar {path}: {why}", hint=_HINT) from None
        return _text(content, path)

    def fetch(self, endpoint: Endpoint, shown: str) -> str:
        """The text at a URL. Raises Transient or Refused when it cannot be read."""
        if self._web is None:
            from chaosrun.web.client import Client as Web  # takes long to import

            self._web = Web()
        request = Request(
            url=endpoint.url, headers=endpoint.sent_headers(accept="text/calendar"),
            tls=endpoint.tls, keep=_LONGEST,
        )  # fmt: skip
        answer = self._web.ask(request, time.monotonic() + endpoint.timeout.seconds)
        if answer.error:
            raise Transient(f"no iCalendar from {shown}: {answer.error}", hint=_HINT)
        if answer.status != 200:
            kind = Transient if answer.status == 429 or answer.status >= 500 else Refused
            raise kind(f"no iCalendar from {shown}: status {answer.status}", hint=_HINT)
        return _text(answer.body + b"\0" * answer.truncated, shown)


def connect() -> Client:
    """A client that has not connected to anything yet."""
    return Client()


def _text(content: bytes, shown: str) -> str:
    if len(content) > _LONGEST:
        raise Refused(f"the iCalendar {shown} has more than {_LONGEST} bytes", hint=_HINT)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(f"the iCalendar {shown} is not UTF-8", hint=_HINT) from None
