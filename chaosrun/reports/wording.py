"""How numbers, times and names are written for people.

Law: text from outside cannot steer what shows it; control characters become visible.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def seconds(value: float) -> str:
    """`340 ms`, `2.1 s`, `42 s`, `2 min 14 s`, `1 h 5 min`."""
    value = max(0.0, value)
    if value < 0.0005:
        return "0 s"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 9.95:
        return f"{value:.1f} s".replace(".0 ", " ")
    whole = round(value)
    if whole < 60:
        return f"{value:.1f} s" if whole < 20 and abs(value - whole) >= 0.05 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def offset(value: float) -> str:
    """A time within a run: `+4.0s`, `+2:14`, `+1:05:00`."""
    value = max(0.0, value)
    if value < 59.95:
        return f"+{value:.1f}s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"+{hours}:{minutes:02}:{rest:02}" if hours else f"+{minutes}:{rest:02}"


def number(value: float, unit: str = "") -> str:
    """A plotted number with its unit: `212 ms`, `1.25 s`, `98.3%`, `4.2`."""
    match unit:
        case "ms":
            return f"{value / 1000:.3g} s" if abs(value) >= 1000 else f"{value:.3g} ms"
        case "%":
            return f"{value:.3g}%"
        case "bytes":
            power = min(len(_UNITS) - 1, int(math.log(abs(value), 1024))) if abs(value) >= 1 else 0
            return f"{value / 1024**power:.3g} {_UNITS[power]}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def share(fraction: float) -> str:
    """`33%`, `0.5%`."""
    percent = fraction * 100
    return f"{percent:.0f}%" if percent >= 10 or percent == round(percent) else f"{percent:.2g}%"


def count(amount: int, noun: str) -> str:
    """`1 sample`, `3 samples`."""
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"


def quoted(name: str) -> str:
    return f"“{clean(name)}”"


def listed(items: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    words = list(items)
    return " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"


def clause(text: str, longest: int = 0) -> str:
    """Text that somebody else ends: on one line, without its own full stop, and not too long."""
    text = clean(text).strip().rstrip(".")
    return f"{text[: longest - 1]}…" if 0 < longest < len(text) else text


def clean(text: str) -> str:
    """One line, with control characters made visible."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else " " if c in "\n\r\t" else f"\\x{ord(c):02x}" for c in text
    )


def instant(epoch: float) -> str:
    """UTC in ISO 8601, to the millisecond; empty for a time that no calendar has."""
    try:
        moment = datetime.fromtimestamp(epoch, UTC)
    except (OverflowError, ValueError, OSError):
        return ""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
