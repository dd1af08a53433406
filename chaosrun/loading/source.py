"""The text of a file, its nodes, and the place of each.

Law: whatever the bytes are, the answer is a text or a sentence about what is wrong with
them; at most 1 MiB is ever read.
"""

from __future__ import annotations

import codecs
import os
import re
from bisect import bisect_right
from pathlib import Path as File
from typing import Any, Literal, NoReturn

from chaosrun.units import JSON

Path = tuple[str | int, ...]
"""Where a value is: keys and indexes from the root."""

LARGEST = 1024 * 1024
DEEPEST = 64
MOST_NODES = 50_000
LARGEST_INTEGER = 2**63 - 1
_NEWLINE = re.compile(r"\r\n|\n|\r")
_SHOWN = 500


class Unreadable(Exception):
    """There is no text to check: `index` is where in it, or -1 for the whole file."""

    def __init__(
        self, message: str, suggestion: str = "", *, index: int = -1, text: str = ""
    ) -> None:
        super().__init__(message)
        self.message, self.suggestion, self.index, self.text = message, suggestion, index, text


class Node:
    """A mapping, a list or a scalar, with where it stands in the text."""

    __slots__ = ("end", "height", "keys", "kind", "size", "start", "style", "value")

    def __init__(
        self, kind: Literal["mapping", "list", "scalar"], value: Any, start: int, end: int
    ) -> None:
        self.kind = kind
        self.value = value
        self.start = start
        self.end = end
        self.keys: dict[str, Node] = {}
        self.style = ""
        self.size = 1
        self.height = 1

    def child(self, step: str | int) -> Node | None:
        """The node under a key or at an index."""
        if self.kind == "mapping" and isinstance(step, str):
            found: Node | None = self.value.get(step)
            return found
        if self.kind == "list" and isinstance(step, int) and 0 <= step < len(self.value):
            item: Node = self.value[step]
            return item
        return None

    def plain(self) -> JSON:
        """The data without places."""
        if self.kind == "mapping":
            return {key: node.plain() for key, node in self.value.items()}
        if self.kind == "list":
            return [node.plain() for node in self.value]
        return self.value


class Source:
    """A text that came from a file."""

    def __init__(self, file: str, text: str = "") -> None:
        self.file = file
        self.text = text
        self._lines: list[int] = []

    def place(self, index: int) -> tuple[int, int, str]:
        """Line and column, counted from 1, and the line's text; 0, 0 for the whole file."""
        if index < 0:
            return 0, 0, ""
        if not self._lines:
            self._lines = [0, *(match.end() for match in _NEWLINE.finditer(self.text))]
        index = min(index, len(self.text))
        row = bisect_right(self._lines, index) - 1
        start = self._lines[row]
        stop = self._lines[row + 1] if row + 1 < len(self._lines) else len(self.text)
        line = self.text[start : min(stop, max(index, start) + _SHOWN)].rstrip("\r\n")
        return row + 1, index - start + 1, line

    def index_in(self, node: Node, offset: int) -> int:
        """Where the character at an offset of a scalar's value stands in the text.

        Follows the value through quotes, folded lines and indentation; where it cannot (an
        escape), it is the scalar's beginning.
        """
        value, text = node.value, self.text
        if node.kind != "scalar" or not isinstance(value, str):
            return node.start
        at = node.start
        if node.style in ("'", '"'):
            at += 1
        elif node.style in ("|", ">"):
            at = text.find("\n", at) + 1
        blank = " \t\r\n"
        if value[:1] not in blank:
            while at < node.end and text[at] in blank:
                at += 1
        for position in range(offset):
            letter = value[position]
            if letter in blank:
                if position + 1 < len(value) and value[position + 1] not in blank:
                    while at < node.end and text[at] in blank:
                        at += 1
                continue
            if at >= node.end or text[at] != letter:
                return node.start
            at += 2 if letter == "'" == node.style else 1
        return at


def read(file: File) -> Source:
    """The text of a file. Raises Unreadable."""
    name = str(file)
    try:
        if file.is_dir():
            raise Unreadable("is a directory, not a file")
        with file.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except FileNotFoundError:
        raise Unreadable("no such file", _neighbour(file)) from None
    except OSError as error:
        raise Unreadable(f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    except ValueError:
        raise Unreadable("is not the name of a file") from None
    if len(content) > LARGEST:
        raise Unreadable("is larger than 1 MiB", "an experiment is a few KiB; is this one?")
    return Source(name, _decoded(content))


def _neighbour(file: File) -> str:
    from chaosrun.loading.problems import closest

    try:
        names = sorted(os.listdir(file.parent))
    except OSError:
        return ""
    close = closest(file.name, names)
    return f"did you mean `{file.parent / close}`?" if close else ""


def _decoded(content: bytes) -> str:
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "UTF-32"),
        (codecs.BOM_UTF32_BE, "UTF-32"),
        (codecs.BOM_UTF16_LE, "UTF-16"),
        (codecs.BOM_UTF16_BE, "UTF-16"),
    ):
        if content.startswith(mark):
            raise Unreadable(f"is written in {encoding}", "save it as UTF-8")
    content = content.removeprefix(codecs.BOM_UTF8)
    zero = content.find(b"\0")
    if zero >= 0:
        _not_text(content, zero, "is binary: here is a zero byte", "")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        byte = content[error.start]
        _not_text(
            content, error.start, f"is not UTF-8: here is byte 0x{byte:02x}", "save it as UTF-8"
        )


def _not_text(content: bytes, at: int, message: str, suggestion: str) -> NoReturn:
    before = content[:at].decode(errors="replace")
    text = before + content[at : at + _SHOWN].decode(errors="replace")
    raise Unreadable(message, suggestion, index=len(before), text=text)
