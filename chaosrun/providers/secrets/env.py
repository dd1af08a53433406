"""A secret in an environment variable: `{env: SHOP_TOKEN}`."""

from __future__ import annotations

import os

from chaosrun.errors import Refused, Rejected
from chaosrun.units import JSON


class EnvironmentVariable:
    """Reads a variable of chaosrun's own environment."""

    def check(self, argument: JSON) -> None:
        """Raise when a run could not read it. The value is not kept."""
        self(argument)

    def __call__(self, argument: JSON) -> str:
        if not isinstance(argument, str) or not argument or "=" in argument or "\0" in argument:
            raise Rejected("`env` takes the name of an environment variable")
        value = os.environ.get(argument)
        if value is None:
            raise Refused(f"environment variable {argument} is not set")
        if not value.strip():
            raise Refused(f"environment variable {argument} is empty")
        return value


source = EnvironmentVariable()
