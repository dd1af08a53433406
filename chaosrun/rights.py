"""The rights that faults, probes and gates need, in the words of the system that grants them."""

from __future__ import annotations

import msgspec

from chaosrun.units import JSON


class Permission(msgspec.Struct, frozen=True, omit_defaults=True):
    """One right that is needed: `action` in the words of `system`: linux, rbac, iam or docker.

    `scope` narrows it where the system knows how: for rbac a namespace, `namespace/name`, or
    `/name` of what has no namespace; empty means everywhere.
    """

    system: str
    action: str
    resource: str = ""
    scope: str = ""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """A right with what needs it: the fault, probe or gate `uses`, of the step or check `by`.

    `arguments` are those written, a step's target among them: what grants the right may be
    narrowed to what they name.
    """

    permission: Permission
    uses: str
    by: str
    arguments: dict[str, JSON]
