"""Queries over Prometheus' HTTP API, and its errors in our words.

Law: what Prometheus could not say raises: Transient when asking again may help, else Refused.
"""

from __future__ import annotations

import time
from typing import Literal, NamedTuple
from urllib.parse import urlencode

import msgspec

from chaosrun.codec import from_json
from chaosrun.errors import ChaosrunError, Refused, Transient
from chaosrun.web import Endpoint, Request
from chaosrun.web.client import Client

_KEPT = 16 * 1024 * 1024
_PASSING = ("timeout", "canceled", "unavailable", "internal", "too_many_requests")
_NARROWER = "ask for fewer series, a shorter `range` or a longer `step`"
_HINTS = {"bad_data": "try the query in Prometheus' own page", "execution": _NARROWER}

Sample = tuple[float, str]
"""When, in seconds since 1970, and the number as text: it may be NaN, +Inf or -Inf."""


class Series(NamedTuple):
    """One series of a result: its numbers, oldest first, and whether they are of a range.

    It has none where its samples are histograms.
    """

    numbers: tuple[float, ...]
    ranged: bool


class Written(msgspec.Struct, frozen=True):
    """One series as Prometheus writes it."""

    value: Sample | None = None
    values: tuple[Sample, ...] = ()

    @property
    def samples(self) -> tuple[Sample, ...]:
        return self.values if self.value is None else (self.value,)


class Found(msgspec.Struct, frozen=True, rename="camel"):
    """What a query found; the shape of `result` depends on its type."""

    result_type: Literal["vector", "matrix", "scalar", "string"]
    result: msgspec.Raw


class Reply(msgspec.Struct, frozen=True, rename="camel"):
    """The envelope of Prometheus' HTTP API."""

    status: Literal["success", "error"]
    data: Found | None = None
    error_type: str = ""
    error: str = ""
    warnings: tuple[str, ...] = ()


class Prometheus:
    """Asks any number of servers, from any number of threads."""

    def __init__(self) -> None:
        self._web = Client()

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._web.close()

    def query(
        self, endpoint: Endpoint, path: str, parameters: dict[str, str]
    ) -> tuple[tuple[Series, ...], tuple[str, ...]]:
        """The series that a query found, a scalar as one of them, and Prometheus' warnings."""
        deadline = time.monotonic() + endpoint.timeout.seconds
        request = Request(
            url=endpoint.url.rstrip("/") + path,
            method="POST",  # a query may be longer than a URL
            headers=endpoint.sent_headers(**{"content-type": "application/x-www-form-urlencoded"}),
            body=urlencode({**parameters, "timeout": str(endpoint.timeout.seconds)}).encode(),
            tls=endpoint.tls,
            follow=False,
            keep=_KEPT,
            repeatable=True,
        )
        answer = self._web.ask(request, deadline)
        if answer.error:
            raise Transient(f"Prometheus did not answer: {answer.error}")
        if answer.truncated:
            raise Refused(f"Prometheus answered with more than {_KEPT} bytes", hint=_NARROWER)
        try:
            reply = from_json(answer.body, Reply)
            if reply.data is not None:
                return _series(reply.data), reply.warnings
        except (msgspec.DecodeError, RecursionError, ValueError):  # the last is a number's
            raise _unexpected(answer.status) from None
        kind = Transient if reply.error_type in _PASSING else Refused
        raise kind(f"Prometheus: {reply.error or 'no data'}", hint=_HINTS.get(reply.error_type, ""))


def _series(found: Found) -> tuple[Series, ...]:
    match found.result_type:
        case "scalar":
            sample = from_json(found.result, tuple[float, str])
            return (Series((float(sample[1]),), ranged=False),)
        case "string":
            raise Refused("the query gives a text, not a number")
    ranged = found.result_type == "matrix"
    return tuple(
        Series(tuple(float(text) for _, text in one.samples), ranged)
        for one in from_json(found.result, tuple[Written, ...])
    )


def _unexpected(status: int) -> ChaosrunError:
    """The error for an answer that is not Prometheus'."""
    if status in (401, 403):
        return Refused(
            f"Prometheus answered with status {status}", hint="give `headers` or `basicAuth`"
        )
    if 300 <= status < 400:
        return Refused(
            f"Prometheus answered with a redirect, status {status}",
            hint="write the `url` that it redirects to",
        )
    if status == 429 or status >= 500:
        return Transient(f"Prometheus answered with status {status}")
    return Refused(
        f"the answer, of status {status}, is not that of Prometheus' HTTP API",
        hint="`url` is the base, such as http://prometheus:9090",
    )


def connect() -> Prometheus:
    """A client that has not connected to anything yet."""
    return Prometheus()
