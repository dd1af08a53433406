"""A person's own commands, as a probe and as a gate."""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="command",
    package=__name__,
    summary="Run a command, and see its exit code and what it writes",
    probes={"command": "probe:CommandProbe"},
    gates={"command": "gate:CommandGate"},
)
