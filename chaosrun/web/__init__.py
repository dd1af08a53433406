"""HTTP as a person writes it in a probe or a gate, and as the client is asked it.

Law: every request has a deadline for the whole of it; what is written is checked before
anything is sent. Nothing here imports an HTTP library: `chaosrun.web.client` does.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from chaosrun import __version__
from chaosrun.network import has_reference
from chaosrun.units import JSON, Duration, Size

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
KEPT = Size(64 * 1024)


class Part(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """A part of what a person writes about HTTP."""


class Tls(Part, frozen=True, kw_only=True):
    """How to trust a server, and how to be trusted by it."""

    verify: Annotated[
        bool, Meta(description="Whether the server's certificate must be valid for its name")
    ] = True
    ca: Annotated[
        str, Meta(description="A file of certificates to trust instead of the system's")
    ] = ""
    cert: Annotated[str, Meta(description="A file with our certificate and its chain")] = ""
    key: Annotated[str, Meta(description="A file with its private key, when not in `cert`")] = ""
    server_name: Annotated[
        str, Meta(description="The name to ask for and to verify, when not that of the URL")
    ] = ""

    def __post_init__(self) -> None:
        if self.key and not self.cert:
            raise ValueError("`key` needs `cert`")


class BasicAuth(Part, frozen=True, kw_only=True):
    """A user name and a password, sent with the request."""

    username: str
    password: Annotated[str, Meta(examples=["${secrets.password}"])]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request, ready to be sent.

    `keep` is the most bytes of the answer's body to read; `repeatable` says that sending it
    twice does no harm, whatever its method.
    """

    url: str
    method: str = "GET"
    headers: dict[str, str] = {}
    body: bytes | None = None
    tls: Tls | None = None
    follow: bool = True
    keep_alive: bool = True
    keep: int = KEPT.bytes
    repeatable: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. `status` is 0, and `error` says why, when that was not a whole answer.

    `headers` have lower-case names. `expires` is when the server's certificate ends, in
    seconds since 1970, if it was verified.
    """

    status: int = 0
    error: str = ""
    seconds: float
    headers: dict[str, str] = {}
    body: bytes = b""
    truncated: bool = False
    expires: float | None = None


class Endpoint(Part, frozen=True, kw_only=True):
    """A server, and how to be let in."""

    url: Annotated[
        str,
        Meta(
            description="Where to ask: http:// or https://",
            examples=["http://checkout.shop.svc/health"],
        ),
    ]
    headers: Annotated[
        dict[str, str],
        Meta(
            description="Headers to send", examples=[{"authorization": "Bearer ${secrets.token}"}]
        ),
    ] = {}
    basic_auth: Annotated[
        BasicAuth | None, Meta(description="A user name and password to send")
    ] = None
    tls: Annotated[Tls | None, Meta(description="For https: what to trust and to show")] = None
    timeout: Annotated[
        Duration,
        Meta(description="For the whole of it: name lookup, connecting, redirects, the last byte"),
    ] = Duration(2)

    def __post_init__(self) -> None:
        check_url(self.url)
        check_timeout(self.timeout)
        for name, value in self.headers.items():
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a header")
            if _CONTROL.search(value):  # never the value itself: it may be a secret
                raise ValueError(f"the header {name!r} has a line break or a control character")
        if self.basic_auth and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("`basicAuth` and an `authorization` header exclude each other")

    def sent_headers(self, **more: str) -> dict[str, str]:
        """The headers to send, with lower-case names: ours unless the person gave their own."""
        headers = {"user-agent": f"chaosrun/{__version__}", **more}
        if self.basic_auth:
            pair = f"{self.basic_auth.username}:{self.basic_auth.password}"
            headers["authorization"] = "Basic " + b64encode(pair.encode()).decode()
        for name, value in self.headers.items():
            # The library sends Latin-1, as RFC 9110 once had it; servers today expect UTF-8.
            headers[name.lower()] = value.encode().decode("latin-1")
        return headers


class Question(Endpoint, frozen=True, kw_only=True):
    """A request as a person writes it."""

    method: Annotated[
        Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        Meta(description="The request's method"),
    ] = "GET"
    body: Annotated[str, Meta(description="The text to send")] = ""
    json: Annotated[JSON, Meta(description="The value to send as JSON, instead of `body`")] = None
    follow_redirects: Annotated[
        bool,
        Meta(
            description="Whether to go where a redirect points, at most 10 times; at another "
            "origin without the headers and the body, which may hold secrets"
        ),
    ] = True
    keep_alive: Annotated[
        bool,
        Meta(description="Whether to use a connection again; without, each request makes its own"),
    ] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.body and self.json is not None:
            raise ValueError("`body` and `json` exclude each other")

    def request(self, keep: int = KEPT.bytes) -> Request:
        """This question, ready to be sent."""
        body, headers = None, self.sent_headers()
        if not self.keep_alive:
            headers.setdefault("connection", "close")
        if self.json is not None:
            body = msgspec.json.encode(self.json)
            headers.setdefault("content-type", "application/json")
        elif self.body:
            body = self.body.encode()
            headers.setdefault("content-type", "text/plain; charset=utf-8")
        return Request(
            url=self.url, method=self.method, headers=headers, body=body, tls=self.tls,
            follow=self.follow_redirects, keep_alive=self.keep_alive, keep=keep,
        )  # fmt: skip


def check_timeout(timeout: Duration) -> None:
    """Raises ValueError for a time in which nothing can be seen."""
    if not timeout:
        raise ValueError("`timeout` must be longer than 0s")


@lru_cache(1024)  # one is made for each sample, and a URL takes longer to check than to send
def check_url(url: str) -> None:
    """Raises ValueError, with what to write instead, for what is not an HTTP URL."""
    if has_reference(url):
        return
    shown = url.partition("?")[0]
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"not a URL: {error}") from None
    if parts.username is not None:
        raise ValueError("a URL is no place for a user name or a password: use `basicAuth`")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{shown!r} is not a URL such as http://checkout:8080/health")
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError(f"{shown!r} has a space or a control character: write it as %20")
