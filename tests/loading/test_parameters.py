"""Parameters have a type and bounds, whoever gives the value; `${name}` puts them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaosrun.loading import Invalid, load_file
from chaosrun.units import Duration
from tests.loading.making import SMALL, changed, load, problems


def declaring(*declared: str) -> str:
    return changed(("parameters: {}", "parameters:\n    " + "\n    ".join(declared)))


def test_a_text_that_is_one_reference_takes_the_type_of_the_parameter(tmp_path: Path) -> None:
    text = declaring("force: {type: integer, default: 7}", "hold: {type: duration, default: 90s}")
    text = text.replace("force: 3", 'force: "${force}"').replace("hold: 1s", "hold: ${hold}")
    (step,) = load(tmp_path, text).experiment.spec.method
    assert step.with_ == {"force": 7}
    assert step.hold == Duration(90)


def test_a_reference_inside_a_text_becomes_text(tmp_path: Path) -> None:
    text = declaring(
        "n: {type: integer, default: 3}", "x: {type: number, default: 1.5}",
        "b: {type: boolean, default: true}", "s: {type: size, default: 64Mi}",
    ).replace("A small experiment", "n=${n} x=${x} b=${b} s=${s}")  # fmt: skip
    assert load(tmp_path, text).experiment.spec.title == "n=3 x=1.5 b=true s=64Mi"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a $${name} b", "a ${name} b"),
        ("a $$${name} b", "a $value b"),
        ("a $$$${name} b", "a $${name} b"),
        ("$$ $5 $(x) {name}", "$$ $5 $(x) {name}"),
    ],
)
def test_a_pair_of_dollars_before_a_brace_is_one_dollar(
    tmp_path: Path, written: str, read: str
) -> None:
    text = declaring("name: {type: string, default: value}")
    loaded = load(tmp_path, text.replace("A small experiment", f"'{written}'"))
    assert loaded.experiment.spec.title == read


def test_a_default_may_refer_to_other_parameters_in_any_order(tmp_path: Path) -> None:
    text = declaring(
        'url: {type: string, default: "http://${host}:${port}/"}',
        "host: {type: string, default: shop}",
        "port: {type: integer, default: 80}",
    )
    text = text.replace("A small experiment", "${url}")
    assert load(tmp_path, text).experiment.spec.title == "http://shop:80/"
    loaded = load(tmp_path, text, sets={"host": "mall"})
    assert loaded.parameters == {"url": "http://mall:80/", "host": "mall", "port": 80}


def test_the_command_line_wins_over_the_values_file_and_that_over_the_default(
    tmp_path: Path,
) -> None:
    text = declaring(*(f"{name}: {{type: integer, default: 1}}" for name in "abc"))
    values = tmp_path / "values.yaml"
    values.write_text("a: 2\nb: 2\n")
    loaded = load(tmp_path, text, sets={"a": "3"}, values=values)
    assert loaded.parameters == {"a": 3, "b": 2, "c": 1}


def test_a_value_from_outside_is_not_filled_in_again(tmp_path: Path) -> None:
    text = declaring("a: {type: string, default: x}", "b: {type: string, default: y}")
    text = text.replace("A small experiment", "${a}")
    assert load(tmp_path, text, sets={"a": "${b}"}).experiment.spec.title == "${b}"


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("string", "5", "5"), ("string", "", ""), ("integer", "-5", -5), ("number", "5", 5),
        ("number", "2.5e1", 25.0), ("boolean", "false", False), ("duration", "1h30m", "1h30m"),
        ("share", "0.5%", "0.5%"), ("size", "512", "512"), ("size", "64Mi", "64Mi"),
    ],
)  # fmt: skip
def test_each_type_reads_its_text(tmp_path: Path, kind: str, given: str, value: object) -> None:
    loaded = load(tmp_path, declaring(f"p: {{type: {kind}}}"), sets={"p": given})
    assert loaded.parameters == {"p": value}
    assert type(loaded.parameters["p"]) is type(value)


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("integer", "2.5", "must be a whole number, not `2.5`"),
        ("integer", "", "must be a whole number, not empty text"),
        ("integer", "true", "must be a whole number, not `true`"),
        ("integer", "99999999999999999999999", "is too large"),
        ("number", "NaN", "must be a number, not `NaN`"),
        ("number", "Infinity", "must be a number"),
        ("number", "1e999", "must be a number"),
        ("number", "1_000", "must be a number"),
        ("boolean", "yes", "must be true or false, not `yes`"),
        ("boolean", "1", "must be true or false"),
        ("duration", "5", "'5' is not a duration|a duration needs a unit"),
        ("duration", "-1s", "cannot be negative"),
        ("share", "5", "is not a share"),
        ("size", "5 apples", "is not a size"),
    ],
)
def test_text_of_another_type_is_refused(tmp_path: Path, kind: str, given: str, said: str) -> None:
    with pytest.raises(Invalid, match=said) as caught:
        load(tmp_path, declaring(f"p: {{type: {kind}}}"), sets={"p": given})
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("--set p", 0)


def test_bounds_hold_for_every_type_that_has_an_order(tmp_path: Path) -> None:
    for kind, low, inside, high in (
        ("integer", "1", "5", "9"), ("number", "0.1", "0.5", "0.9"), ("share", "1%", "5%", "50%"),
        ("duration", "10s", "1m", "1h"), ("size", "1Ki", "512Ki", "1Mi"),
    ):  # fmt: skip
        text = declaring(f"p: {{type: {kind}, minimum: {low}, maximum: {inside}}}")
        assert problems(tmp_path, text, sets={"p": inside}) == []
        assert problems(tmp_path, text, sets={"p": low}) == []
        (said,) = problems(tmp_path, text, sets={"p": high})
        assert f"out of range: at most {inside}" in said


def test_a_choice_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    text = declaring("p: {type: duration, enum: [1m, 2m]}")
    assert load(tmp_path, text, sets={"p": "60s"}).parameters == {"p": "60s"}


def test_a_pattern_is_searched_for_as_in_a_json_schema(tmp_path: Path) -> None:
    text = declaring("p: {type: string, pattern: '[0-9]'}")
    assert problems(tmp_path, text, sets={"p": "a1b"}) == []
    assert "does not match" in problems(tmp_path, text, sets={"p": "ab"})[0]


def test_an_unknown_name_on_the_command_line_is_told_which_was_meant(tmp_path: Path) -> None:
    text = declaring("namespace: {type: string, default: shop}")
    (said,) = problems(tmp_path, text, sets={"namespce": "a"})
    assert said == "0:0 no parameter is named `namespce` = did you mean `namespace`?"
    (said,) = problems(tmp_path, SMALL, sets={"x": "a"})
    assert said.endswith("= the file declares: none")


def test_problems_of_the_values_file_are_at_their_place_in_it(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text(declaring("force: {type: integer, default: 3}"))
    values = tmp_path / "values.yaml"
    values.write_text("# ours\nforce: many\nfroce: 1\n")
    with pytest.raises(Invalid) as caught:
        load_file(tmp_path / "file.yaml", values=values)
    told = [(p.file, p.line, p.column, p.message) for p in caught.value.problems]
    assert told == [
        (str(values), 2, 8, "must be a whole number, not `many`"),
        (str(values), 3, 1, "no parameter is named `froce`"),
    ]


def test_a_values_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    for text in ("- a\n", "a: [", "just text\n"):
        values.write_text(text)
        with pytest.raises(Invalid):
            load(tmp_path, SMALL, values=values)
    values.write_text("")
    assert load(tmp_path, SMALL, values=values).parameters == {}


def test_what_uses_a_wrong_parameter_is_not_called_wrong_too(tmp_path: Path) -> None:
    text = declaring("force: {type: integer, default: 3, maximum: 2}")
    text = text.replace("force: 3}\n", 'force: "${force}"}\n').replace("hold: 1s", "hold: ${force}")
    (said,) = problems(tmp_path, text)
    assert "3 is out of range: at most 2" in said
