"""Problems are shown to people with a caret, to programs as JSON, to GitHub as annotations."""

from __future__ import annotations

import json

from chaosrun.loading import Problem
from chaosrun.loading.rendering import as_github, as_json, as_text

PROBLEM = Problem(
    file="a.yaml", line=12, column=3, message="unknown key `steadystate`",
    suggestion="did you mean `steadyState`?", source_line="  steadystate:", code="unknown-key",
)  # fmt: skip


def test_a_person_sees_the_line_a_caret_and_what_would_help() -> None:
    assert as_text([PROBLEM]) == (
        "a.yaml:12:3: unknown key `steadystate`\n"
        " 12 |   steadystate:\n"
        "    |   ^\n"
        "    = did you mean `steadyState`?"
    )


def test_a_problem_of_a_whole_file_has_no_line() -> None:
    assert as_text([Problem(file="b.yaml", message="no such file")]) == "b.yaml: no such file"


def test_problems_are_apart_and_the_rest_is_counted() -> None:
    text = as_text([PROBLEM, PROBLEM], count=12)
    assert text.count("\n\n") == 2
    assert text.endswith("\n\n... and 10 more")


def test_the_caret_is_under_wide_letters_and_tabs() -> None:
    problem = Problem(file="a", line=1, column=5, message="m", source_line="\t日本 x")
    _, line, caret = as_text([problem]).split("\n")
    assert line == " 1 | \t日本 x"
    assert caret == "   | \t     ^"


def test_a_long_line_is_cut_around_its_column() -> None:
    problem = Problem(file="a", line=1, column=301, message="m", source_line="x" * 300 + "y" * 200)
    _, line, caret = as_text([problem]).split("\n")
    assert len(line) < 120
    assert line[caret.index("^")] == "y"
    assert line[caret.index("^") - 1] == "x"


def test_control_characters_of_a_file_do_not_reach_the_terminal() -> None:
    problem = Problem(file="a\x1b[2J", line=1, column=1, message="m", source_line="\x1b[31mred\x9b")
    assert "\x1b" not in as_text([problem])
    assert "\x9b" not in as_text([problem])


def test_colour_is_only_there_when_asked_for() -> None:
    coloured = as_text([PROBLEM], colour=True)
    assert "\x1b[31m" in coloured
    assert "\x1b" not in as_text([PROBLEM])


def test_programs_read_a_list_of_objects() -> None:
    (read,) = json.loads(as_json([PROBLEM]))
    assert read == {
        "file": "a.yaml", "line": 12, "column": 3, "message": "unknown key `steadystate`",
        "suggestion": "did you mean `steadyState`?", "source_line": "  steadystate:",
        "code": "unknown-key",
    }  # fmt: skip
    assert json.loads(as_json([])) == []


def test_github_gets_workflow_commands_with_everything_escaped() -> None:
    problem = Problem(file="a,b:c.yaml", line=1, column=2, message="100%\nof it", suggestion="x: y")
    assert as_github([PROBLEM, problem]).split("\n") == [
        "::error file=a.yaml,line=12,col=3::unknown key `steadystate` "
        "(did you mean `steadyState`?)",
        "::error file=a%2Cb%3Ac.yaml,line=1,col=2::100%25%0Aof it (x: y)",
    ]
    assert as_github([Problem(file="a", message="m")]) == "::error file=a::m"
