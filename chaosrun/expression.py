"""Expectations in CEL, the Common Expression Language, checked against a probe's result.

Law (L4): an expression that compiles can only be undecided by what the probe saw, never by
a misspelt name or a wrong type. Nothing is ever evaluated as Python.
"""

from __future__ import annotations

import datetime
import re
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from cel_expr_python import cel  # type: ignore[import-untyped]

from chaosrun.codec import to_plain
from chaosrun.errors import Refused, Rejected
from chaosrun.units import Duration, Share, Size

LONGEST = 4096
"""Most characters of an expression."""

TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*)
    |(?P<text>[rRbB]{0,2}(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<number>0x[0-9a-fA-F]+u?|(?:\d+\.\d+|\.\d+)(?:[eE][-+]?\d+)?|\d+(?:[eE][-+]?\d+|u)?)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<operator>&&|\|\||[<>=!]=|\S)""",
    re.VERBOSE | re.DOTALL,
)
_NAME = re.compile(r"[A-Za-z_]\w*")
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class Mistake(NamedTuple):
    """One thing that is wrong in an expression; line and column count from 1."""

    message: str
    line: int = 1
    column: int = 1
    hint: str = ""


class ExpressionError(Rejected):
    """The expression is wrong."""

    code = "expression"

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        self.mistakes = mistakes
        self.message, self.line, self.column, hint = mistakes[0]
        super().__init__(self.message, hint=hint)


class Threshold(NamedTuple):
    """A comparison of a field of the result with a constant; durations are in seconds."""

    field: str
    operator: str
    number: float


class Expression:
    """A compiled expectation."""

    __slots__ = ("_names", "_program", "text")

    def __init__(self, text: str, program: Any) -> None:
        self.text = text
        self._program = program
        self._names = frozenset(_NAME.findall(text))

    def evaluate(self, result: msgspec.Struct) -> bool:
        """Whether it holds for that result. Raises Refused when the result does not say."""
        try:
            value = self._program.eval(data=dict(_values(result, self._names)))
            plain = value.value()
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            raise Refused(f"`{self.text}` cannot be decided: {error}") from None
        if value.type() == cel.Type.ERROR:
            reason = str(plain).partition(": ")[2] or str(plain)
            raise Refused(f"`{self.text}` cannot be decided: {reason}")
        if not isinstance(plain, bool):
            raise Refused(f"`{self.text}` gave {plain!r}, neither true nor false")
        return plain


@lru_cache(maxsize=4096)
def compile(text: str, result_type: type[msgspec.Struct]) -> Expression:
    """The checked expression over that result. Raises ExpressionError with every mistake."""
    if len(text) > LONGEST:
        raise ExpressionError((Mistake(f"an expression has at most {LONGEST} characters"),))
    variables = dict(_variables(result_type))
    try:
        program = cel.NewEnv(variables=variables).compile(text)
    except RuntimeError as error:
        raise ExpressionError(_explain(text, str(error), tuple(variables))) from None
    kind = program.return_type()
    if kind not in (cel.Type.BOOL, cel.Type.DYN):
        raise ExpressionError((_not_boolean(text, kind.name()),))
    if mistakes := tuple(_bad_constants(text)):
        raise ExpressionError(mistakes)
    return Expression(text, program)


def fields(result_type: type[msgspec.Struct]) -> tuple[str, ...]:
    """The names that an expression over that result may use."""
    return tuple(name for name, _ in _variables(result_type))


def matches(text: str, pattern: str) -> bool:
    """Whether the RE2 pattern is found in the text, in linear time. Raises ValueError."""
    names = {"text": cel.Type.STRING, "pattern": cel.Type.STRING}
    program = cel.NewEnv(variables=names).compile("text.matches(pattern)")
    value = program.eval(data={"text": text, "pattern": pattern})
    if value.type() == cel.Type.ERROR:
        raise ValueError(str(value.value()).rpartition("regular expression: ")[2])
    return bool(value.value())


def thresholds(text: str) -> tuple[Threshold, ...]:
    """The comparisons of a field with a constant number or duration, in their order.

    Parts that are joined by `&&`, `||` or parentheses count; negated expressions have none.
    """
    tokens = [m for m in TOKEN.finditer(text) if m.lastgroup != "comment"]
    if any(token[0] == "!" for token in tokens):
        return ()
    found: list[Threshold] = []
    part: list[re.Match[str]] = []
    for token in [*tokens, None]:
        if token is None or token[0] in ("&&", "||"):
            found += _comparison(part)
            part = []
        else:
            part.append(token)
    return tuple(found)


def threshold(text: str) -> Threshold | None:
    """The first comparison that bounds a field from above or below, if there is one."""
    return next((found for found in thresholds(text) if found.operator[0] in "<>"), None)


def _comparison(tokens: list[re.Match[str]]) -> Iterator[Threshold]:
    words = [token[0] for token in tokens]
    while words and words[0] == "(":
        words.pop(0)
    at = next((i for i, word in enumerate(words) if word in _MIRRORED), None)
    if at is None:
        return
    left, operator, right = words[:at], words[at], words[at + 1 :]
    calls = 1 if "duration" in right else 0
    while right.count(")") > calls and right[-1] == ")":
        right.pop()
    for name, constant, sign in ((left, right, operator), (right, left, _MIRRORED[operator])):
        number = _number(constant)
        if number is not None and re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", "".join(name)):
            yield Threshold("".join(name), sign, number)
            return


def _number(words: list[str]) -> float | None:
    joined = "".join(words)
    if joined in ("true", "false"):
        return None
    call = re.fullmatch(r"duration\(([\"'])(.*)\1\)", joined)
    try:
        return Duration.parse(call[2]).seconds if call else float(joined)
    except ValueError:
        return None


def _variables(result_type: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and CEL types; fields of nested structs have dotted names, and so are checked.

    In structs inside lists and mappings a duration is text: `duration(rows[0].p99)`.
    """
    for field in msgspec.structs.fields(result_type):
        kind = _bare(field.type)
        name = prefix + field.encode_name
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            yield from _variables(kind, f"{name}.")
        else:
            yield name, _cel_type(kind)


def _bare(kind: Any) -> Any:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind


def _cel_type(kind: Any) -> Any:
    kind = _bare(kind)
    simple = {
        bool: cel.Type.BOOL, int: cel.Type.INT, float: cel.Type.DOUBLE, str: cel.Type.STRING,
        Duration: cel.Type.DURATION, Share: cel.Type.DOUBLE, Size: cel.Type.INT,
        list: cel.Type.List(cel.Type.DYN), tuple: cel.Type.List(cel.Type.DYN),
        dict: cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    }  # fmt: skip
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Enum) and issubclass(kind, str):
        return cel.Type.STRING
    if origin is Literal:
        kinds = {type(value) for value in arguments}
        return simple[kinds.pop()] if len(kinds) == 1 else cel.Type.DYN
    if origin in (Union, types.UnionType):
        members = [_bare(member) for member in arguments if member is not type(None)]
        return cel.Type.DURATION if members == [Duration] else cel.Type.DYN
    if origin in (list, tuple, frozenset, set):
        same = origin is not tuple or (len(arguments) == 2 and arguments[1] is Ellipsis)
        return cel.Type.List(_cel_type(arguments[0]) if same else cel.Type.DYN)
    if origin in (dict, Mapping) and len(arguments) == 2:
        return cel.Type.Map(_cel_type(arguments[0]), _cel_type(arguments[1]))
    return simple.get(kind, cel.Type.DYN)


def _values(
    result: msgspec.Struct, names: frozenset[str], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """The variables that an expression with these names in it can ask for."""
    for field, key in zip(result.__struct_fields__, result.__struct_encode_fields__, strict=True):
        if key not in names:
            continue
        value = getattr(result, field)
        yield prefix + key, _value(value)
        if isinstance(value, msgspec.Struct):
            yield from _values(value, names, f"{prefix}{key}.")


def _value(value: Any) -> Any:
    match value:
        case Duration():
            return datetime.timedelta(seconds=value.seconds)
        case Share():
            return value.fraction
        case Size():
            return value.bytes
        case Enum():
            return value.value
        case msgspec.Struct():  # in a list or mapping; CEL's binding takes no duration there
            return to_plain(value)
        case dict():
            return {key: _value(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_value(item) for item in value]
        case _:
            return value


def _bad_constants(text: str) -> Iterator[Mistake]:
    """Constants that could only fail at run time: CEL does not look into them."""
    tokens = [m for m in TOKEN.finditer(text) if m.lastgroup != "comment"]
    for name, bracket, literal in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if bracket[0] != "(" or literal.lastgroup != "text":
            continue
        if name[0] in ("duration", "timestamp"):
            probe, hint = f"{name[0]}({literal[0]})", {
                "duration": 'write it as "300ms", "2s" or "1h30m"',
                "timestamp": 'write it as "2026-01-31T12:00:00Z"',
            }[name[0]]  # fmt: skip
        elif name[0] == "matches":
            probe, hint = f"''.matches({literal[0]})", "the pattern's syntax is RE2"
        else:
            continue
        value = cel.NewEnv().compile(probe).eval()
        if value.type() == cel.Type.ERROR:
            what = "regular expression" if name[0] == "matches" else name[0]
            line, column = position(text, literal.start())
            yield Mistake(f"{literal[0]} is not a {what}", line, column, hint)


def position(text: str, offset: int) -> tuple[int, int]:
    """The line and column, counted from 1, of an offset into a text."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _not_boolean(text: str, kind: str) -> Mistake:
    from chaosrun.expression_mistakes import in_words

    return Mistake(
        f"an expectation is true or false; `{text.strip()}` is {in_words(kind)}",
        hint="compare it with something, as in `status == 200`",
    )


def _explain(text: str, error: str, names: tuple[str, ...]) -> tuple[Mistake, ...]:
    from chaosrun.expression_mistakes import explain  # only when something is wrong

    return explain(text, error, names)
