"""The probe `http`: what a server answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.codec import from_json
from chaosrun.probe import Probe
from chaosrun.units import JSON, Duration, Size
from chaosrun.web import KEPT, Answer, Question

if TYPE_CHECKING:  # the library takes long to import, and validation does not need it
    from chaosrun.web.client import Client

_LONGEST = Size(16 * 1024 * 1024)
_DAY = 86400.0


class Response(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What came back. `error` is empty exactly when a whole answer did."""

    status: Annotated[int, Meta(description="The status code, or 0 without a whole answer")]
    latency: Annotated[
        Duration, Meta(description="From the start, connecting included, to the last byte read")
    ]
    error: Annotated[
        str,
        Meta(
            description="Why there was no whole answer: `timeout`, `connection refused`, "
            "`connection reset`, `connection closed`, `name not found`, `unreachable`, "
            "`malformed answer`, `tls: ...`"
        ),
    ]
    headers: Annotated[dict[str, str], Meta(description="Headers, their names in lower case")]
    body: Annotated[str, Meta(description="The body as text, at most `maxBody` of it")]
    truncated: Annotated[bool, Meta(description="Whether there was more body than `maxBody`")]
    json: Annotated[JSON, Meta(description="The body as JSON; null when it is not, or truncated")]
    certificate_days_left: Annotated[
        float | None,
        Meta(description="Days until the server's certificate ends; null if none was verified"),
    ]


class HttpProbe(Question, Probe["Client", Response], frozen=True, kw_only=True):
    """Asks a server over HTTP, on a connection that is kept open between samples.

    A server that cannot be reached is a result: status 0 and an `error`. Proxies, cookies and
    credentials of the environment are not used.
    """

    name: ClassVar[str] = "http"
    Result = Response
    example: ClassVar[dict[str, JSON]] = {
        "with": {"url": "http://checkout.shop.svc/health", "timeout": "2s"},
        "expect": 'status == 200 && latency < duration("300ms")',
    }

    max_body: Annotated[Size, Meta(description="The most of a body to read: up to 16Mi")] = KEPT

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_body > _LONGEST:
            raise ValueError(f"`maxBody` is at most {_LONGEST}")

    def observe(self, client: Client) -> Response:
        """Ask once."""
        deadline = time.monotonic() + self.timeout.seconds
        return response_of(client.ask(self.request(self.max_body.bytes), deadline))


def response_of(answer: Answer) -> Response:
    """An answer in the terms of an expectation."""
    days = None if answer.expires is None else round((answer.expires - time.time()) / _DAY, 3)
    content = answer.headers.get("content-type", "")
    return Response(
        status=answer.status,
        latency=Duration(answer.seconds),
        error=answer.error,
        headers=answer.headers,
        body=_text(answer.body, content),
        truncated=answer.truncated,
        json=None if answer.truncated else _json(answer.body, content),
        certificate_days_left=days,
    )


def _text(body: bytes, content: str) -> str:
    _, _, charset = content.partition("charset=")
    try:
        return body.decode(charset.split(";")[0].strip(" \"'") or "utf-8", "replace")
    except LookupError:  # a charset that nobody knows
        return body.decode("utf-8", "replace")


def _json(body: bytes, content: str) -> JSON:
    if "json" not in content and body[:1] not in (b"{", b"["):
        return None
    try:
        return from_json(body, Any)
    except (msgspec.DecodeError, RecursionError):
        return None
