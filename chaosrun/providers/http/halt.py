"""The halt source `http`: a server says whether everything is halted.

Law (L10): no answer, or one that does not meet the expectation, means on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta

from chaosrun.codec import to_plain
from chaosrun.errors import Transient
from chaosrun.halting import Every, HaltSource, Switch
from chaosrun.observed import mentioned
from chaosrun.providers.http.probe import Response, response_of
from chaosrun.units import JSON, Duration
from chaosrun.web import Question

if TYPE_CHECKING:
    from chaosrun.web.client import Client


class HttpHalt(Question, HaltSource["Client"], frozen=True, kw_only=True):
    """Off while a server's answer meets an expectation; on when it does not, or does not answer."""

    name: ClassVar[str] = "http"
    example: ClassVar[dict[str, JSON]] = {
        "url": "https://ops.shop.example/api/halt",
        "headers": {"authorization": "Bearer ${secrets.token}"},
        "offWhen": "status == 200 && json.halted == false",
        "every": "2s",
    }

    every: Every = Duration(1)
    off_when: Annotated[
        str,
        Meta(
            min_length=1,
            description="A CEL expression over the answer, as for the probe `http`",
            examples=["status == 200 && json.halted == false"],
        ),
    ]

    def __post_init__(self) -> None:
        super().__post_init__()
        from chaosrun import expression  # its library takes long to import

        try:
            expression.compile(self.off_when, Response)
        except expression.ExpressionError as error:
            raise ValueError(f"`offWhen`: {error}. {error.hint}".rstrip(". ")) from None

    def read(self, client: Client) -> Switch:
        """Ask once."""
        from chaosrun import expression  # as above

        answer = client.ask(self.request(), time.monotonic() + self.timeout.seconds)
        if answer.error:
            raise Transient(f"no answer: {answer.error}")
        if answer.status >= 500 or answer.status == 429:
            raise Transient(f"the server answered {answer.status}")
        response = response_of(answer)
        off = expression.compile(self.off_when, Response).evaluate(response)
        seen = mentioned(self.off_when, to_plain(response)) or f"status = {answer.status}"
        return Switch(not off, f"{seen} ({'off' if off else 'on, unless'}: {self.off_when})")
