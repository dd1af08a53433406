"""JSON answers of those who know of incidents, and their errors in our words.

Law (L4): an answer that is not whole, or not of the documented shape, raises; it is never
taken for "no incidents". Redirects are not followed, since tokens would go with them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from chaosrun.codec import from_json
from chaosrun.errors import ChaosrunError, Refused, Transient
from chaosrun.web import Endpoint, Request
from chaosrun.web.client import Client as Web

T = TypeVar("T")
_KEPT = 16 * 1024 * 1024

Parameters = Sequence[tuple[str, str]]


class Client:
    """Asks any number of servers, from any number of threads."""

    def __init__(self) -> None:
        self._web = Web()

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._web.close()

    def get(
        self,
        vendor: str,
        endpoint: Endpoint,
        path: str,
        parameters: Parameters,
        kind: type[T],
        **headers: str,
    ) -> T:
        """The typed answer to a GET. Raises Transient or Refused."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        request = Request(
            url=endpoint.url.rstrip("/") + path + query,
            headers=endpoint.sent_headers(**{"accept": "application/json", **headers}),
            tls=endpoint.tls, follow=False, keep=_KEPT,
        )  # fmt: skip
        answer = self._web.ask(request, time.monotonic() + endpoint.timeout.seconds)
        if answer.error:
            raise Transient(f"{vendor} did not answer: {answer.error}")
        if answer.status != 200:
            raise _not_ok(vendor, answer.status)
        if answer.truncated:
            raise Refused(f"{vendor} answered with more than {_KEPT} bytes")
        try:
            return from_json(answer.body, kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Refused(
                f"the answer is not that of {vendor}: {error}", hint="is `url` the right one?"
            ) from None


def _not_ok(vendor: str, status: int) -> ChaosrunError:
    said = f"{vendor} answered with status {status}"
    if status in (401, 403):
        return Refused(said, hint="it does not let us in: is the token the right one?")
    if status == 429 or status >= 500:
        return Transient(said)
    if 300 <= status < 400:
        return Refused(said, hint="write the `url` that it redirects to")
    return Refused(said, hint="is `url` the right one?")


def connect() -> Client:
    """A client that has not connected to anything yet."""
    return Client()
