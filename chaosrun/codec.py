"""How typed values become plain data and come back: the one place that knows msgspec's hooks.

Law: what is decoded was checked. A Secret cannot be encoded (law L9). Any number of threads may
decode: msgspec works a type out when it is first used, in steps in which another thread may
use it half-way, which ends the process. So one thread at a time meets new types, here alone.
"""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import Any, TypeVar

import msgspec

from chaosrun.units import JSON, Secret, Unit

T = TypeVar("T")

_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_meeting = Lock()


def _encode_unit(value: Any) -> JSON:
    if isinstance(value, Unit):
        return str(value)
    if isinstance(value, Secret):
        raise TypeError("a secret cannot be serialised")
    raise NotImplementedError(f"{type(value).__name__} has no plain form")


def _decode_unit(kind: type, value: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, Unit):
        return value if isinstance(value, kind) else kind.parse(value)
    raise NotImplementedError(f"{kind!r} cannot be read")


def to_plain(value: Any) -> JSON:
    """Plain JSON-compatible data of a typed value."""
    return msgspec.to_builtins(value, enc_hook=_encode_unit)


def from_plain(data: JSON, kind: type[T]) -> T:
    """A typed value of plain data. Raises msgspec.ValidationError, whose text ends in a path."""
    _decoder(kind)
    return msgspec.convert(data, kind, dec_hook=_decode_unit)


def to_json(value: Any) -> bytes:
    """One line of JSON, without spaces."""
    return msgspec.json.encode(value, enc_hook=_encode_unit)


def from_json(text: bytes | str, kind: type[T]) -> T:
    """A typed value of JSON text. Raises msgspec.DecodeError or ValidationError."""
    value: T = _decoder(kind).decode(text)
    return value


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """The one decoder of that type, and with that the type and all its parts worked out.

    To make one for a union of events costs as much as thousands of decodings.
    """
    if (known := _decoders.get(kind)) is not None:
        return known
    with _meeting:
        if kind not in _decoders:
            _decoders[kind] = msgspec.json.Decoder(kind, dec_hook=_decode_unit)
        return _decoders[kind]


def json_schema(kind: Any) -> dict[str, JSON]:
    """The JSON Schema (2020-12) of a typed value, with units' patterns and examples."""

    def hook(unit: type) -> dict[str, JSON]:
        if issubclass(unit, Unit):
            return dict(unit.json_schema)
        raise NotImplementedError(f"{unit!r} has no schema")

    # msgspec writes a default without asking a hook, and so stops at a unit: lend it ours.
    plain = msgspec._json_schema.to_builtins  # type: ignore[attr-defined]
    msgspec._json_schema.to_builtins = partial(plain, enc_hook=_encode_unit)  # type: ignore[attr-defined]
    try:
        return msgspec.json.schema(kind, schema_hook=hook)
    finally:
        msgspec._json_schema.to_builtins = plain  # type: ignore[attr-defined]
