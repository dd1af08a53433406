"""What a valid file becomes, and that YAML and JSON are read as their standards say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from chaosrun.loading import check_files, load_any
from chaosrun.units import Duration, Share
from tests.loading.making import SMALL, changed, load, problems


def test_a_small_file_becomes_a_typed_experiment(tmp_path: Path) -> None:
    loaded = load(tmp_path, SMALL)
    spec = loaded.experiment.spec
    assert spec.title == "A small experiment"
    assert spec.method[0].hold == Duration(1)
    assert spec.steady_state[0].tolerate == Share(0)
    assert loaded.source == str(tmp_path / "file.yaml")
    assert len(loaded.digest) == 64


def test_the_digest_is_that_of_the_meaning_and_not_of_the_writing(tmp_path: Path) -> None:
    same = load(tmp_path, SMALL).digest
    assert load(tmp_path, "# a comment\n" + SMALL.replace("1s", "1000ms")).digest == same
    assert load(tmp_path, SMALL.replace("1s", "2s")).digest != same


def test_json_and_yaml_of_one_experiment_are_the_same(tmp_path: Path) -> None:
    text = json.dumps(yaml.safe_load(SMALL), indent="\t")
    assert load(tmp_path, text, "file.json").digest == load(tmp_path, SMALL).digest
    assert load(tmp_path, text, "json-is.yaml").digest == load(tmp_path, SMALL).digest


def test_json_is_read_exactly(tmp_path: Path) -> None:
    data = yaml.safe_load(SMALL)
    data["spec"]["title"] = 'Ünï "quoted" \\ / \t 😀'
    data["metadata"]["labels"] = {"k" * 2000: "long keys are fine"}
    for text in (json.dumps(data), json.dumps(data, ensure_ascii=False)):
        loaded = load(tmp_path, text.replace("/", "\\/"), "file.json")
        assert loaded.experiment.spec.title == data["spec"]["title"]
        assert loaded.experiment.metadata.labels == data["metadata"]["labels"]


@pytest.mark.parametrize(
    "written",
    ["no", "on", "yes", "off", "12:30", "0b101", "1_000", "2026-01-31", "0o9", "=", "1.2.3", "-"],
)
def test_what_yaml_1_2_calls_text_stays_text(tmp_path: Path, written: str) -> None:
    text = changed(("force: 3", f"force: 3, tags: {{a: {written}}}"))
    if written == "-":
        text = text.replace("a: -", "a: '-'")
    assert load(tmp_path, text).experiment.spec.method[0].with_["tags"] == {"a": written}


@pytest.mark.parametrize(
    ("written", "number"), [("010", 10), ("0x1F", 31), ("0o17", 15), ("+5", 5), ("1e1", 10.0)]
)
def test_numbers_are_those_of_yaml_1_2(tmp_path: Path, written: str, number: float) -> None:
    text = changed(("force: 3", f"force: 3, factor: {written}"))
    assert load(tmp_path, text).experiment.spec.method[0].with_["factor"] == number


def test_anchors_and_aliases_are_read(tmp_path: Path) -> None:
    text = changed(("{force: 3}", "&arguments {force: 3}"))
    text += "    - {name: again, fault: practice.push, target: {name: b}, with: *arguments}\n"
    first, second = load(tmp_path, text).experiment.spec.method
    assert first.with_ == second.with_


def test_windows_line_ends_do_not_move_places(tmp_path: Path) -> None:
    text = SMALL.replace("hold: 1s", "hold: 1").replace("\n", "\r\n")
    assert problems(tmp_path, text)[0].startswith("18:13 a duration needs a unit")


def test_places_count_characters_and_not_bytes(tmp_path: Path) -> None:
    text = changed(("{name: thing}", "{name: 'größe 😀', pick: 0}"))
    assert problems(tmp_path, text)[0].startswith("16:39 a pick is at least 1")


def test_duplicate_gates_are_fine(tmp_path: Path) -> None:
    text = SMALL + "  gates: [practice.open: {}, practice.open: {atLeast: 2}]\n"
    assert len(load(tmp_path, text).experiment.spec.gates) == 2


def test_an_irreversible_fault_that_is_accepted_by_name_is_valid(tmp_path: Path) -> None:
    text = SMALL + "    - {name: drop, fault: practice.drop}\n"
    assert "cannot be undone" in problems(tmp_path, text)[0]
    loaded = load(tmp_path, text + "  acceptIrreversible: [practice.drop]\n")
    assert loaded.experiment.spec.accept_irreversible == ("practice.drop",)


def test_a_graph_that_forks_and_joins_is_valid_and_its_longest_path_counts(tmp_path: Path) -> None:
    text = changed(("hold: 1s", "hold: 10s"))
    for name, after, hold in (("a", "[push]", 20), ("b", "[push]", 30), ("c", "[a, b]", 5)):
        text += f"    - {{name: {name}, fault: practice.maybe, after: {after}, hold: {hold}s}}\n"
    assert problems(tmp_path, text + "  limits: {duration: 45s}\n") == []
    (said,) = problems(tmp_path, text + "  limits: {duration: 44s}\n")
    assert "holds faults for 45s" in said


def test_a_directory_stands_for_the_files_in_it(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("b.yaml", "inner/a.yml", "c.json", "notes.txt", ".hidden/x.yaml"):
        (tmp_path / name).write_text(SMALL)
    results = check_files([tmp_path])
    assert [Path(result.file).name for result in results] == ["b.yaml", "c.json", "a.yml"]
    assert [result.count for result in results] == [0, 1, 0]
    assert results[0].loaded is not None


def test_a_directory_without_files_is_a_problem(tmp_path: Path) -> None:
    (result,) = check_files([tmp_path])
    assert result.problems[0].message == "no file here ends in .yaml, .yml or .json"


def test_every_file_is_checked_whatever_is_wrong_with_others(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(SMALL)
    results = check_files([tmp_path / "none.yaml", tmp_path / "good.yaml"])
    assert [bool(result.loaded) for result in results] == [False, True]


def test_the_experiments_of_the_lab_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(__file__).parents[2] / "experiments"
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("WRONG_PASSWORD", "needed to be valid here")
    for file in sorted(folder.rglob("*.yaml")):
        if file.name != "compose.yaml":  # what they are run on
            load_any(file)
