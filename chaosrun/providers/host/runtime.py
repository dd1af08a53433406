"""Where in the user's runtime directory proxies are controlled and pauses leave word.

Law: a note stays until what it speaks of is over.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from chaosrun.codec import from_json, to_json
from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.mechanisms.directory import VARIABLE, runtime_directory

__all__ = ["VARIABLE", "runtime_directory"]


def parse_address(text: str) -> tuple[str, int]:
    """`127.0.0.1:80` or `[::1]:80` as host and port. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"an IPv6 address is written in brackets: [{host}]:{port}")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{text!r} is not an address such as 127.0.0.1:8001 or [::1]:8001")
    return host, int(port)


def control_path(listen: str, *, create: bool = False) -> Path:
    """Where the proxy that listens there is controlled."""
    host, port = parse_address(listen)
    return runtime_directory(create=create) / f"proxy-{host}-{port}.sock"


def control_paths() -> list[Path]:
    """The sockets of this user's proxies, of dead ones too."""
    return sorted(runtime_directory().glob("proxy-*.sock"))


def note_path(mark: str) -> Path:
    """Where the note about that mark is, if there is one."""
    name = hashlib.sha256(mark.encode()).hexdigest()[:32]
    return runtime_directory() / f"pause-{name}.json"


def write_note(hold: Hold) -> None:
    """Leave word of a hold, durable before this returns. Twice is once."""
    runtime_directory(create=True)
    path = note_path(hold.mark)
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(to_json(hold))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise Refused(f"cannot write {path}: {error.strerror}") from None


def notes() -> Iterator[Hold]:
    """The holds that were left word of."""
    for path in sorted(runtime_directory().glob("pause-*.json")):
        with contextlib.suppress(OSError, msgspec.DecodeError):  # gone meanwhile, or not ours
            yield from_json(path.read_bytes(), Hold)


def remove_note(mark: str) -> None:
    """What was left word of is over. Drafts go too: who wrote one may have been killed."""
    note = note_path(mark)
    for path in note.parent.glob(f"{note.stem}.*"):
        path.unlink(missing_ok=True)
