"""HTTP faults that a mesh or a gateway makes: what a person writes for either."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from chaosrun.units import Duration, Share


class HttpFault(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Requests that are answered late, or with an error."""

    delay: Annotated[Duration, Meta(description="How much later requests are answered")] = Duration(
        0
    )
    status: Annotated[
        int, Meta(ge=0, le=599, description="The status to answer with; 0 for none")
    ] = 0
    share: Annotated[Share, Meta(description="The share of requests")] = Share(1)

    def check(self) -> None:
        """Raise ValueError when nothing is asked for."""
        if not (self.delay or self.status):
            raise ValueError("say what goes wrong: `delay`, `status` or both")
        if self.status and self.status < 200:
            raise ValueError(f"a status is between 200 and 599, not {self.status}")
        if not self.share.fraction:
            raise ValueError("a share of 0% touches no request")

    def words(self) -> str:
        """In a report's words."""
        parts = [f"answered {self.delay} later"] if self.delay else []
        parts += [f"answered with {self.status}"] if self.status else []
        return f"{self.share} of requests are {' or '.join(parts)}"
