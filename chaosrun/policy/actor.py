"""Who asks for a run, approves one or overrides a rule.

Law: a policy names the kind of name it trusts. `ann` is a user of the operating system, as it
says itself; `env:ann` is what the environment variable CHAOSRUN_ACTOR says, which whoever
starts the process can set, so it is trusted only where a policy says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

import msgspec

ACTOR: Final = "CHAOSRUN_ACTOR"


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody: `shown` to people, and every name by which a policy may call them."""

    shown: str
    names: tuple[str, ...]


def actor_of(user: str, host: str, groups: Iterable[str], said: str) -> Actor:
    """Who a user of the system is; `said` is what CHAOSRUN_ACTOR holds, or nothing."""
    names = [user, f"{user}@{host}", *(f"group:{group}" for group in sorted(set(groups)))]
    shown = f"{user}@{host}"
    if said:
        names.append(f"env:{said}")
        shown = f"{said} (as {shown})"
    return Actor(shown=shown, names=tuple(names))


def is_one_of(names: Iterable[str], patterns: Iterable[str]) -> bool:
    """Whether one of the names fits one of the patterns, such as `ann`, `group:sre`, `env:*`."""
    kinds = [(_kind(pattern), pattern) for pattern in patterns]
    return any(
        _kind(name) == kind and fnmatchcase(name, pattern)
        for name in names
        for kind, pattern in kinds
    )


def _kind(name: str) -> str:
    """`env`, `group` or nothing: a `*` stands for names of its own kind only."""
    kind, colon, _ = name.partition(":")
    return kind if colon and kind in ("env", "group") else ""


def identity(names: Iterable[str]) -> str:
    """The one name that tells a person from others: what CHAOSRUN_ACTOR says, else user@host."""
    known = list(names)
    said = [name for name in known if _kind(name) == "env"]
    users = [name for name in known if not _kind(name) and "@" in name]
    return (said or users or known or [""])[0]
