"""Expectations: names and types are checked early, and what is decided is right."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from chaosrun import expression
from chaosrun.errors import Refused
from chaosrun.expression import ExpressionError, Threshold
from chaosrun.units import Duration, Share, Size


class Colour(StrEnum):
    RED = "red"


class Times(msgspec.Struct, frozen=True):
    p99: Duration
    share: Share = Share(0.25)


class Result(msgspec.Struct, frozen=True, rename="camel"):
    status: int = 200
    latency: Annotated[Duration, Meta(description="how long")] = Duration(0.25)
    value: float = 5.5
    ok: bool = True
    text: str = "größe 😀"
    colour: Colour = Colour.RED
    size: Size = Size(2048)
    headers: dict[str, str] = msgspec.field(default_factory=lambda: {"content-type": "text/plain"})
    items: tuple[int, ...] = (1, 2, 3)
    rows: list[Times] = msgspec.field(default_factory=lambda: [Times(Duration(3))])
    times: Times = Times(Duration(2))
    json: Any = msgspec.field(default_factory=lambda: {"a": {"b": [1, 2.5, None, "x"]}})
    days_left: float | None = None
    gap: Duration | None = None


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('status == 200 && latency < duration("300ms")', True),
        ("latency > duration('1s')", False),
        ("value > 5.0 || false", True),
        ("!ok", False),
        ("text == 'größe 😀'", True),
        ("colour == 'red'", True),
        ("size >= 2048", True),
        ("headers['content-type'].startsWith('text/')", True),
        ("'x' in headers", False),
        ("items.all(i, i > 0) && items.size() == 3", True),
        ("rows.exists(r, duration(r.p99) > duration('2s'))", True),
        ("times.p99 == duration('2s') && times.share < 0.5", True),
        ("json.a.b[1] > 2 && json.a.b[3] == 'x'", True),
        ("daysLeft == null || daysLeft > 10.0", True),
        ("has(json.c) ? json.c : ok", True),
        ("text.matches('^gr')", True),
    ],
)
def test_an_expectation_decides_over_every_kind_of_field(text: str, holds: bool) -> None:
    assert expression.compile(text, Result).evaluate(Result()) is holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("json.nothing == 1", "Key not found"),
        ("headers['x'] == 'y'", "Key not found"),
        ("1 / (status - 200) == 1", "divide by zero"),
        ("daysLeft > 5.0", "No matching overloads"),
        ("json.a", "neither true nor false"),
        ("gap < duration('1s')", "'gap': NoneType"),
        ("items[7] == 1", "index=7 size=3"),
    ],
)
def test_what_the_result_does_not_say_is_refused_at_run_time(text: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        expression.compile(text, Result).evaluate(Result())


def test_numbers_beyond_64_bits_are_undecided_and_no_crash() -> None:
    with pytest.raises(Refused, match="cannot be decided"):
        expression.compile("status > 1", Result).evaluate(Result(status=2**70))


@pytest.mark.parametrize(
    ("text", "column", "said", "hint"),
    [
        ("stauts == 200", 1, "unknown name `stauts`", "did you mean `status`?"),
        ("days_left > 1.0", 1, "unknown name `days_left`", "`daysLeft`"),
        ("times.p98 > duration('1s')", 1, "unknown name `times.p98`", "`times.p99`"),
        ("times == 1", 1, "unknown name `times`", "times.p99, times.share"),
        ("status.code == 1", 7, "`status` is a whole number and has no parts", ""),
        ("value > 5", 7, "a decimal number with a whole number", "write 5.0"),
        ("5 < value", 3, "a whole number with a decimal number", "write 5.0"),
        ("status == 200.0 + 1.0", 8, "a whole number with a decimal number", "double"),
        ("latency < 3", 9, "a duration with a whole number", 'duration("3s")'),
        ("latency < '300ms'", 9, "a duration with text", 'duration("300ms")'),
        ("latency < 300ms", 11, "`300ms` is not a value", 'duration("300ms")'),
        ("status == '200'", 8, "a whole number with text", "200 without quotes"),
        ("text == 5", 6, "text with a whole number", 'write "5"'),
        ("status == 200u", 8, "unsigned", "write 200"),
        ("value < 5%", 9, "`5%` is not a value", "0.05"),
        ("status", 1, "`status` is a whole number", "compare it"),
        ("'yes'", 1, "is text", "compare it"),
        ("status && ok", 8, "`&&` joins what is true or false", "compare each side"),
        ("!status", 1, "`!` cannot be applied to a whole number", ""),
        ("status = 200", 8, "`=` does not compare", "=="),
        ("ok and ok", 4, "unexpected `and`", "&&"),
        ("not ok", 1, "unexpected `not`", "!"),
        ("ok == True", 7, "unknown name `True`", "write `true`"),
        ("status ==", 10, "ends too early", ""),
        ("(status == 200", 15, "ends too early", "`)` is missing"),
        ("text == 'a", 9, "this text is not closed", "quote"),
        ("ok # comment", 4, "unexpected `#`", "//"),
        ("lenght(text) > 1", 1, "unknown function `lenght`", "size"),
        ("foo.bar(1)", 1, "unknown name `foo`", ""),
        ("size(value) > 1", 5, "`size` does not take a decimal number", ""),
        ("text in 5", 6, "`in` looks into a list or a mapping", ""),
        ("latency < duration('3 apples')", 20, "is not a duration", "300ms"),
        ("text.matches('(')", 14, "is not a regular expression", "RE2"),
        ("ok ? 1 : true", 4, "must be of one kind", ""),
        ("status == 99999999999999999999", 11, "too large", ""),
        ("for == 1", 1, "`for` is a word of CEL", ""),
        ("  ", 1, "the expression is empty", ""),
        ("(" * 200 + "ok" + ")" * 200, 1, "nested too deeply", ""),
        ("ok" + " && ok" * 2000, 1, "at most 4096 characters", ""),
        ("text == '😀' && foo", 16, "unknown name `foo`", "this probe gives"),
    ],
)
def test_a_mistake_is_explained_at_its_column(text: str, column: int, said: str, hint: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        expression.compile(text, Result)
    error = caught.value
    assert said in error.message
    assert hint in error.hint
    assert (error.line, error.column) == (1, column)
    assert len(error.mistakes) == 1


def test_every_mistake_of_an_expression_is_told() -> None:
    with pytest.raises(ExpressionError) as caught:
        expression.compile("stauts == 200\n  && valeu > 5.0\n  && value > 5", Result)
    places = [(mistake.line, mistake.column) for mistake in caught.value.mistakes]
    assert places == [(1, 1), (2, 6), (3, 12)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('latency < duration("300ms")', [("latency", "<", 0.3)]),
        ("value > 5.0 && (status < 500)", [("value", ">", 5.0), ("status", "<", 500.0)]),
        ("5.0 >= value", [("value", "<=", 5.0)]),
        ("(times.p99 <= duration('1m30s') || ok)", [("times.p99", "<=", 90.0)]),
        ("status == 200 // latency < duration('1s')", [("status", "==", 200.0)]),
        ("value > -0.5", [("value", ">", -0.5)]),
        ("!(value > 5.0)", []),
        ("value + 1.0 > 5.0", []),
        ("text == '5 < value'", []),
        ("items.size() > 3", []),
        ("latency < duration(text)", []),
        ("", []),
        ("&& (", []),
    ],
)
def test_thresholds_are_found_for_charts(text: str, found: list[tuple[str, str, float]]) -> None:
    assert expression.thresholds(text) == tuple(Threshold(*one) for one in found)


def test_the_threshold_is_the_first_that_bounds() -> None:
    assert expression.threshold("status == 200 && value < 3.0") == Threshold("value", "<", 3.0)
    assert expression.threshold("status == 200") is None


def test_fields_are_named_as_an_expectation_names_them() -> None:
    assert expression.fields(Result)[-4:] == ("times.share", "json", "daysLeft", "gap")
