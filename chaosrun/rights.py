"""The rights that faults, probes and gates need, in the words of the system that grants them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec
from msgspec.structs import replace

from chaosrun.units import JSON


class Permission(msgspec.Struct, frozen=True, omit_defaults=True):
    """One right: `action` in the words of `system`, which is linux, rbac, iam or docker.

    `scope` narrows it where the system knows how: for rbac a namespace, `namespace/name`, or
    `/name` of what has no namespace; empty means everywhere.
    """

    system: str
    action: str
    resource: str = ""
    scope: str = ""

    @property
    def order(self) -> tuple[str, str, str, str]:
        """By which they are sorted where a person reads them."""
        return self.system, self.resource, self.action, self.scope


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """A right with what needs it: the fault, probe or gate `uses`, of the step or check `by`.

    `arguments` are those written, a step's target among them: what grants the right may be
    narrowed to what they name.
    """

    permission: Permission
    uses: str
    by: str
    arguments: dict[str, JSON]


def by_right(needs: Iterable[Need]) -> dict[Permission, list[str]]:
    """Each right once, sorted, with the names of what needs it; not what a wider one covers."""
    found: dict[Permission, list[str]] = {}
    for need in needs:
        if need.by not in (names := found.setdefault(need.permission, [])):
            names.append(need.by)
    for right in list(found):
        if (wider := _wider(right, found)) is not None:
            names = found.pop(right)
            found[wider] += [name for name in names if name not in found[wider]]
    return dict(sorted(found.items(), key=lambda item: item[0].order))


def _wider(right: Permission, found: Collection[Permission]) -> Permission | None:
    """The widest of them that covers this one: the same everywhere, or in the whole place."""
    place, slash, _ = right.scope.partition("/")
    for scope in ("", place if slash else ""):
        other = replace(right, scope=scope)
        if other != right and other in found:
            return other
    return None
