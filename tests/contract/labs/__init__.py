"""One file for each provider: the real worlds in which its faults are held to the contract."""

from __future__ import annotations

import importlib
import pkgutil

from chaosrun.testing import Lab


def all_labs() -> list[type[Lab]]:
    """Those of every file beside this one: its `LABS`."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [lab for name in names for lab in importlib.import_module(f"{__name__}.{name}").LABS]
