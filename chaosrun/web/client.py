"""The one HTTP client: keep-alive connections, a deadline for the whole exchange.

Law: a request ends by its deadline even when the server sends a byte now and then; what is
read is bounded; no error repeats a URL or a header, since either may hold a secret (L9).
Proxies and credentials of the environment are not used: a probe sees what it was told to see.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from pathlib import Path
from socket import socket
from typing import Any, NamedTuple, cast
from urllib.parse import urljoin
from weakref import WeakSet

import urllib3
from msgspec.structs import replace
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    HTTPError,
    InsecureRequestWarning,
    LocationParseError,
    ProtocolError,
)
from urllib3.exceptions import (
    TimeoutError as LibraryTimeout,
)
from urllib3.util import parse_url

from chaosrun.errors import Refused
from chaosrun.network import connect as connect_socket
from chaosrun.network import failure, remaining
from chaosrun.web import Answer, Request, Tls

_REDIRECTS = 10
_REDIRECT_STATUSES = frozenset((301, 302, 303, 307, 308))
_IDLE = 512
_HARMLESS = frozenset(("user-agent", "accept"))
_REPEATABLE = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))  # RFC 9110, 9.2.2


class _Exchange:
    """What the thread's sockets must know of the request they serve, and say of it."""

    __slots__ = ("connected", "deadline", "expires", "received")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.connected = False
        self.received = False
        self.expires: float | None = None


class _Current(threading.local):
    exchange = _Exchange(0.0)


_current = _Current()


class _Socket(socket):
    """A socket whose every call ends by the deadline of the thread's exchange.

    The timeout of a library is for one read, and starts again with each byte.
    """

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        exchange = _current.exchange
        self.settimeout(remaining(exchange.deadline))
        count = super().recv_into(*args, **kwargs)
        exchange.received = exchange.received or count > 0
        return count

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self.settimeout(remaining(_current.exchange.deadline))
        super().sendall(*args, **kwargs)


class _TlsSocket(ssl.SSLSocket):
    """The same under TLS, where `sendall` is a loop of `send`."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        exchange = _current.exchange
        self.settimeout(remaining(exchange.deadline))
        count = super().recv_into(*args, **kwargs)
        exchange.received = exchange.received or count > 0
        return count

    def send(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(remaining(_current.exchange.deadline))
        return super().send(*args, **kwargs)


def _new_socket(connection: HTTPConnection) -> socket:
    exchange = _current.exchange
    exchange.connected = True
    try:
        sock = connect_socket(
            connection._dns_host, connection.port or 80, exchange.deadline, _Socket
        )
        sock.settimeout(remaining(exchange.deadline))  # for the TLS handshake
    except OSError as error:
        raise ProtocolError("no connection", error) from None
    return sock


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket:
        return _new_socket(self)


class _TlsConnection(HTTPSConnection):
    expires: float | None = None

    def _new_conn(self) -> socket:
        return _new_socket(self)

    def connect(self) -> None:
        super().connect()
        certificate = cast("ssl.SSLSocket", self.sock).getpeercert()
        end = (certificate or {}).get("notAfter")  # nothing is told of one not verified
        self.expires = ssl.cert_time_to_seconds(str(end)) if end else None

    def request(self, *args: Any, **kwargs: Any) -> None:
        _current.exchange.expires = self.expires
        super().request(*args, **kwargs)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Origin(NamedTuple):
    """What a pool of connections leads to."""

    scheme: str
    host: str
    port: int
    context: ssl.SSLContext | None
    server_name: str

    def pool(self, size: int) -> HTTPConnectionPool:
        if self.context is None:
            return _Pool(self.host, self.port, maxsize=size, retries=False)
        return _TlsPool(
            self.host, self.port, maxsize=size, retries=False,
            ssl_context=self.context, server_hostname=self.server_name or None,
        )  # fmt: skip


class Client:
    """Sends requests from any number of threads, over connections that are kept open."""

    def __init__(self) -> None:
        # `tls.verify: false` was written by a person, who need not be told each time.
        urllib3.disable_warnings(InsecureRequestWarning)
        self._made: WeakSet[HTTPConnectionPool] = WeakSet()
        self._pool = lru_cache(1024)(self._new_pool)
        self._route = lru_cache(1024)(_find_route)

    def close(self) -> None:
        """Close every connection that is not in use."""
        for pool in tuple(self._made):
            pool.close()
        self._pool.cache_clear()

    def ask(self, request: Request, deadline: float) -> Answer:
        """The answer, or why there was none, by `deadline` (of `time.monotonic()`).

        Raises Refused or Transient only when nothing could be asked from here.
        """
        began = time.monotonic()
        exchange = _current.exchange = _Exchange(deadline)
        try:
            for _ in range(_REDIRECTS + 1):
                response, body = self._ask_once(request, exchange)
                following = _redirected(request, response) if request.follow else None
                if following is None:
                    return Answer(
                        status=response.status,
                        seconds=time.monotonic() - began,
                        headers={k.lower(): v for k, v in response.headers.itermerged()},
                        body=body[: request.keep],
                        truncated=len(body) > request.keep,
                        expires=exchange.expires,
                    )
                request = following
            error = f"more than {_REDIRECTS} redirects"
        except (HTTPError, HTTPException, OSError) as caught:
            error = _words(caught)
        return Answer(error=error, seconds=time.monotonic() - began)

    def _ask_once(self, request: Request, exchange: _Exchange) -> tuple[BaseHTTPResponse, bytes]:
        origin, target = self._route(request.url, request.tls, _stamps(request.tls))
        if request.keep_alive:
            try:
                return _converse(self._pool(origin), target, request)
            except (HTTPError, HTTPException, OSError):
                # A server may close an idle connection just as we use it: only a new connection
                # can tell how the server is. RFC 9112, 9.3.1.
                repeatable = request.repeatable or request.method in _REPEATABLE
                if exchange.connected or exchange.received or not repeatable:
                    raise
        with contextlib.closing(origin.pool(1)) as pool:
            return _converse(pool, target, request)

    def _new_pool(self, origin: _Origin) -> HTTPConnectionPool:
        pool = origin.pool(_IDLE)
        self._made.add(pool)
        return pool


def _converse(
    pool: HTTPConnectionPool, target: str, request: Request
) -> tuple[BaseHTTPResponse, bytes]:
    """Send a request; its answer with one byte more than asked for, if there is more."""
    response = pool.urlopen(
        request.method, target, request.body, request.headers,
        retries=False, redirect=False, assert_same_host=False, preload_content=False,
        timeout=None,  # the sockets know the deadline
    )  # fmt: skip
    body = response.read(request.keep + 1)
    if len(body) > request.keep:
        response.close()  # to read on would take as long as the server likes
    response.release_conn()
    return response, body


def _find_route(url: str, tls: Tls | None, stamps: tuple[int, ...]) -> tuple[_Origin, str]:
    """Where a URL leads, and what to ask there. `stamps` tell changed certificates from old."""
    try:
        parsed = parse_url(url)
    except LocationParseError:
        raise Refused("not a URL that can be asked") from None
    scheme, host = parsed.scheme or "", parsed.host or ""
    if scheme == "http":
        return _Origin(scheme, host, parsed.port or 80, None, ""), parsed.request_uri
    context, name = _context(tls, stamps), tls.server_name if tls else ""
    return _Origin(scheme, host, parsed.port or 443, context, name), parsed.request_uri


def _stamps(tls: Tls | None) -> tuple[int, ...]:
    """When the files of certificates changed last; they are renewed while a daemon runs."""
    if tls is None:
        return ()
    stamps = []
    for path in (tls.ca, tls.cert, tls.key):
        with contextlib.suppress(OSError):
            stamps.append(Path(path).stat().st_mtime_ns if path else 0)
    return tuple(stamps)


@lru_cache(256)
def _context(tls: Tls | None, stamps: tuple[int, ...]) -> ssl.SSLContext:  # noqa: ARG001
    """What a connection trusts and shows. Raises Refused when a file cannot be read."""
    tls = tls or Tls()
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
        if tls.cert:
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(tls.cert, tls.key or None, password="")
    except OSError as error:
        files = ", ".join(path for path in (tls.ca, tls.cert, tls.key) if path)
        why = error.strerror or str(error)
        raise Refused(
            f"cannot use the certificates in {files}: {why}", hint="they must be PEM files"
        ) from None
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = _TlsSocket
    return context


def _redirected(request: Request, response: BaseHTTPResponse) -> Request | None:
    """The request that a redirect asks for; None when the answer is the last."""
    location = response.headers.get("location")
    if response.status not in _REDIRECT_STATUSES or not location:
        return None
    try:
        here, there = parse_url(request.url), parse_url(urljoin(request.url, location))
    except (ValueError, LocationParseError):
        return None
    if there.scheme not in ("http", "https") or not there.host:
        return None
    url = there._replace(auth=None, fragment=None).url
    method, headers, body = request.method, request.headers, request.body
    again = response.status in (307, 308)
    if not again and method != "HEAD":
        method, body = "GET", None
        headers = {k: v for k, v in headers.items() if not k.startswith("content-")}
    if (here.scheme, here.host, here.port) == (there.scheme, there.host, there.port):
        return replace(request, url=url, method=method, headers=headers, body=body)
    if body is not None:
        return None
    headers = {k: v for k, v in headers.items() if k in _HARMLESS}
    tls = replace(request.tls, server_name="") if request.tls else None
    return replace(request, url=url, method=method, headers=headers, tls=tls)


def _words(error: Exception) -> str:
    """A few stable words for why there was no answer. Raises Transient when it was us."""
    for cause in _causes(error):
        match cause:
            case LibraryTimeout():
                return "timeout"
            case ssl.SSLCertVerificationError():
                return f"tls: {cause.verify_message}"
            case ssl.SSLError() if cause.reason:
                return f"tls: {cause.reason.replace('_', ' ').lower()}"
            case RemoteDisconnected() | IncompleteRead() | ssl.SSLEOFError():
                return "connection closed"
            case OSError():
                return failure(cause)
    return "malformed answer"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was made of: the library wraps, in several ways."""
    yield error
    for inner in (*error.args, error.__cause__):
        if isinstance(inner, BaseException):
            yield from _causes(inner)
