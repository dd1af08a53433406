"""JSON text becomes nodes with places, exactly as RFC 8259 has it.

YAML's parser would take most JSON, but reads some of it otherwise (surrogate pairs, long
keys), and takes what is no JSON. The standard library's parser gives no places.
"""

from __future__ import annotations

import re
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]

from chaosrun.loading.problems import Findings
from chaosrun.loading.source import (
    DEEPEST,
    LARGEST_INTEGER,
    MOST_NODES,
    Node,
    Source,
    Unreadable,
)

_BLANK = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[^\s,:\[\]{}\"]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS = {"true": True, "false": False, "null": None}
_LONGEST_NUMBER = 400


def parse(source: Source, findings: Findings) -> Node | None:
    """The root node, None for a blank text. Raises Unreadable for the first mistake."""
    reader = _Reader(source, findings)
    at = reader.skip(0)
    if at == len(source.text):
        return None
    node = reader.value(at, 1)
    at = reader.skip(node.end)
    if at < len(source.text):
        raise Unreadable("unexpected text after the end of the document", index=at)
    return node


class _Reader:
    def __init__(self, source: Source, findings: Findings) -> None:
        self.source = source
        self.text = source.text
        self.findings = findings
        self.count = 0

    def skip(self, at: int) -> int:
        match = _BLANK.match(self.text, at)
        return match.end() if match else at

    def value(self, at: int, depth: int) -> Node:
        self.count += 1
        if depth > DEEPEST:
            raise Unreadable(f"nested deeper than {DEEPEST} levels", index=at)
        if self.count > MOST_NODES:
            raise Unreadable(f"holds more than {MOST_NODES} values", index=at)
        match self.text[at : at + 1]:
            case "{":
                return self._mapping(at, depth)
            case "[":
                return self._list(at, depth)
            case '"':
                return self._string(at)
            case "":
                raise Unreadable("the file ends where a value should be", index=max(at - 1, 0))
        return self._scalar(at)

    def _mapping(self, start: int, depth: int) -> Node:
        node = Node("mapping", {}, start, start)
        at = self.skip(start + 1)
        while self.text[at : at + 1] != "}":
            if self.text[at : at + 1] != '"':
                self._stop(at, "a key in double quotes", start)
            key = self._string(at)
            if key.value in node.keys:
                line = self.source.place(node.keys[key.value].start)[0]
                message = f"`{key.value}` is written twice; the first is in line {line}"
                self.findings.at(at, message, code="duplicate-key")
            at = self.skip(key.end)
            if self.text[at : at + 1] != ":":
                self._stop(at, "`:` after a key", start)
            child = self.value(self.skip(at + 1), depth + 1)
            if key.value not in node.keys:
                node.keys[key.value], node.value[key.value] = key, child
            at = self._next(child.end, start, "}")
        node.end = at + 1
        return node

    def _list(self, start: int, depth: int) -> Node:
        node = Node("list", [], start, start)
        at = self.skip(start + 1)
        while self.text[at : at + 1] != "]":
            child = self.value(at, depth + 1)
            node.value.append(child)
            at = self._next(child.end, start, "]")
        node.end = at + 1
        return node

    def _next(self, at: int, start: int, closing: str) -> int:
        """Behind a comma, or at the closing bracket."""
        at = self.skip(at)
        if self.text[at : at + 1] == closing:
            return at
        if self.text[at : at + 1] != ",":
            self._stop(at, f"`,` or `{closing}`", start)
        comma, at = at, self.skip(at + 1)
        if self.text[at : at + 1] == closing:
            raise Unreadable("a comma before the end, which JSON does not allow", index=comma)
        return at

    def _stop(self, at: int, expected: str, start: int) -> None:
        if at >= len(self.text):
            raise Unreadable(f"`{self.text[start]}` is never closed", index=start)
        raise Unreadable(f"expected {expected}, not `{self.text[at]}`", index=at)

    def _string(self, start: int) -> Node:
        try:
            value, end = scanstring(self.text, start + 1, True)
        except JSONDecodeError as error:
            if "Unterminated" in error.msg or self.text[error.pos : error.pos + 1] in "\r\n":
                raise Unreadable("this quote is not closed in its line", index=start) from None
            if "escape" in error.msg:
                raise Unreadable("this is no escape that JSON knows", index=error.pos) from None
            raise Unreadable("a control character in a text", index=error.pos) from None
        if _SURROGATE.search(value):
            self.findings.at(start, "half of a surrogate pair is no character")
            value = _SURROGATE.sub("?", value)
        node = Node("scalar", value, start, end)
        node.style = '"'
        return node

    def _scalar(self, start: int) -> Node:
        match = _WORD.match(self.text, start)
        word = match[0] if match else self.text[start]
        end = start + len(word)
        if word in _WORDS:
            return Node("scalar", _WORDS[word], start, end)
        number = _NUMBER.fullmatch(word) if len(word) <= _LONGEST_NUMBER else None
        if number is None:
            suggestion = "text is written in double quotes" if word[0].isalpha() else ""
            raise Unreadable(f"`{word[:40]}` is not JSON", suggestion, index=start)
        value = float(word) if number[1] or number[2] else int(word)
        if abs(value) > LARGEST_INTEGER if isinstance(value, int) else abs(value) == float("inf"):
            self.findings.at(start, f"the number {word} is too large")
            value = 0
        return Node("scalar", value, start, end)
