"""A right that a fault, probe or gate needs, in its system's own words."""

from __future__ import annotations

import msgspec


class Permission(msgspec.Struct, frozen=True, omit_defaults=True):
    """One right: `system` is linux, rbac or iam; `action` is in its own words."""

    system: str
    action: str
    resource: str = ""
