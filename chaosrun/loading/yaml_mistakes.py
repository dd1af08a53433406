"""What libyaml says about broken YAML, in a person's words and at the place to look at."""

from __future__ import annotations

import re
from typing import Any

from chaosrun.loading.source import Unreadable

_TABS = "indent with spaces; YAML allows no tabs there"


def explain(text: str, error: Any) -> Unreadable:
    """The one mistake that stopped the parser."""
    problem = str(error.problem or "")
    mark = error.problem_mark or error.context_mark
    at = mark.index if mark else -1
    context = error.context_mark.index if error.context_mark else at
    rest = text[at:]
    line_start = max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1
    if "tab character" in problem or ("cannot start any token" in problem and rest[:1] == "\t"):
        return Unreadable("a tab indents this line", _TABS, index=at)
    if "\t" in text[line_start:at] and not text[line_start:at].strip():
        return Unreadable("a tab indents this line", _TABS, index=line_start)
    if "cannot start any token" in problem:
        message = f"a value cannot begin with `{rest[:1]}`"
        return Unreadable(message, "put it in quotes", index=at)
    if "mapping values are not allowed" in problem:
        return _unexpected_colon(text, at, line_start)
    if "unexpected end of stream" in problem or "document indicator" in problem:
        return Unreadable("this quote is never closed", index=context)
    if "unknown escape" in problem:
        wrong = re.compile(r"\\.?").search(text, at)
        index, escape = (wrong.start(), wrong[0]) if wrong else (at, "\\")
        suggestion = "double the backslash, or use single quotes"
        return Unreadable(f"`{escape}` is no escape in double quotes", suggestion, index=index)
    if closing := re.search(r"expected ',' or '([\]}])'", problem):
        opening = "[" if closing[1] == "]" else "{"
        if rest.strip():
            line = text.count("\n", 0, context) + 1
            message = f"`,` or `{closing[1]}` should be here: `{opening}` of line {line} is open"
            return Unreadable(
                message, "close it; text with commas or brackets goes in quotes", index=at
            )
        return Unreadable(f"`{opening}` is never closed", index=context)
    if "node content" in problem:
        if not rest.strip():
            return Unreadable("the file ends where a value should be", index=_last(text))
        return Unreadable(f"a value should be here, not `{rest[:1]}`", index=at)
    if "expected key" in problem or "'-' indicator" in problem:
        if quote := _late_quote(text, at):
            return quote
        line = text.count("\n", 0, context) + 1
        message = f"bad indentation: this is not level with what begins in line {line}"
        return Unreadable(message, "align it with them", index=at)
    if "expected ':'" in problem:
        return Unreadable("a key without `:`", "write `key: value`", index=context)
    if "sequence entries are not allowed" in problem:
        return Unreadable("a list cannot begin here", "put `-` on a line of its own", index=at)
    if "<document start>" in problem:
        return Unreadable(f"unexpected `{rest[:1]}` after the end of the document", index=at)
    return Unreadable(f"is not YAML: {problem}", index=at)


def unacceptable(text: str, error: Any) -> Unreadable:
    """A character that no YAML may hold."""
    code = error.character if isinstance(error.character, int) else ord(str(error.character)[:1])
    index = text.find(chr(code))
    return Unreadable(f"the control character U+{code:04X} is not allowed in YAML", index=index)


def _unexpected_colon(text: str, at: int, line_start: int) -> Unreadable:
    line_indent = len(text[line_start:]) - len(text[line_start:].lstrip(" "))
    head = text[line_start:at]
    if ": " in head:
        message = "a second `:` in one value"
        return Unreadable(message, "put the value in quotes", index=at)
    above = [line for line in text[:line_start].splitlines() if line.strip()]
    if above and line_indent > len(above[-1]) - len(above[-1].lstrip(" ")):
        message = "bad indentation: the line above has a value already, so nothing goes under it"
        return Unreadable(message, "align it with the line above", index=line_start + line_indent)
    if above and ":" not in above[-1]:
        start = text.rfind(above[-1], 0, line_start)
        index = start + len(above[-1]) - len(above[-1].lstrip())
        return Unreadable("a key without `:`", "write `key: value`", index=index)
    return Unreadable("`:` is not expected here", "put the value in quotes", index=at)


def _late_quote(text: str, at: int) -> Unreadable | None:
    """A quote that was forgotten, and so ended at the next one, lines below."""
    closing = len(text[:at].rstrip()) - 1
    if closing < 1 or text[closing] not in "\"'":
        return None
    opening = text.rfind(text[closing], 0, closing)
    if opening < 0 or "\n" not in text[opening:closing]:
        return None
    line = text.count("\n", 0, closing) + 1
    return Unreadable(
        f"this quote is closed only in line {line}", "close it in its own line", index=opening
    )


def _last(text: str) -> int:
    return max(len(text.rstrip()) - 1, 0)
