"""Prometheus, and what speaks its HTTP API: one number that a query gives."""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="prometheus",
    package=__name__,
    summary="The number that a PromQL query gives, now or over a range of time",
    probes={"prometheus": "probe:PrometheusProbe"},
    connect="client:connect",
)
