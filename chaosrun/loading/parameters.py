"""Parameters: declared with a type, given a value by default, `--values` or `--set`.

Law: a parameter has a value of its type within its bounds, or the file is not valid. One that
is wrong is reported once; what uses it is not checked further.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from chaosrun.codec import from_json, from_plain
from chaosrun.loading.interpolation import UNKNOWN, Interpolation, Unknown
from chaosrun.loading.problems import Findings, Problem, closest, shortened
from chaosrun.loading.source import LARGEST_INTEGER, Path
from chaosrun.spec import Parameter
from chaosrun.units import JSON, Duration, Share, Size, Unit

PATH: Path = ("spec", "parameters")
_UNITS: dict[str, type[Unit]] = {"duration": Duration, "share": Share, "size": Size}
_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_DEEPEST = 100
_LARGEST_TEXT = 64 * 1024

Complain = Callable[[str, str], None]
"""Reports a message and a suggestion at the place where a value was written."""


class Given(msgspec.Struct):
    """Values from outside of the file: `--set` gives text, `--values` typed data."""

    sets: Mapping[str, str] = {}
    values: Mapping[str, JSON] = {}
    findings: Findings | None = None
    """Where problems of the values file go."""


class Parameters:
    """The parameters of one file, settled on demand because a default may use others."""

    def __init__(self, declared: JSON, given: Given, findings: Findings) -> None:
        self.declared: dict[str, JSON] = declared if isinstance(declared, dict) else {}
        self.given = given
        self.findings = findings
        self.settled: dict[str, JSON] = {}
        self.waiting: list[str] = []
        self.fill = Interpolation(self.value, self.declared, set(), findings)

    def settle(self) -> dict[str, JSON]:
        """The value of each, UNKNOWN for those that are wrong."""
        self._refuse_unknown()
        for name in self.declared:
            self.value(name)
        return self.settled

    def value(self, name: str) -> JSON:
        """The value of one. Raises KeyError when it is not declared."""
        if name in self.settled:
            return self.settled[name]
        raw = self.declared[name]
        if name in self.waiting:
            return self._circle(name)
        if len(self.waiting) >= _DEEPEST:
            path = (*PATH, self.waiting[0], "default")
            message = f"parameters refer to one another more than {_DEEPEST} deep"
            self.findings.value(path, message)
            return UNKNOWN
        self.waiting.append(name)
        try:
            value = self._settle(name, raw)
        finally:
            self.waiting.pop()
        return self.settled.setdefault(name, value)

    def _circle(self, name: str) -> Unknown:
        circle = self.waiting[self.waiting.index(name) :]
        message = f"parameter `{name}` refers to itself"
        if len(circle) > 1:
            message = f"parameters refer to one another: {' -> '.join([*circle, name])}"
        self.findings.value((*PATH, circle[0], "default"), message)
        for member in circle:
            self.settled[member] = UNKNOWN
        return UNKNOWN

    def _settle(self, name: str, raw: JSON) -> JSON:
        path = (*PATH, name)
        try:
            declared = from_plain(raw, Parameter)
        except msgspec.ValidationError:
            return UNKNOWN  # said when the file's shape is checked
        if not self._declaration_holds(declared, path):
            return UNKNOWN
        default = self._default(declared, path)
        if name in self.given.sets:
            complain = self._command_line(name)
            return _checked(declared, self.given.sets[name], complain, from_text=True)
        if name in self.given.values and self.given.findings is not None:
            complain = _at(self.given.findings, (name,))
            return _checked(declared, self.given.values[name], complain)
        if default is None:
            self.findings.key(
                path,
                f"parameter `{name}` has no value",
                f"give it a default, or use --set {name}=...",
                code="no-value",
            )
            return UNKNOWN
        return default

    def _default(self, declared: Parameter, path: Path) -> JSON:
        default = declared.default
        if default is None:
            return None
        if isinstance(default, str) and "${" in default:
            default = self.fill.text(default, (*path, "default"), in_arguments=False)
            if self.findings.poisoned((*path, "default")):
                return UNKNOWN
        return _checked(declared, default, _at(self.findings, (*path, "default")))

    def _declaration_holds(self, declared: Parameter, path: Path) -> bool:
        """Whether bounds, pattern and choices make sense for the type; reports what does not."""
        before = len(self.findings)
        kind = declared.type
        bounds: dict[str, Any] = {}
        for bound in ("minimum", "maximum"):
            value = getattr(declared, bound)
            complain = _at(self.findings, (*path, bound))
            if value is None:
                continue
            if kind in ("string", "boolean"):
                complain(f"`{bound}` is for numbers, durations, shares and sizes", "")
            else:
                bounds[bound] = _measure(kind, _typed(kind, value, complain))
        low, high = bounds.get("minimum"), bounds.get("maximum")
        if low is not None and high is not None and low > high:
            message = f"the bounds are inverted: {declared.maximum} is less than {declared.minimum}"
            self.findings.value((*path, "maximum"), message)
        for index, choice in enumerate(declared.enum):
            _typed(kind, choice, _at(self.findings, (*path, "enum", index)))
        if declared.pattern:
            self._check_pattern(declared, (*path, "pattern"))
        return len(self.findings) == before

    def _check_pattern(self, declared: Parameter, path: Path) -> None:
        from chaosrun.expression import matches

        if declared.type != "string":
            self.findings.value(path, "`pattern` is for parameters of type string")
            return
        try:
            matches("", declared.pattern)
        except ValueError as error:
            message = f"is not a regular expression: {error}"
            self.findings.value(path, message, "the syntax is RE2")

    def _command_line(self, name: str) -> Complain:
        return lambda message, suggestion: self.findings.other(
            Problem(file=f"--set {name}", message=message, suggestion=suggestion)
        )

    def _refuse_unknown(self) -> None:
        for name in self.given.sets:
            if name not in self.declared:
                close = closest(name, self.declared)
                known = f"the file declares: {', '.join(self.declared) or 'none'}"
                self._command_line(name)(
                    f"no parameter is named `{name}`",
                    f"did you mean `{close}`?" if close else known,
                )
        if self.given.findings is not None:
            for name in self.given.values:
                if name not in self.declared:
                    self.given.findings.key(
                        (name,),
                        f"no parameter is named `{name}`",
                        wrong=name,
                        among=tuple(self.declared),
                        choose="the file declares",
                    )


def _checked(
    declared: Parameter, value: JSON, complain: Complain, *, from_text: bool = False
) -> JSON:
    """The value in its type and within bounds, or UNKNOWN after a complaint."""
    value = _typed(declared.type, value, complain, from_text=from_text)
    if value is UNKNOWN:
        return UNKNOWN
    measure = _measure(declared.type, value)
    for bound, word in (("minimum", "least"), ("maximum", "most")):
        limit = getattr(declared, bound)
        if limit is None:
            continue
        edge = _measure(declared.type, limit)
        if (measure < edge) if bound == "minimum" else (measure > edge):
            complain(f"{value} is out of range: at {word} {limit}", "")
            return UNKNOWN
    if declared.enum and measure not in [_measure(declared.type, one) for one in declared.enum]:
        choices = [str(choice) for choice in declared.enum]
        close = closest(str(value), choices)
        listed = f"one of {', '.join(choices)}"
        complain(f"`{value}` is not {listed}", f"did you mean `{close}`?" if close else "")
        return UNKNOWN
    if declared.pattern:
        from chaosrun.expression import matches

        if not matches(value, declared.pattern):
            complain(f"`{value}` does not match the pattern {declared.pattern}", "")
            return UNKNOWN
    return value


def _typed(kind: str, value: JSON, complain: Complain, *, from_text: bool = False) -> JSON:
    """The value as that kind, or UNKNOWN after a complaint."""
    try:
        if kind in _UNITS:
            _UNITS[kind].parse(value)
            return value
        return _plain(kind, value, from_text=from_text)
    except ValueError as error:
        complain(str(error), "")
        return UNKNOWN


def _plain(kind: str, value: JSON, *, from_text: bool) -> JSON:
    wrong = ValueError(f"must be {_WORDS[kind]}, not {_shown(value)}")
    if from_text and kind != "string":
        value = _from_text(value)
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise ValueError(f"{value} is too large")
    match kind:
        case "string" if isinstance(value, str):
            if len(value) > _LARGEST_TEXT:
                raise ValueError("is longer than 64 KiB")
            return value
        case "integer" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "number" if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        case "boolean" if isinstance(value, bool):
            return value
    raise wrong


def _from_text(text: str) -> JSON:
    """What JSON makes of it, or the text itself."""
    try:
        value = from_json(text, Any)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return text
    return value


def _measure(kind: str, value: JSON) -> Any:
    """Something to compare bounds with; None when it is not known."""
    if value is UNKNOWN:
        return None
    return _UNITS[kind].parse(value) if kind in _UNITS else value


def _shown(value: JSON) -> str:
    if isinstance(value, str):
        return f"`{shortened(value)}`" if value else "empty text"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return "nothing" if value is None else f"`{str(value).lower()}`"


def _at(findings: Findings, path: Path) -> Complain:
    return lambda message, suggestion: findings.value(path, message, suggestion)
