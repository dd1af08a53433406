"""Every problem of some data that is not of a type.

msgspec alone decides what is valid and stops at the first thing that is not; this walks on
along the type and asks it again about each part, so the two cannot disagree.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import msgspec

from chaosrun.codec import from_plain
from chaosrun.loading.problems import Findings, closest
from chaosrun.loading.source import Path
from chaosrun.secrets import REFERENCE
from chaosrun.units import JSON, Unit

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_PLACE = re.compile(r" - at `(key in )?(\$.*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")
_BOUND = re.compile(r"Expected `(\w+)`(?: of length)? (>=|<=|>|<) (\S+)")


class Field(NamedTuple):
    """One key that a mapping may have."""

    name: str
    kind: Any
    required: bool


def fields_of(kind: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The keys that a person may write for a struct."""
    return tuple(
        Field(field.encode_name, field.type, field.required)
        for field in msgspec.structs.fields(kind)
    )


def message_of(error: str) -> str:
    """msgspec's message without the path that ends it."""
    return _split(error)[0]


def holds_reference(data: JSON) -> bool:
    """Whether some text in the data refers to a secret."""
    if isinstance(data, str):
        return any(len(match[1]) % 2 for match in REFERENCE.finditer(data))
    if isinstance(data, dict):
        return any(map(holds_reference, data.values()))
    return isinstance(data, list) and any(map(holds_reference, data))


def check(data: JSON, kind: Any, path: Path, findings: Findings) -> None:
    """Report all that is wrong with the data at a path."""
    try:
        from_plain(data, kind)
    except msgspec.ValidationError as error:
        if not findings.poisoned(path):
            _Walk(findings).into(data, kind, path, str(error))


def check_mapping(
    data: JSON,
    fields: tuple[Field, ...],
    path: Path,
    findings: Findings,
    *,
    missing_at: int | None = None,
    what: str = "key",
) -> None:
    """Report all that is wrong with a mapping that may have these keys.

    `what` is how a person calls such a key; a missing one is reported at the index
    `missing_at`, or else where the mapping begins.
    """
    _Walk(findings).mapping(data, fields, path, missing_at, what)


class _Walk:
    def __init__(self, findings: Findings) -> None:
        self.findings = findings

    def into(self, data: JSON, kind: Any, path: Path, error: str) -> None:
        """Report the parts that are wrong, or else the whole with msgspec's own words."""
        before = len(self.findings)
        self._parts(data, _inner(kind, data), path)
        if len(self.findings) == before and not self.findings.poisoned_within(path):
            self._whole(data, kind, path, error)

    def _parts(self, data: JSON, kind: Any, path: Path) -> None:
        origin, arguments = get_origin(kind), get_args(kind)
        if isinstance(data, dict):
            struct = origin if isinstance(origin, type) else kind
            if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
                if struct.__struct_config__.tag is None:
                    self.mapping(data, fields_of(kind), path, None, "key")
            elif origin in (dict, Mapping) and arguments:
                for key, value in data.items():
                    check(value, arguments[1], (*path, key), self.findings)
        elif isinstance(data, list) and origin in (list, tuple, set, frozenset) and arguments:
            same = origin is not tuple or (len(arguments) == 2 and arguments[1] is Ellipsis)
            for index, item in enumerate(data):
                if same or index < len(arguments):
                    part = arguments[0] if same else arguments[index]
                    check(item, part, (*path, index), self.findings)

    def mapping(
        self,
        data: JSON,
        fields: tuple[Field, ...],
        path: Path,
        missing_at: int | None,
        what: str,
    ) -> None:
        known = {field.name: field for field in fields}
        absent = [field.name for field in fields if field.name not in data]
        unknown = [key for key in data if key not in known]
        needed = [name for name in absent if known[name].required]
        for key in data:
            if key in known:
                check(data[key], known[key].kind, (*path, key), self.findings)
                continue
            meant = closest(key, absent) if len(unknown) < 50 else ""
            if not meant and len(unknown) == len(needed) == 1:
                meant = needed[0]  # one too many and one too few: it is the same one
            self.findings.key(
                (*path, key),
                f"unknown {what} `{key}`",
                f"did you mean `{meant}`?" if meant else "",
                code=f"unknown-{what}",
                among=() if meant else absent or tuple(known),
                choose="known here",
            )
            if meant:  # it is not missing then, and what it holds can be checked
                absent.remove(meant)
                self.findings.poison((*path, meant))
                check(data[key], known[meant].kind, (*path, key), self.findings)
        for name in absent:
            if known[name].required and not self.findings.poisoned((*path, name)):
                index = self.findings.value_index(path) if missing_at is None else missing_at
                self.findings.at(index, f"{what} `{name}` is missing", code=f"missing-{what}")

    def _whole(self, data: JSON, kind: Any, path: Path, error: str) -> None:
        message, inner = _split(error)
        if isinstance(data, str) and holds_reference(data):
            if not _takes_text(kind):
                message = f"a secret is text, and here must be {_wanted(kind, message)}"
                self.findings.value(path, message)
            return  # what the text will be is not known before it is used
        name = next((f"`{step}` " for step in reversed(path) if isinstance(step, str)), "")
        if path and isinstance(path[-1], int):
            name = ""
        choices = _choices(kind)
        own = re.match(r"`(\w+)`", message)  # a check over several keys names the one it means
        if own and self.findings.has((*path, *inner, own[1])):
            inner = (*inner, own[1])
        self.findings.value(
            (*path, *inner),
            _in_words(message, kind, data, name),
            _suggestion(message, data, kind),
            wrong=data if isinstance(data, str) and choices else "",
            among=choices,
        )


def _inner(kind: Any, data: JSON) -> Any:
    """The type behind annotations, and of a union the one that this data was meant for."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    members = [_inner(member, data) for member in get_args(kind)]
    suiting = [member for member in members if _suits(member, data)]
    return suiting[0] if len(suiting) == 1 else kind


def _suits(kind: Any, data: JSON) -> bool:
    origin = get_origin(kind) or kind
    if isinstance(data, dict):
        return origin in (dict, Mapping) or (
            isinstance(origin, type) and issubclass(origin, msgspec.Struct)
        )
    return isinstance(data, list) and origin in (list, tuple, set, frozenset)


def _split(error: str) -> tuple[str, Path]:
    """msgspec's message and the path that ends it."""
    match = _PLACE.search(error)
    if match is None:
        return error, ()
    steps: list[str | int] = []
    for step in _STEP.finditer(match[2].removeprefix("$")):
        if step[0] == "[...]":
            break  # some key of a mapping; msgspec does not say which
        steps.append(int(step[2]) if step[2] else step[1])
    return error[: match.start()], tuple(steps)


def _in_words(message: str, kind: Any, data: JSON, name: str) -> str:
    if bound := _BOUND.match(message):
        return name + _bound_in_words(*bound.groups())
    if match := re.match(r"Expected `(.+?)`, got `(.+?)`", message):
        return f"{name}must be {_wanted(kind, message)}, not {_got(data)}"
    if "matching regex" in message:
        said = _described(kind)
        if said:
            return f"{name}must be {said[0].lower() + said[1:]}"
        pattern = message.partition("matching regex ")[2].strip("'\"")
        return f"{name}must match the pattern {pattern}"
    if message.startswith("Invalid enum value"):
        *others, last = _choices(kind) or ("something else",)
        wanted = f"{', '.join(others)} or {last}" if others else last
        return f"{name}must be {wanted}, not {_got(data)}"
    if match := re.match(r"Object missing required field `(.+)`", message):
        return f"key `{match[1]}` is missing"
    if match := re.match(r"Object contains unknown field `(.+)`", message):
        return f"unknown key `{match[1]}`"
    return message


def _bound_in_words(kind: str, sign: str, number: str) -> str:
    few = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}[sign]
    if kind == "str":
        if (sign, number) == (">=", "1"):
            return "must not be empty"
        return f"must have {few} {number} characters"
    if kind in ("array", "object"):
        if (sign, number) == (">=", "1"):
            return "must not be empty"
        what = "item" if kind == "array" else "key"
        return f"must have {few} {number} {what}{'' if number == '1' else 's'}"
    return f"must be {few} {number}"


def _wanted(kind: Any, message: str) -> str:
    """What is expected, in words."""
    bare = _inner(kind, None)
    if isinstance(bare, type) and issubclass(bare, Unit):
        return f"a {bare.__name__.lower()}"
    match = re.match(r"Expected `(.+?)`", message)
    names = match[1].split(" | ") if match else []
    words = [_WORDS.get(name, name) for name in names if name != "null"]
    return " or ".join(dict.fromkeys(words)) or "something else"


def _got(data: JSON) -> str:
    match data:
        case None:
            return "empty"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str():
            return f"`{data}`" if 0 < len(data) <= 60 else "text" if data else "empty text"
        case bool():
            return "true" if data else "false"
        case _:
            return f"the number {data}"


def _suggestion(message: str, data: JSON, kind: Any) -> str:
    bare = _inner(kind, None)
    if "Expected `bool" in message and isinstance(data, str):
        if data.lower() in ("yes", "on", "y"):
            return "write true"
        return "write false" if data.lower() in ("no", "off", "n") else ""
    if "Expected `str" in message and isinstance(data, int | float):
        return f'write "{str(data).lower() if isinstance(data, bool) else data}"'
    if "Expected `array" in message and isinstance(data, str | dict):
        return "begin it with `- `" if isinstance(data, dict) else f"write [{data[:40]}]"
    if re.match(r"Expected `(int|float)", message) and isinstance(data, str):
        return f"write {data} without quotes" if re.fullmatch(r"-?\d+(\.\d+)?", data) else ""
    return "" if bare is not bool else "write true or false"


def _takes_text(kind: Any) -> bool:
    bare = _inner(kind, None)
    return bare is str or str in get_args(bare)


def _described(kind: Any) -> str:
    """The description of a type, where it has one."""
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.description:
            return meta.description
    return ""


def _choices(kind: Any) -> tuple[str, ...]:
    """The values of an enum or a literal."""
    bare = _inner(kind, None)
    if hasattr(bare, "__members__"):
        return tuple(str(member.value) for member in bare)
    members = get_args(bare)
    return tuple(m for m in members if isinstance(m, str)) if get_origin(bare) else ()
