"""Plain Python functions of a person, as faults and as probes."""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="python",
    package=__name__,
    summary="Your own Python functions",
    faults={
        "python": "fault:PythonFault",
        "python.irreversible": "fault:IrreversiblePythonFault",
    },
    probes={"python": "probe:PythonProbe"},
    connect="client:Python",
    sweep="marks:find",
)
