"""Prometheus, and what speaks its HTTP API: one number that a query gives, an error budget."""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="prometheus",
    package=__name__,
    summary="The number that a PromQL query gives, and the error budget that is left",
    probes={"prometheus": "probe:PrometheusProbe"},
    gates={"error-budget": "error_budget:ErrorBudget"},
    connect="client:connect",
)
