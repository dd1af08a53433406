"""What the API server answers, read: plain data, or its errors in our words. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from chaosrun.errors import ChaosrunError, Indeterminate, Refused, Transient

AGAIN = (429, 500, 502, 503, 504)
"""Answers after which the same call may be tried again."""
_LONGEST = 8.0
_QUOTED = re.compile(r'Invalid value: (?:"\{.*\}"|[\w.\[\]{}* ]*\{.*\})', re.DOTALL)
_SEVERAL = "more than one PodDisruptionBudget"
"""What an eviction is answered that will never be possible: an error of the server, it says."""
_RIGHTS = "`chaosrun permissions FILE --document rbac` writes the roles it takes"


class NotFound(Refused):
    """What was named does not exist there."""


class Exists(Refused):
    """It is there already."""


class Changed(Transient):
    """Somebody changed it at the same time."""


class Expired(Transient):
    """What was asked for goes on from a version that the server does not know any more."""


class Blocked(Refused):
    """A disruption budget does not let this pod be evicted now."""


def read(data: bytes, said: str, *, plain: bool) -> Any:
    """The data of a good answer."""
    if plain:
        return data.decode(errors="replace")
    try:
        return json.loads(data)
    except ValueError:
        raise Transient(f"{said}: the answer is not JSON") from None


def retry_after(headers: Any) -> float:
    """The seconds that the server asks us to wait."""
    written = str(headers.get("Retry-After", ""))
    return min(float(written), _LONGEST) if written.isdigit() else 0.0


def _without_objects(message: str) -> str:
    """The message without the whole object that the API server may quote, with all it holds (L9).

    It does so for a patch after which the object cannot be read, and for a value that is a struct.
    """
    return _QUOTED.sub("Invalid value: {...}", message)


def error_of(status: int, data: bytes, method: str, said: str) -> ChaosrunError:
    """The error for an answer that is one."""
    try:
        answer = json.loads(data)
        message, reason = str(answer.get("message", "")), str(answer.get("reason", ""))
        causes = (answer.get("details") or {}).get("causes") or ()
    except (ValueError, AttributeError):
        message, reason, causes = data.decode(errors="replace")[:200], "", ()
    told = f"{said}: {_without_objects(message) or status}"
    match status:
        case 401:
            return Refused(f"{said}: the credentials are not accepted", hint="log in again")
        case 403:
            return Refused(told, hint=_RIGHTS)
        case 404:
            return NotFound(told)
        case 409:
            return Exists(told) if reason == "AlreadyExists" else Changed(told)
        case 410:
            return Expired(told)
        case 429 if any(cause.get("reason") == "DisruptionBudget" for cause in causes):
            return Blocked("; ".join(str(cause.get("message", "")) for cause in causes))
        case 429 | 503:
            return Transient(told)
        case 500 if _SEVERAL in message:
            return Blocked(message)
        case 500 | 502 | 504:
            return Transient(told) if method == "GET" else Indeterminate(told)
    return Refused(told)
