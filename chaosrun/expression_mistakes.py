"""What CEL's checker says, in a person's words, with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches

from chaosrun.expression import TOKEN, Mistake, position

_ERROR = re.compile(
    r"ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?=\n \||\nERROR:| \[[A-Z_]+\]$|$)", re.S
)
_WORDS = {
    "int": "a whole number",
    "uint": "an unsigned whole number",
    "double": "a decimal number",
    "string": "text",
    "bool": "true or false",
    "null": "null",
    "null_type": "null",
    "google.protobuf.Duration": "a duration",
    "google.protobuf.Timestamp": "a time",
    "INT": "a whole number",
    "UINT": "an unsigned whole number",
    "DOUBLE": "a decimal number",
    "STRING": "text",
    "NULL": "null",
    "DURATION": "a duration",
    "TIMESTAMP": "a time",
    "LIST": "a list",
    "MAP": "a mapping",
}
_WRITTEN = {"and": "&&", "or": "||", "not": "!", "is": "==", "True": "true", "False": "false"}


def in_words(kind: str) -> str:
    """A CEL type as a person would call it."""
    if kind.startswith(("list", "map")):
        return "a list" if kind.startswith("list") else "a mapping"
    return _WORDS.get(kind, f"of type {kind}")


def explain(text: str, error: str, names: tuple[str, ...]) -> tuple[Mistake, ...]:
    """The mistakes that CEL reported, without those that only follow from another."""
    found = [(int(m[1]), int(m[2]), m[3].strip()) for m in _ERROR.finditer(error)]
    found = [(line, column, what) for line, column, what in found if line > 0]
    if not found:
        if "recursion limit" in error:
            return (Mistake("the expression is nested too deeply"),)
        return (Mistake(error.partition(": ")[2].partition("\n")[0] or error),)
    if not text.strip():
        return (Mistake("the expression is empty"),)
    first = found[0]
    if first[2].startswith("Syntax error"):  # what follows a syntax error is its echo
        return (_syntax(text, *first),)
    mistakes: list[Mistake] = []
    unknown: set[int] = set()
    for line, column, what in found:
        offset = _offset(text, line, column)
        if reference := re.match(r"undeclared reference to '([^']+)'", what):
            start = _start_of_chain(text, offset)
            if start in unknown:
                continue  # `foo.bar(1)`: `bar` is unknown only because `foo` is
            unknown.add(start)
            mistakes.append(_undeclared(text, offset, reference[1], names))
        else:
            mistakes.append(_mistake(text, line, column, offset, what))
    return tuple(mistakes)


def _offset(text: str, line: int, column: int) -> int:
    lines = text.split("\n")
    return sum(len(row) + 1 for row in lines[: line - 1]) + column - 1


def _start_of_chain(text: str, offset: int) -> int:
    match = re.search(r"[\w.]*\Z", text[:offset])
    return match.start() if match else offset


def _undeclared(text: str, offset: int, name: str, names: tuple[str, ...]) -> Mistake:
    if text[offset : offset + 1] == "(":
        start = text.rfind(name, 0, offset)
        hint = "functions here are CEL's own, such as size, matches, startsWith, has, duration"
        return Mistake(f"unknown function `{name}`", *position(text, max(start, 0)), hint)
    start = _start_of_chain(text, offset)
    if not text.startswith(name, start):
        start = offset
    where = position(text, start)
    if name in _WRITTEN:
        return Mistake(f"unknown name `{name}`", *where, f"write `{_WRITTEN[name]}`")
    close = get_close_matches(name[:64], names, n=1, cutoff=0.6)
    inner = [known for known in names if known.startswith(f"{name}.")]
    hint = f"did you mean `{close[0]}`? " if close and not inner else ""
    if inner:
        hint = f"it has parts: {', '.join(inner)}; "
    return Mistake(f"unknown name `{name}`", *where, f"{hint}this probe gives: {', '.join(names)}")


def _mistake(text: str, line: int, column: int, offset: int, what: str) -> Mistake:
    for pattern, build in _RULES:
        if match := re.match(pattern, what):
            message, hint = build(match, text, offset)
            return Mistake(message, line, column, hint)
    return Mistake(what, line, column)


Build = Callable[[re.Match[str], str, int], tuple[str, str]]


def _operand(text: str, offset: int) -> str:
    """The name or constant that ends right before the offset."""
    match = re.search(r"[\w.]+(\[[^\]]*\])?\s*\Z", text[:offset])
    return f"`{match[0].strip()}`" if match else "this"


def _overload(match: re.Match[str], text: str, offset: int) -> tuple[str, str]:
    function, operator = match[1], match[1].strip("_@").replace("]", "").replace("[", "[]")
    kinds = _kinds(match[2])
    words = [in_words(kind) for kind in kinds]
    if function in ("_?_:_",):
        return "both results of `? :` must be of one kind", ""
    if function in ("_&&_", "_||_"):
        return (
            f"`{operator}` joins what is true or false, and here is {' and '.join(words)}",
            "compare each side with something, as in `status == 200`",
        )
    if function == "_[_]":
        return f"{words[0]} has no place for {words[1]} in brackets", ""
    if function.endswith("_") and len(kinds) == 1:
        return f"`{operator}` cannot be applied to {words[0]}", ""
    if function == "@in":
        return f"`in` looks into a list or a mapping, not into {words[1]}", ""
    if function.startswith("_"):
        verb = "compare" if operator in ("<", "<=", ">", ">=", "==", "!=") else "combine"
        return f"`{operator}` cannot {verb} {words[0]} with {words[1]}", _kind_hint(
            text, offset, kinds
        )
    return f"`{function}` does not take {', '.join(words)}", ""


def _kinds(listed: str) -> list[str]:
    """Split `double, list(int)` at its outer commas."""
    kinds, depth = [""], 0
    for letter in listed:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            kinds.append("")
        else:
            kinds[-1] += letter
    return [kind.strip() for kind in kinds]


def _kind_hint(text: str, offset: int, kinds: list[str]) -> str:
    constants = [t for t in _neighbours(text, offset) if t.lastgroup in ("number", "text")]
    constant = constants[0][0] if constants else ""
    number = constant if constants and constants[0].lastgroup == "number" else ""
    match sorted(kinds):
        case ["double", "int"] if number and "." not in number:
            return f"write {number}.0"
        case ["double", "int"]:
            return "make both the same kind with double(...)"
        case ["google.protobuf.Duration", "int" | "double"]:
            return f'write duration("{number or 2}s") or duration("{number or 200}ms")'
        case ["google.protobuf.Duration", "string"]:
            return f'write duration("{constant.strip(chr(34) + chr(39)) or "300ms"}")'
        case ["int", "uint"] if number:
            return f"write {number.rstrip('u')}"
        case ["double" | "int", "string"] if constant and not number:
            inner = constant.strip("\"'")
            return f"write {inner} without quotes" if re.fullmatch(r"[\d.]+", inner) else ""
        case ["int" | "double", "string"] if number:
            return f'write "{number}"'
    return ""


def _neighbours(text: str, offset: int) -> Iterator[re.Match[str]]:
    tokens = list(TOKEN.finditer(text))
    for index, token in enumerate(tokens):
        if token.start() == offset:
            yield from tokens[index + 1 : index + 2]
            yield from tokens[max(index - 1, 0) : index]


_RULES: tuple[tuple[str, Build], ...] = (
    (r"found no matching overload for '([^']+)' applied to '\((.*)\)'", _overload),
    (
        r"expression of type '([^']+)' cannot be the operand of a select",
        lambda m, text, at: (f"{_operand(text, at)} is {in_words(m[1])} and has no parts", ""),
    ),
    (
        r"expression of type '([^']+)' cannot be the range of a comprehension",
        lambda m, _text, _at: (f"{in_words(m[1])} has no items to go through", ""),
    ),
    (
        r"reserved identifier: (\w+)",
        lambda m, _text, _at: (f"`{m[1]}` is a word of CEL and cannot be a name", ""),
    ),
    (
        r"has\(\) argument must be a field selection",
        lambda _m, _text, _at: ("has() asks for a part of something", "as in has(json.items)"),
    ),
    (r"invalid (\w+) literal", lambda _m, _text, _at: ("this number is too large", "")),
)


def _syntax(text: str, line: int, column: int, what: str) -> Mistake:
    offset = _offset(text, line, column)
    rest = text[offset:].lstrip()
    word = (TOKEN.match(rest) or [""])[0]
    before = text[:offset].rstrip()
    unit = re.match(r"(us|ms|s|m|h|d)\b", rest) and re.search(r"[\d.]+$", before)
    if unit:
        written = unit[0] + rest[: len(word)]
        return Mistake(
            f"`{written}` is not a value",
            line,
            column - len(unit[0]),
            f'write duration("{written}")',
        )
    if share := re.search(r"[\d.]+\s*%$", before if not rest else ""):
        where = position(text, share.start())
        return Mistake(f"`{share[0]}` is not a value", *where, "write 5% as 0.05")
    if rest.startswith("=") and not rest.startswith("=="):
        return Mistake("`=` does not compare", line, column, "write `==`")
    if rest[:1] in ("'", '"'):
        return Mistake("this text is not closed", line, column, "end it with the same quote")
    if rest.startswith("#"):
        return Mistake("unexpected `#`", line, column, "comments in CEL begin with //")
    if word in _WRITTEN:
        return Mistake(f"unexpected `{word}`", line, column, f"write `{_WRITTEN[word]}`")
    if negation := re.search(r"\bnot$", before):
        return Mistake("unexpected `not`", *position(text, negation.start()), "write `!`")
    if word == "in" or not rest:
        missing = re.search(r"missing '(.)'|expecting ('.')$", what)
        closing = (missing[1] or missing[2].strip("'")) if missing else ""
        return Mistake(
            "the expression ends too early" if not rest else f"unexpected `{word}`",
            line,
            column,
            f"`{closing}` is missing" if closing else "",
        )
    return Mistake(f"unexpected `{word}`", line, column)
