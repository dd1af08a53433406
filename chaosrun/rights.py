"""The rights that faults, probes and gates need, in the words of the system that grants them."""

from __future__ import annotations

import msgspec


class Permission(msgspec.Struct, frozen=True, omit_defaults=True):
    """One right: `action` in the words of `system`, which is linux, rbac, iam or docker.

    `scope` narrows it where the system knows how: for rbac a namespace, `namespace/name`, or
    `/name` of what has no namespace; empty means everywhere.
    """

    system: str
    action: str
    resource: str = ""
    scope: str = ""
