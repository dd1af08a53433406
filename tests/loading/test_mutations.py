"""Whatever happens to a file, loading it gives an experiment or problems, and soon."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosrun import discovery
from chaosrun.loading import Invalid, Loaded, load_file
from tests.loading.making import SMALL

RICH = (
    SMALL.replace("parameters: {}", "parameters:\n    hold: {type: duration, default: 2s}")
    .replace("secrets: {}", "secrets: {token: {command: [sh]}}")
    .replace("hold: 1s", "hold: ${hold}\n      after: []")
    .replace('1/"}', '1/", headers: {a: "${secrets.token}"}}')
    + "  abortWhen:\n    - name: hurts\n      probe: practice.look\n"
    + "      with: {url: http://127.0.0.1/}\n      when: value > 1.0\n"
    + "  limits: {share: 50%}\n  gates: [practice.open: {}]\n"
)
PIECES = (
    "${", "}", "{", "[", "]", ":", ": ", "- ", "\n", "\n  ", "\t", "'", '"', "&a ", "*a", "!!x ",
    "|\n", ">", "#", "?", "<<: ", "%", "@", "---\n", "...\n", "\\", "~", "0", "-1", ".nan", "1e999",
    "é", "😀", "\u2028", "\x85", "\ufeff", "\x00", "\x07", "$${secrets.x}", "null", "${hold}",
)  # fmt: skip


def outcome(content: bytes, name: str = "file.yaml") -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        try:
            assert isinstance(load_file(file), Loaded)
            return
        except Invalid as error:
            problems = error.problems
    assert problems
    for problem in problems:
        assert problem.message
        assert problem.message.isprintable()
        assert (problem.line > 0) == (problem.column > 0)


def test_the_file_that_is_mutated_is_valid(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text(RICH)
    load_file(tmp_path / "file.yaml")


EDITS = st.lists(
    st.tuples(st.integers(0, len(RICH)), st.integers(0, 12), st.sampled_from(PIECES)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=400)
@given(EDITS)
def test_pieces_of_yaml_anywhere_never_give_a_traceback(edits: list[tuple[int, int, str]]) -> None:
    text = RICH
    for position, removed, inserted in edits:
        text = text[:position] + inserted + text[position + removed :]
    outcome(text.encode())


@settings(max_examples=150)
@given(st.binary(max_size=60), st.integers(0, len(RICH)))
def test_bytes_anywhere_never_give_a_traceback(junk: bytes, position: int) -> None:
    content = RICH.encode()
    outcome(content[:position] + junk + content[position:])


@settings(max_examples=100)
@given(EDITS)
def test_broken_json_never_gives_a_traceback(edits: list[tuple[int, int, str]]) -> None:
    text = json.dumps(yaml.safe_load(RICH))
    for position, removed, inserted in edits:
        position %= len(text)
        text = text[:position] + inserted + text[position + removed :]
    outcome(text.encode(), "file.json")


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["1s", "33%", "practice.push", "push", "${hold}", "${secrets.token}"])
    | st.sampled_from(["ok", "status == 200", "~x/y", "[", "http://[", "a\0b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)  # fmt: skip


NAMED = {
    name: (table, name)
    for provider in discovery.builtin_providers()
    for table in ("faults", "probes", "gates", "secrets")
    for name in getattr(provider, table)
}


@settings(max_examples=400)
@given(st.sampled_from(sorted(NAMED.values())), st.randoms(use_true_random=False), VALUES)
def test_any_argument_of_what_comes_with_chaosrun_never_gives_a_traceback(
    named: tuple[str, str], random: Any, value: object
) -> None:
    table, name = named
    data = yaml.safe_load(RICH)
    spec = data["spec"]
    if table == "secrets":
        spec["secrets"]["token"] = {name: value}
    elif table == "gates":
        arguments = dict(discovery.gate(name).example) or {"with": {}}
        spec["gates"] = [{name: _with_one_changed(arguments.get(name, arguments), random, value)}]
    else:
        kind: Any = discovery.fault(name) if table == "faults" else discovery.probe(name)
        part = spec["method" if table == "faults" else "steadyState"][0]
        example = json.loads(json.dumps(kind.example))
        changed = random.choice([key for key in ("with", "target") if key in example])
        example[changed] = _with_one_changed(example[changed], random, value)
        part |= {table[:-1]: name, "target": {}, **example}
        if table == "probes":
            del part["target"]
    outcome(json.dumps(data).encode(), "file.json")


def _with_one_changed(arguments: dict[str, Any], random: Any, value: object) -> dict[str, Any]:
    key = random.choice([*arguments, "other"])
    return {**arguments, key: value}


@settings(max_examples=400)
@given(st.randoms(use_true_random=False), VALUES)
def test_any_value_in_any_place_never_gives_a_traceback(random: Any, value: object) -> None:
    data = yaml.safe_load(RICH)
    place: Any = data
    while True:
        key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
        deeper = isinstance(place[key], dict | list) and place[key] and random.random() < 0.9
        if not deeper:
            break
        place = place[key]
    place[key] = value
    outcome(json.dumps(data).encode(), random.choice(["file.json", "file.yaml"]))
