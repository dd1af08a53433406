"""What a probe returned, in words and cut to a size that can be kept for every sample. Pure."""

from __future__ import annotations

import re

from chaosrun.units import JSON

_LONGEST_TEXT = 200
_MOST_ITEMS = 20


def mentioned(text: str, result: JSON) -> str:
    """The values that the expression speaks of: `status = 503, json.total = 7`."""
    if not isinstance(result, dict):
        return ""
    found: dict[str, JSON] = {}
    for path in re.findall(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", text):
        name, value = _follow(path, result)
        if name:
            found[name] = value
    if result.get("error"):
        found["error"] = result["error"]
    return ", ".join(f"{name} = {_shown(value)}" for name, value in found.items())


def _follow(path: str, result: JSON) -> tuple[str, JSON]:
    """How far a dotted path leads into the result, and what is there."""
    walked: list[str] = []
    for word in path.split("."):
        if not isinstance(result, dict) or word not in result:
            break
        walked.append(word)
        result = result[word]
    return ".".join(walked), result


def _shown(value: JSON) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def brief(value: JSON) -> JSON:
    """A result small enough to keep for every sample: long texts and lists are cut."""
    if isinstance(value, str):
        return _shown(value)
    if isinstance(value, list | tuple):
        return [brief(item) for item in value[:_MOST_ITEMS]]
    if isinstance(value, dict):
        return {key: brief(value[key]) for key in list(value)[:_MOST_ITEMS]}
    return value
