"""The directory where this user's proxies, pauses and harms leave word of themselves.

Law: it is the user's own and nobody else can read or write it; a directory that somebody else
put there is refused.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from chaosrun.errors import Refused

VARIABLE = "CHAOSRUN_RUNTIME_DIR"


def runtime_directory(*, create: bool = False) -> Path:
    """`$CHAOSRUN_RUNTIME_DIR`, or /run/chaosrun for root, or the like of other users.

    Not $XDG_RUNTIME_DIR: a service and a shell of one user must come to the same place.
    Raises Refused when it is not ours alone.
    """
    user = os.geteuid()
    if chosen := os.environ.get(VARIABLE):
        path = Path(chosen)
    elif user == 0 and Path("/run").is_dir():
        path = Path("/run/chaosrun")
    elif Path(f"/run/user/{user}").is_dir():
        path = Path(f"/run/user/{user}/chaosrun")
    else:
        path = Path(f"/tmp/chaosrun-{user}")
    try:
        if create:
            path.mkdir(mode=0o700, parents=bool(chosen), exist_ok=True)
        seen = path.lstat()
    except FileNotFoundError:
        if create:
            raise Refused(f"cannot make {path}", hint=f"set {VARIABLE} to a directory") from None
        return path
    except OSError as error:
        raise Refused(f"cannot use {path}: {error.strerror}") from None
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != user or seen.st_mode & 0o077:
        raise Refused(
            f"{path} is not a directory of ours alone",
            hint=f"remove it, or `chmod 700` it, or set {VARIABLE} to another",
        )
    return path
