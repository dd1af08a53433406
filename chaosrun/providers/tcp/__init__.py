"""TCP: whether a port takes connections, and what it says."""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="tcp",
    package=__name__,
    summary="Connect to a port, and see what it says",
    probes={"tcp": "probe:TcpProbe"},
)
