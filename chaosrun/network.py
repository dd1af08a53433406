"""Reaching a host within a deadline, and short words for why it could not be reached.

Law: no call here outlives its deadline, which is a reading of `time.monotonic()`; a name
server that does not answer included.
"""

from __future__ import annotations

import errno
import re
import socket
import time
from collections.abc import Sequence
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from chaosrun.errors import Transient
from chaosrun.secrets import REFERENCE

if TYPE_CHECKING:
    from concurrent.futures import Future

SocketT = TypeVar("SocketT", bound=socket.socket)
Place = tuple[Any, ...]
"""What `socket.getaddrinfo` lists."""

_ADDRESS = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>\d{1,5})"
)
_NO_ROUTE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_OURS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_lookups: dict[tuple[str, int], Future[Sequence[Place]]] = {}
_lookups_lock = Lock()


def parse_address(text: str) -> tuple[str, int]:
    """The host and port of `host:port` or `[::1]:port`. Raises ValueError with what to write."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an address such as db:5432 or [::1]:5432")
    port = int(match["port"])
    if not 1 <= port <= 65535:
        raise ValueError(f"a port is between 1 and 65535, not {port}")
    return match["six"] or match["host"], port


def has_reference(text: str) -> bool:
    """Whether the text still waits for a secret, so that nothing can be said about it yet."""
    return "${" in text and REFERENCE.search(text) is not None


def remaining(deadline: float) -> float:
    """The seconds left, more than 0. Raises TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def connect(host: str, port: int, deadline: float, kind: type[SocketT]) -> SocketT:
    """A connected TCP socket of that kind. Raises OSError.

    The addresses of a name are tried in turn, each with a fair part of the time left, so that
    one that swallows packets does not hide the next.
    """
    places = _resolve(host, port, deadline)
    errors: list[OSError] = []
    for index, place in enumerate(places):
        try:
            return _connect(place, remaining(deadline) / (len(places) - index), kind)
        except OSError as error:
            errors.append(error)
    # A host without IPv6 would otherwise say "unreachable" for every refused connection.
    telling = [error for error in errors if error.errno not in _NO_ROUTE]
    raise (telling or errors)[0]


def addresses(host: str, deadline: float) -> list[str]:
    """The addresses of a name, sorted. Raises OSError."""
    return sorted({str(place[4][0]) for place in _resolve(host, 0, deadline)})


def _connect(place: Place, timeout: float, kind: type[SocketT]) -> SocketT:
    family, type_, protocol, _, address = place
    sock = kind(family, type_, protocol)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(timeout)
        sock.connect(address)
        if sock.getsockname() == sock.getpeername():
            # A local port that nobody listens on may be given to this very socket, which TCP
            # then joins to itself (RFC 9293, simultaneous open).
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    except BaseException:
        sock.close()
        raise
    return sock


def _resolve(host: str, port: int, deadline: float) -> Sequence[Place]:
    """Where that name is. A thread asks, since nothing can interrupt getaddrinfo(3)."""
    try:
        return socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )  # fmt: skip
    except (socket.gaierror, UnicodeError):
        pass  # a name, not a literal address
    from concurrent.futures import Future  # it brings logging: only for names

    key = (host, port)
    with _lookups_lock:
        lookup = _lookups.get(key)
        if lookup is None:
            lookup = _lookups[key] = Future()
            Thread(target=_look_up, args=(key, lookup), daemon=True, name="look up").start()
    return lookup.result(remaining(deadline))


def _look_up(key: tuple[str, int], lookup: Future[Sequence[Place]]) -> None:
    """Ask once for everybody who waits for that name."""
    try:
        found = socket.getaddrinfo(*key, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        failed = error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME)
        _forget(key)
        lookup.set_exception(failed)
    else:
        _forget(key)
        lookup.set_result(found)


def _forget(key: tuple[str, int]) -> None:
    with _lookups_lock:
        del _lookups[key]


def failure(error: OSError) -> str:
    """A few stable words for what went wrong between us and a host.

    Raises Transient when it was this machine that could not look.
    """
    match error:
        case TimeoutError():
            return "timeout"
        case ConnectionRefusedError():
            return "connection refused"
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return "connection reset"
        case socket.gaierror():
            known = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None))
            return "name not found" if known else "name lookup failed"
    if error.errno in _OURS:
        raise Transient(f"cannot look from here: {error.strerror}") from None
    if error.errno in _NO_ROUTE:
        return "unreachable"
    return (error.strerror or type(error).__name__).lower()
