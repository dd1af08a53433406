"""Which account and Region is meant, and by which credentials. Plain data, kept in the hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import Refused
from chaosrun.fault import Hold, Permission
from chaosrun.network import has_reference

OURS = "chaosrun:"
"""How the keys of all tags begin that faults leave."""
MARK_KEY = OURS + "mark"
"""The key of the tag that faults leave."""


class Access(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """How AWS is reached; without any of these, as the AWS command line would."""

    region: Annotated[str, Meta(description="The Region; else that of the profile")] = ""
    account: Annotated[
        str, Meta(description="The account that is meant: with any other, nothing is done")
    ] = ""
    profile: Annotated[str, Meta(description="A profile of the AWS configuration")] = ""
    role: Annotated[str, Meta(description="The ARN of a role to assume")] = ""
    external_id: Annotated[str, Meta(description="The external id that the role asks for")] = ""
    session_tags: Annotated[
        dict[str, str], Meta(description="Session tags to assume the role with")
    ] = {}
    endpoint: Annotated[
        str, Meta(description="A URL to call in place of AWS'; else that of AWS_ENDPOINT_URL")
    ] = ""

    def __post_init__(self) -> None:
        if self.account and not has_reference(self.account):
            digits = self.account.isascii() and self.account.isdigit()
            if not digits or len(self.account) != 12:
                raise ValueError(f"an account id has 12 digits: {self.account!r}")
        if self.external_id and not self.role:
            raise ValueError("externalId is for a role to assume: give `role` too")
        if self.session_tags and not self.role:
            raise ValueError("sessionTags are for a role to assume: give `role` too")

    def __hash__(self) -> int:
        plain = (getattr(self, name) for name in _FIELDS if name != "session_tags")
        return hash((*plain, *sorted(self.session_tags.items())))

    def access(self) -> Access:
        """These fields alone, of whatever has them."""
        return Access(**{name: getattr(self, name) for name in _FIELDS})

    def named(self, written: str) -> str:
        """The id or name that an ARN ends in; what is no ARN is one already.

        Raises Refused when the ARN is of another account or Region than this settled access.
        """
        if not written.startswith("arn:"):
            return written
        parts = written.split(":", 5)
        if len(parts) < 6:
            raise Refused(f"{written} is not an ARN", hint="arn:aws:SERVICE:REGION:ACCOUNT:WHAT")
        for what, said, meant in (
            ("Region", parts[3], self.region),
            ("account", parts[4], self.account),
        ):
            if said and said != meant:
                raise Refused(f"{written} is of {what} {said}, and {meant} is meant")
        return parts[5].rpartition("/")[2].rpartition(":")[2]


_FIELDS = Access.__struct_fields__


def belonging(access: Access, **more: str) -> dict[str, str]:
    """What a target belongs to, for policies: its account, and what `more` says."""
    return {"account": access.account, "namespace": "", "workload": "", "group": "", **more}


def labels_of(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Tags as AWS writes them, as labels for policies; those that faults leave are no labels."""
    found: dict[str, str] = {}
    for tag in tags:
        key = tag["Key"] if "Key" in tag else tag["key"]
        if not key.startswith(OURS):
            found[key] = tag["Value"] if "Value" in tag else tag.get("value", "")
    return found


def undo(access: Access, **more: Any) -> dict[str, Any]:
    """What the way back needs: the account and Region it was planned in, and `more`."""
    return {"access": to_plain(access), **more}


def access_of(hold: Hold) -> Access:
    """The account and Region that a hold was planned in."""
    return from_plain(hold.undo["access"], Access)


def iam(*actions: str) -> tuple[Permission, ...]:
    """IAM actions as permissions, and the one that tells which account it is."""
    return tuple(
        Permission(system="iam", action=action, resource="*")
        for action in sorted({*actions, "sts:GetCallerIdentity"})
    )
