"""Typed units: Duration, Share, Size, and Secret, which cannot be shown.

Law: a unit is written with its unit (`2s`, `33%`, `64Mi`); anything else is an error that
says how to write it. A Secret never reaches text (law L9).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, NoReturn, Self

from msgspec import Meta

SEEN_BY_OTHERS = "seenByOthers"
"""Marks, in `Meta.extra`, a field that others can read while it is used: no secret stands there."""

CommandLine = Annotated[
    str | tuple[str, ...],
    Meta(
        description="A command: a text goes to `sh -c`, a list is run as it is",
        examples=["systemctl stop cache", ["systemctl", "stop", "cache"]],
        extra={SEEN_BY_OTHERS: True},
    ),
]
"""A command. Lists of processes show it, so a secret goes into its environment (law L9)."""

JSON = Any
"""Plain data: None, bool, int, float, str, and lists and string-keyed dicts of these."""

_SECONDS = {
    "us": 0.000001,
    "µs": 0.000001,
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(us|µs|ms|s|m|h|d))")
_LONGEST = 366 * 86400.0
_SHARE = re.compile(r"(\d+(?:\.\d+)?)%")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(k|M|G|T|Ki|Mi|Gi|Ti|B)?")
_BYTES = {
    None: 1, "B": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip


class Unit:
    """A number with its unit: immutable, ordered, written and read as text.

    Subclasses give `parse`, `__str__`, and `json_schema`; the number is in `_value`.
    """

    __slots__ = ("_value",)
    _value: float

    json_schema: ClassVar[dict[str, JSON]]

    @classmethod
    def parse(cls, text: object) -> Self:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._value == other._value

    def __lt__(self, other: Self) -> bool:
        return self._value < other._value

    def __le__(self, other: Self) -> bool:
        return self._value <= other._value

    def __hash__(self) -> int:
        return hash((type(self), self._value))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class Duration(Unit):
    """A length of time, from 1us to 366 days, or zero: `200ms`, `2s`, `1h30m`."""

    __slots__ = ()
    json_schema: ClassVar[dict[str, JSON]] = {
        "type": "string",
        "pattern": r"^([0-9]+(\.[0-9]+)?(us|µs|ms|s|m|h|d))+$",
        "description": "A duration with its unit",
        "examples": ["200ms", "2s", "5m", "1h30m"],
    }

    def __init__(self, seconds: float) -> None:
        if not 0 <= seconds <= _LONGEST:  # also false for NaN
            raise ValueError(f"a duration is between 0s and 366d, not {seconds}s")
        self._value = float(seconds)

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read `1h30m`. Raises ValueError with what to write instead."""
        if isinstance(text, bool) or not isinstance(text, str | int | float):
            raise ValueError("a duration is text such as 200ms, 2s or 5m")
        if not isinstance(text, str):
            raise ValueError(f"a duration needs a unit: {text}s or {text}ms?")
        if len(text) > 64:  # hostile: matching takes the square of the length
            raise ValueError("this is not a duration such as 200ms, 2s, 5m or 1h30m")
        position, seconds = 0, 0.0
        for match in _DURATION.finditer(text):
            if match.start() != position:
                break
            seconds += float(match[1]) * _SECONDS[match[2]]
            position = match.end()
        if not text or position != len(text):
            if text.startswith("-"):
                raise ValueError(f"a duration cannot be negative: {text!r}")
            if re.fullmatch(r"\d+(\.\d+)?", text):
                raise ValueError(f"a duration needs a unit: {text}s or {text}ms?")
            raise ValueError(f"{text!r} is not a duration such as 200ms, 2s, 5m or 1h30m")
        if seconds > _LONGEST:
            raise ValueError(f"{text!r} is longer than 366d")
        return cls(round(seconds, 6))

    @property
    def seconds(self) -> float:
        return self._value

    def __bool__(self) -> bool:
        return self._value > 0

    def __str__(self) -> str:
        return format_seconds(self._value)


def format_seconds(seconds: float) -> str:
    """Exact text that `Duration.parse` reads back: `1h30m`, `2.5s`, `200ms`."""
    micros = round(seconds * 1_000_000)
    if micros == 0:
        return "0s"
    if micros < 1000:
        return f"{micros}us"
    if micros < 1_000_000:
        return f"{micros / 1000:g}ms"
    whole, text = micros, ""
    for unit, size in (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000)):
        count, whole = divmod(whole, size)
        text += f"{count}{unit}" if count else ""
    return text + (f"{whole / 1_000_000:.6f}".rstrip("0").rstrip(".") + "s" if whole else "")


class Share(Unit):
    """A part of a whole, from 0% to 100%; `fraction` is between 0 and 1."""

    __slots__ = ()
    json_schema: ClassVar[dict[str, JSON]] = {
        "type": "string",
        "pattern": r"^[0-9]+(\.[0-9]+)?%$",
        "description": "A share of a whole",
        "examples": ["33%", "0.5%"],
    }

    def __init__(self, fraction: float) -> None:
        if not 0 <= fraction <= 1:
            raise ValueError("a share is between 0% and 100%")
        self._value = float(fraction)

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read `33%`. Raises ValueError with what to write instead."""
        match = _SHARE.fullmatch(text) if isinstance(text, str) and len(text) <= 64 else None
        if match is None:
            number = isinstance(text, int | float) and not isinstance(text, bool)
            raise ValueError(
                f"a share is written with a percent sign: {text}%?"
                if number
                else f"{text!r} is not a share such as 33% or 0.5%"
            )
        if float(match[1]) > 100:
            raise ValueError(f"{text!r} is more than 100%")
        return cls(float(match[1]) / 100)

    @property
    def fraction(self) -> float:
        return self._value

    def __str__(self) -> str:
        return f"{self._value * 100:.6g}%"


class Size(Unit):
    """A number of bytes: `64Mi`, `10k`, `512`."""

    __slots__ = ()
    json_schema: ClassVar[dict[str, JSON]] = {
        "type": ["string", "integer"],
        "pattern": r"^[0-9]+(\.[0-9]+)?(B|k|M|G|T|Ki|Mi|Gi|Ti)?$",
        "minimum": 0,
        "description": "A size in bytes, with a decimal (k M G T) or binary (Ki Mi Gi Ti) unit",
        "examples": ["64Mi", "10k"],
    }

    def __init__(self, size: float) -> None:
        if not 0 <= size <= 2**60:
            raise ValueError("a size is between 0 and 2^60 bytes")
        self._value = int(size)

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read `64Mi`. Raises ValueError with what to write instead."""
        if isinstance(text, int) and not isinstance(text, bool):
            return cls(text)
        match = _SIZE.fullmatch(text) if isinstance(text, str) and len(text) <= 64 else None
        if match is None:
            raise ValueError(f"{text!r} is not a size such as 64Mi, 10k or 512")
        return cls(float(match[1]) * _BYTES[match[2]])

    @property
    def bytes(self) -> int:
        return int(self._value)

    def __str__(self) -> str:
        value = int(self._value)
        for unit in ("Ti", "Gi", "Mi", "Ki"):
            if value and value % _BYTES[unit] == 0:
                return f"{value // _BYTES[unit]}{unit}"
        return str(value)


class Secret:
    """A value that cannot be printed, formatted, pickled or encoded; only `reveal()` gives it."""

    __slots__ = ("_reveal",)

    def __init__(self, value: str) -> None:
        self._reveal: Callable[[], str] = lambda: value

    def reveal(self) -> str:
        return self._reveal()

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> NoReturn:
        raise TypeError("a secret cannot become text")

    def __format__(self, spec: str) -> NoReturn:
        raise TypeError("a secret cannot become text")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be serialised")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.reveal()

    def __hash__(self) -> int:
        return id(self)
