"""Gates that are closed while something is already wrong, says who would know."""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="incident",
    package=__name__,
    summary="Start only while no incident is open and no alert is firing",
    gates={
        "incident.alertmanager": "alertmanager:AlertmanagerGate",
        "incident.opsgenie": "opsgenie:OpsgenieGate",
        "incident.pagerduty": "pagerduty:PagerDutyGate",
        "incident.statuspage": "statuspage:StatuspageGate",
    },
    connect="client:connect",
)
