"""Differences between objects as JSON merge patches (RFC 7396): made, applied, compared. Pure.

Law: the difference from one object to another, applied to the first, gives the second; and a
patch that changes nothing says that what it asks for is there.
"""

from __future__ import annotations

from typing import Any

_MISSING: Any = object()


def difference(before: Any, after: Any) -> dict[str, Any]:
    """The merge patch that makes `after` of `before`; lists are replaced whole."""
    patch: dict[str, Any] = {}
    for key in sorted({*before, *after}):
        old, new = before.get(key, _MISSING), after.get(key, _MISSING)
        if new is _MISSING or new is None:
            if old is not _MISSING and old is not None:
                patch[key] = None
        elif isinstance(old, dict) and isinstance(new, dict):
            if inner := difference(old, new):
                patch[key] = inner
        elif old != new:
            patch[key] = new
    return patch


def merged(found: Any, patch: Any) -> Any:
    """The object with the patch applied."""
    if not isinstance(patch, dict):
        return patch
    made = dict(found) if isinstance(found, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merged(made.get(key), value)
    return made


def holds(found: Any, patch: Any) -> bool:
    """Whether the object is as the patch would make it."""
    return not difference(_whole(found), _whole(merged(found, patch)))


def _whole(found: Any) -> Any:
    return found if isinstance(found, dict) else {"": found}
