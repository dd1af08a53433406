"""A right that a fault, probe or gate needs, in its system's own words, and what needs it."""

from __future__ import annotations

import msgspec

from chaosrun.units import JSON


class Permission(msgspec.Struct, frozen=True, omit_defaults=True):
    """One right: `system` is linux, rbac or iam; `action` is in its own words."""

    system: str
    action: str
    resource: str = ""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """One permission that something in an experiment needs.

    `uses` names the fault, probe or gate; `by` is the step, check, guard or gate, in words;
    `arguments` are as a person wrote them, with `target` among them.
    """

    permission: Permission
    uses: str
    by: str
    arguments: dict[str, JSON]
