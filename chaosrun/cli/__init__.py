"""The command line: one file a command, imported when it is asked for.

Law: a command that needs little imports little; `chaosrun --version` imports nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; the process's own ends the process.

    It ends without the interpreter's farewell, which takes as long as a fsync and in which
    threads that hang in a call (a probe, a reader that stopped reading) could get in the way.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _open_missing_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:  # before click is imported, which takes longer than the answer
        from chaosrun import __version__

        print(f"chaosrun {__version__}")
        return 0
    from chaosrun.cli.root import run_command_line

    code = run_command_line(words)
    if arguments is None:
        import os

        os._exit(code)  # everything was flushed, and the journal closed
    return code


def _open_missing_streams() -> None:
    """Open what we were started without on nothing, or the journal would take its descriptor."""
    import os

    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            stream = os.fdopen(descriptor, "r" if name == "stdin" else "w")
            setattr(sys, name, stream)
