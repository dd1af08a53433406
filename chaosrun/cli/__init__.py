"""The command line: one file a command, imported when it is asked for.

Law: a command that needs little imports little; `chaosrun --version` imports nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:  # before click is imported, which takes longer than the answer
        from chaosrun import __version__

        print(f"chaosrun {__version__}")
        return 0
    from chaosrun.cli.root import run_command_line

    return run_command_line(words)
