"""One object of any kind, as a person names it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.kinds import Ref, guessed


class AnyObject(Access, frozen=True, kw_only=True):
    """One object of any kind that the API server knows."""

    api_version: Annotated[
        str,
        Meta(
            description="Its API's group and version",
            examples=["chaos-mesh.org/v1alpha1"],
            min_length=1,
        ),
    ]
    kind: Annotated[str, Meta(description="Its kind", examples=["NetworkChaos"], min_length=1)]
    called: Annotated[str, Meta(description="Its name", min_length=1)] = msgspec.field(name="name")
    namespace: Annotated[str, Meta(description="Its namespace; without it, it has none")] = ""
    plural: Annotated[
        str, Meta(description="What the API calls many of them, if not what one would guess")
    ] = ""

    def ref(self) -> Ref:
        kind = guessed(self.api_version, self.kind, self.plural, namespaced=bool(self.namespace))
        return Ref(kind, self.called, self.namespace)
