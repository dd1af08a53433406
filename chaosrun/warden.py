"""A small process beside this one that kills this one's commands when it is gone.

Law: it needs no word from us to act: the end of its input is the death of the runner, by
`kill -9` too, and what to kill it reads from the environments of what runs.
"""

from __future__ import annotations

import os
from threading import Lock

from chaosrun.errors import Refused

_SCRIPT = """
read -r nothing
quiet=0
while [ $quiet -lt 3 ]; do
  found=$(grep -lsaF -- "$0" /proc/[0-9]*/environ) || quiet=$((quiet + 1))
  for file in $found; do
    pid=${file#/proc/}; pid=${pid%/environ}
    [ "$pid" = $$ ] || kill -KILL "$pid" 2>/dev/null
  done
  sleep 0.1
done
"""
"""Waits for the end of its input, which is the death of the runner; then kills its commands
until three looks in a row found none (one may have been about to start)."""


class Warden:
    """One small process beside this one, started with the first command.

    The kernel's own parent-death signal would reach only a command's first process, and
    setting it needs a fork in place of a vfork. A fork of this process gets its own warden.
    """

    def __init__(self, variable: str) -> None:
        self._variable = variable
        self._lock = Lock()
        self._owner = 0
        self._token = ""
        self._pipe = -1

    def token(self) -> str:
        """What the environment of this process's commands must contain."""
        if self._owner != os.getpid():
            with self._lock:
                if self._owner != os.getpid():
                    self._start()
        return self._token

    def _start(self) -> None:
        token = f"{os.getpid()}-{os.urandom(8).hex()}"
        theirs, ours = os.pipe()
        nothing = os.open(os.devnull, os.O_RDWR)
        try:
            os.posix_spawn(
                "/bin/sh",
                ["/bin/sh", "-c", _SCRIPT, f"{self._variable}={token}."],
                {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs, 0),
                    (os.POSIX_SPAWN_DUP2, nothing, 1),
                    (os.POSIX_SPAWN_DUP2, nothing, 2),
                ],
                setpgroup=0,  # a Ctrl-C at the terminal is not for it
            )
        except OSError as error:
            os.close(ours)
            raise Refused(f"cannot run /bin/sh: {error.strerror}") from None
        finally:
            os.close(theirs)
            os.close(nothing)
        self._token, self._pipe, self._owner = token, ours, os.getpid()

    def forget(self) -> None:
        """In a fork: let go of the parent's warden, which would wait for us too."""
        if self._pipe >= 0:
            os.close(self._pipe)
        self._lock, self._owner, self._pipe = Lock(), 0, -1
