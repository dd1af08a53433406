"""HTTP: one answer, a load of them, and gates."""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="http",
    package=__name__,
    summary="Ask a server over HTTP, once or at a rate",
    probes={"http": "probe:HttpProbe", "http-load": "load:HttpLoad"},
    gates={"http": "gate:HttpGate", "recent-deploy": "recent_deploy:RecentDeploy"},
    halts={"http": "halt:HttpHalt"},
    connect="client:connect",
)
