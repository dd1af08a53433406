"""The real worlds in which the faults of each provider are held to the contract.

Each file here has `LABS`. What labs of several files stand on lies in the folder above.
"""

from __future__ import annotations

import importlib
import pkgutil

from chaosrun.testing import Lab


def all_labs() -> list[type[Lab]]:
    """Those of every file beside this one: its `LABS`."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [lab for name in names for lab in importlib.import_module(f"{__name__}.{name}").LABS]
