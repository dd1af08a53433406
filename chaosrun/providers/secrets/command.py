"""A secret that a command prints: `{command: [pass, show, shop]}`.

The newline at its end is not part of it, and what the command says on stderr is never shown.
"""

from __future__ import annotations

import shutil

from chaosrun import commands
from chaosrun.errors import Indeterminate, Refused, Rejected, Transient
from chaosrun.units import JSON

_SECONDS = 10.0


class Command:
    """Runs a command and takes what it prints. A text goes to the shell, a list does not."""

    def check(self, argument: JSON) -> None:
        """Raise when a run could not start it. Nothing is run."""
        words = _words(argument)
        if isinstance(words, list) and shutil.which(words[0]) is None:
            raise Refused(f"command {words[0]!r} is not found")

    def __call__(self, argument: JSON) -> str:
        words = _words(argument)
        name = words[0] if isinstance(words, list) else "the command"
        try:
            ended = commands.run(words, timeout=_SECONDS)
        except Indeterminate:
            raise Transient(f"{name} gave no secret within {_SECONDS:g}s") from None
        if ended.code != 0:
            raise Refused(f"{name} gave no secret: it ended with exit code {ended.code}")
        return ended.stdout.removesuffix("\n").removesuffix("\r")


def _words(argument: JSON) -> str | list[str]:
    words = [argument] if isinstance(argument, str) else argument
    sound = isinstance(words, list) and all(isinstance(w, str) and "\0" not in w for w in words)
    if sound and words and words[0].strip():
        return argument if isinstance(argument, str) else [str(word) for word in words]
    raise Rejected("`command` takes a list of words, or one text for the shell")


source = Command()
