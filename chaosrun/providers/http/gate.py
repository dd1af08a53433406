"""The gate `http`: may the experiment start, says a server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta

from chaosrun.codec import to_plain
from chaosrun.gate import Gate, Measured
from chaosrun.observed import mentioned
from chaosrun.providers.http.probe import Response, response_of
from chaosrun.units import JSON
from chaosrun.web import Question

if TYPE_CHECKING:
    from chaosrun.web.client import Client


class HttpGate(Question, Gate["Client"], frozen=True, kw_only=True):
    """Open while a server's answer meets an expectation; closed when there is no answer."""

    name: ClassVar[str] = "http"
    example: ClassVar[dict[str, JSON]] = {
        "url": "https://incidents.shop.example/api/open",
        "headers": {"authorization": "Bearer ${secrets.token}"},
        "expect": "status == 200 && json.count == 0",
        "hint": "wait until the incident is closed",
    }

    expect: Annotated[
        str,
        Meta(
            min_length=1,
            description="A CEL expression over the answer, as for the probe `http`",
            examples=["status == 200 && json.count == 0"],
        ),
    ] = "status >= 200 && status < 300"
    hint: Annotated[str, Meta(description="What would open the gate, for who finds it closed")] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        from chaosrun import expression  # its library takes long to import

        try:
            expression.compile(self.expect, Response)
        except expression.ExpressionError as error:
            raise ValueError(f"`expect`: {error}. {error.hint}".rstrip(". ")) from None

    def measure(self, client: Client) -> Measured:
        """Ask once."""
        from chaosrun import expression  # as above

        answer = client.ask(self.request(), time.monotonic() + self.timeout.seconds)
        response = response_of(answer)
        expected = expression.compile(self.expect, Response)
        if answer.error:
            return Measured(
                open=False,
                measured=f"no answer: {answer.error}",
                rule=self.expect,
                hint=self.hint or "the server must answer",
            )
        return Measured(
            open=expected.evaluate(response),
            measured=mentioned(self.expect, to_plain(response)) or f"status = {response.status}",
            rule=self.expect,
            hint=self.hint,
        )
