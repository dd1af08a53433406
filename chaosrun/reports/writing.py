"""Writing a report so that a reader sees all of it or none."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], text: str) -> None:
    """Put `text` (UTF-8) at `path`, durable, in one step; folders are made. Raises OSError.

    What is no regular file (/dev/stdout, a pipe) is written to directly: a rename would
    replace it. A link is followed, and the file keeps its mode.
    """
    import tempfile  # 4 ms to import, and most runs write no file

    goal = Path(path)
    if goal.exists() and not goal.is_file():
        goal.write_text(text, encoding="utf-8", newline="\n")
        return
    goal = goal.resolve()
    goal.parent.mkdir(parents=True, exist_ok=True)
    mode = goal.stat().st_mode & 0o7777 if goal.exists() else 0o666 & ~_umask()
    descriptor, draft = tempfile.mkstemp(prefix=f".{goal.name[:100]}.", dir=goal.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(draft, goal)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The process's mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
