"""A switch that halts everything, in a file: one that another system writes or mounts."""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="halt",
    package=__name__,
    summary="Halt switches in files",
    halts={"file": "file:FileHalt"},
)
