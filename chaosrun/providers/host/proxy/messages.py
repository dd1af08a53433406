"""What is asked of a proxy at its control socket, and what it answers; for both sides."""

from __future__ import annotations

from typing import Literal

import msgspec

from chaosrun.providers.host.proxy.toxics import Seen, Toxic


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of a proxy."""

    do: Literal["status", "set", "clear"]
    toxic: Toxic | None = None
    mark: str = ""


class On(msgspec.Struct, frozen=True, kw_only=True):
    """A toxic that is on."""

    toxic: Toxic
    since: float
    left: float
    seen: Seen


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A proxy as it is now; `held` is bytes on their way through it."""

    pid: int
    listen: str
    upstream: str
    connections: int
    accepted: int
    held: int
    toxics: tuple[On, ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a proxy says: how it is after what was asked, or why it did not do it."""

    status: Status | None = None
    error: str = ""
