"""Sources of secrets: the environment, a file, the output of a command."""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="secrets",
    package=__name__,
    summary="Secrets from the environment, a file or a command",
    secrets={"env": "env:source", "file": "file:source", "command": "command:source"},
)
