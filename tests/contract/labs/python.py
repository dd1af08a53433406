"""Worlds of a person's own functions: files that they move."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import uuid
from pathlib import Path

from chaosrun.testing import Lab
from chaosrun.units import JSON

_FUNCTIONS = """
from pathlib import Path

def plan(directory):
    return {"content": (Path(directory) / "cache").read_text()}

def inject(directory, undo=None):
    (Path(directory) / "cache").unlink(missing_ok=True)

def revert(directory, undo):
    (Path(directory) / "cache").write_text(undo["content"])

def took_effect(directory, undo=None):
    return not (Path(directory) / "cache").exists()

def restored(directory, undo):
    return (Path(directory) / "cache").exists()
"""


class IrreversibleLab(Lab):
    """A file is deleted, and nobody kept what was in it."""

    fault = "python.irreversible"
    found_by_sweep = False  # a person's functions leave no mark that we know

    def build(self, cleanup: contextlib.ExitStack) -> None:
        self.directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        self.module = f"functions_{uuid.uuid4().hex}"
        code = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        (code / f"{self.module}.py").write_text(_FUNCTIONS)
        (self.directory / "cache").write_text("warm")
        self.code = str(code)
        cleanup.callback(self._forget)

    def arguments(self) -> dict[str, JSON]:
        return {
            "with": {
                "inject": f"{self.module}:inject",
                "tookEffect": f"{self.module}:took_effect",
                "arguments": {"directory": str(self.directory)},
                "path": [self.code],
            }
        }

    def snapshot(self) -> JSON:
        return {path.name: path.read_text() for path in self.directory.iterdir()}

    def _forget(self) -> None:
        sys.modules.pop(self.module, None)
        with contextlib.suppress(ValueError):
            sys.path.remove(self.code)


class FunctionsLab(IrreversibleLab):
    """A file is deleted, and written again from what the plan kept of it."""

    fault = "python"

    def arguments(self) -> dict[str, JSON]:
        written = super().arguments()
        for name, function in (("plan", "plan"), ("revert", "revert"), ("restored", "restored")):
            written["with"][name] = f"{self.module}:{function}"
        return written


LABS: list[type[Lab]] = [FunctionsLab, IrreversibleLab]
