"""JSONPath as kubectl writes it, over objects."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any


def check(path: str) -> None:
    """Raise ValueError with what is wrong with the path."""
    _compiled(path)


def values_at(found: Any, path: str) -> list[Any]:
    """Everything that is there, in order."""
    return [match.value for match in _compiled(path).find(found)]


@lru_cache(maxsize=256)
def _compiled(path: str) -> Any:
    from jsonpath_ng.exceptions import JsonPathLexerError, JsonPathParserError
    from jsonpath_ng.ext.parser import parse

    text = path.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    text = re.sub(r"\\\.", ".", text)
    if not text.startswith("$"):
        text = "$" + (text if text.startswith((".", "[")) else f".{text}")
    try:
        return parse(text)
    except (JsonPathLexerError, JsonPathParserError, ValueError) as error:
        raise ValueError(f"{path!r} is not a JSONPath: {str(error)[:120]}") from None
