"""The halt source `file`: a file says `off`, or why everything is halted.

Law (L10): a file that is not there, or says anything else, means on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.halting import Every, HaltSource, Switch, said
from chaosrun.units import JSON, Duration

_LONGEST = 4096


class FileHalt(HaltSource[None], frozen=True, kw_only=True):
    """Off while the file says `off`; on when it says `on` and why, or anything else.

    Another system writes the file, or mounts it (a ConfigMap as a volume, say). One that is
    not there cannot be told from one whose disk is gone, so it means on.
    """

    name: ClassVar[str] = "file"
    example: ClassVar[dict[str, JSON]] = {"path": "/etc/chaosrun/halt", "every": "200ms"}

    every: Every = Duration(0.2)
    path: Annotated[str, Meta(min_length=1, description="The path of the file")]

    def read(self, client: None) -> Switch:  # noqa: ARG002
        """Look once."""
        try:
            with Path(self.path).open("rb") as file:
                text = file.read(_LONGEST).decode("utf-8", "replace")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise Refused(f"{self.path}: {why}", hint="it says `off` or `on`, and why") from None
        return said(text, self.path)
