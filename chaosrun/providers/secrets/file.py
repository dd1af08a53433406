"""A secret in a file: `{file: /run/secrets/token}`; one newline at its end is not part of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from chaosrun.errors import Refused, Rejected
from chaosrun.units import JSON

_LARGEST = 64 * 1024


class SecretFile:
    """Reads a small text file."""

    def check(self, argument: JSON) -> None:
        """Raise when a run could not read it; the file is looked at, not read."""
        path = _path(argument)
        try:
            is_file = stat.S_ISREG(path.stat().st_mode)
        except OSError as error:
            raise Refused(f"{path} cannot be read: {error.strerror}") from None
        if not is_file:
            raise Refused(f"{path} is not a file")
        if not os.access(path, os.R_OK):
            raise Refused(f"{path} cannot be read: Permission denied")

    def __call__(self, argument: JSON) -> str:
        path = _path(argument)
        try:
            with path.open("rb") as file:
                content = file.read(_LARGEST + 1)
            text = content.decode()
        except OSError as error:
            raise Refused(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Refused(f"{path} is not UTF-8 text") from None
        if len(content) > _LARGEST:
            raise Refused(f"{path} is larger than 64 KiB")
        return text.removesuffix("\n").removesuffix("\r")


def _path(argument: JSON) -> Path:
    if not isinstance(argument, str) or not argument or "\0" in argument:
        raise Rejected("`file` takes the path of a file")
    try:
        return Path(argument).expanduser()
    except RuntimeError:  # `~name/...` of a user that is not there
        raise Refused(f"{argument} begins with a user that is not known here") from None


source = SecretFile()
