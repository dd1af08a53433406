"""The gate `incident.alertmanager`: no alert may be firing.

Its API: https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.gate import Gate, Measured
from chaosrun.providers.incident.asking import Server, measured
from chaosrun.units import JSON, Duration

if TYPE_CHECKING:
    from chaosrun.providers.incident.client import Client

_MATCHER = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*\s*(=|!=|=~|!~)\s*("([^"\\]|\\.)*"|[^"\s,{}=~!]*)')


class Alert(msgspec.Struct, frozen=True):
    """What is read of an alert."""

    labels: dict[str, str]


class AlertmanagerGate(Server, Gate["Client"], frozen=True, kw_only=True):
    """Open while Alertmanager has no firing alert that matches.

    Silenced and inhibited alerts do not count unless `silenced` says so. An Alertmanager that no
    Prometheus talks to has no alerts either: name one that always fires as `watchdog`.
    """

    name: ClassVar[str] = "incident.alertmanager"
    example: ClassVar[dict[str, JSON]] = {
        "url": "http://alertmanager:9093",
        "matchers": ['severity="critical"', 'team=~"payments|checkout"'],
        "watchdog": "Watchdog",
    }

    matchers: Annotated[
        tuple[str, ...],
        Meta(
            description="Which alerts count, all of them without any: Alertmanager's matchers, "
            "of which each must hold",
            examples=[['severity="critical"', 'namespace!="sandbox"']],
        ),
    ] = ()
    silenced: Annotated[bool, Meta(description="Whether silenced and inhibited ones count")] = False
    watchdog: Annotated[
        str, Meta(description="An `alertname` that always fires; closed when it does not")
    ] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for matcher in self.matchers:
            if not _MATCHER.fullmatch(matcher):
                raise ValueError(f'`matchers` {matcher!r} is not of the form severity="critical"')
        if '"' in self.watchdog or "\\" in self.watchdog:
            raise ValueError("`watchdog` is the name of an alert, without quotes")

    @property
    def time_needed(self) -> Duration:
        return Duration(self.timeout.seconds * (2 if self.watchdog else 1) + 0.25)

    def measure(self, client: Client) -> Measured:
        """Ask once, and once more for the watchdog."""
        rule = f"no alert may fire that matches {{{', '.join(self.matchers)}}}"
        if self.watchdog and not self._alerts(client, (f'alertname="{self.watchdog}"',)):
            return Measured(
                open=False, measured=f"the alert {self.watchdog}, which always fires, does not",
                rule=rule, hint="does Prometheus reach Alertmanager?",
            )  # fmt: skip
        firing = [
            alert.labels.get("alertname", "without a name")
            for alert in self._alerts(client, self.matchers)
            if not self.watchdog or alert.labels.get("alertname") != self.watchdog
        ]
        return measured(firing, rule, one="alert is firing", many="alerts are firing")

    def _alerts(self, client: Client, matchers: tuple[str, ...]) -> list[Alert]:
        suppressed = "true" if self.silenced else "false"
        parameters = [
            ("active", "true"), ("unprocessed", "true"),
            ("silenced", suppressed), ("inhibited", suppressed),
            *(("filter", matcher) for matcher in matchers),
        ]  # fmt: skip
        return client.get("Alertmanager", self, "/api/v2/alerts", parameters, list[Alert])
