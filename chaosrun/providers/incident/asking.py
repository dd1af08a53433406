"""What the gates of incidents have in common: how they are let in, and what they measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from chaosrun.gate import Measured
from chaosrun.units import Duration
from chaosrun.web import Endpoint

_SENDABLE = re.compile(r"[\x21-\x7e]+")
_NAMED = 3


class Server(Endpoint, frozen=True, kw_only=True):
    """A server whose API stands below its `url`."""

    timeout: Annotated[Duration, Meta(description="For the whole of it")] = Duration(5)

    def __post_init__(self) -> None:
        super().__post_init__()
        parts = urlsplit(self.url)
        if parts.query or parts.fragment:
            raise ValueError("`url` is the base, without a query")


class TokenServer(Server, frozen=True, kw_only=True):
    """A server that lets in who has a token."""

    token: Annotated[
        str,
        Meta(description="An API key that may read, as a secret", examples=["${secrets.token}"]),
    ]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _SENDABLE.fullmatch(self.token):  # never repeated: it may be the secret
            raise ValueError("`token` is empty, or has a space or a control character")
        if self.basic_auth or any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("`token` and another `authorization` exclude each other")


def measured(
    found: Sequence[str], rule: str, *, one: str, many: str, more: bool = False
) -> Measured:
    """Open when nothing was found; else the first few of what was, and how many."""
    if not found:
        return Measured(open=True, measured=f"no {many}", rule=rule)
    names = ", ".join(" ".join(name.split())[:100] or "without a title" for name in found[:_NAMED])
    rest = ", ..." if more or len(found) > _NAMED else ""
    count = f"{'at least ' if more else ''}{len(found)} {one if len(found) == 1 else many}"
    return Measured(
        open=False, measured=f"{count}: {names}{rest}", rule=rule,
        hint="wait until that is over, or narrow down what the gate looks for",
    )  # fmt: skip
