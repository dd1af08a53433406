"""The schemas are what the types say, and an editor that follows them is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from chaosrun import discovery, schema

ROOT = Path(__file__).parents[2]
EXPERIMENT = """\
apiVersion: chaosrun.dev/v1
kind: Experiment
metadata: {name: small}
spec:
  title: A small experiment
  parameters: {hold: {type: duration, default: 1s}}
  secrets: {token: {env: SHOP_TOKEN}}
  steadyState:
    - name: it answers
      probe: http
      with: {url: "http://127.0.0.1/", timeout: "${hold}"}
      every: ${hold}
      expect: status == 200
  method:
    - name: pause
      fault: host.process-pause
      target: {command: "shop --port"}
      hold: ${hold}
  limits: {targets: "${hold}", share: "${hold}"}
"""


@pytest.fixture(scope="module")
def validator() -> Any:
    return jsonschema.Draft202012Validator(schema.experiment())


def errors(validator: Any, text: str) -> list[str]:
    return [error.message for error in validator.iter_errors(yaml.safe_load(text))]


@pytest.mark.parametrize("name", schema.SCHEMAS)
def test_each_is_a_schema_whose_references_all_lead_somewhere(name: str) -> None:
    made = schema.SCHEMAS[name]()
    jsonschema.Draft202012Validator.check_schema(made)
    for reference in _references(made):
        assert reference.removeprefix("#/$defs/") in made["$defs"]


def _references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [found for item in part for found in _references(item)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [found for value in part.values() for found in _references(value)]


def test_valid_experiments_satisfy_the_schema(validator: Any) -> None:
    files = sorted((ROOT / "experiments").rglob("*.yaml"))
    texts = [file.read_text() for file in files if file.name != "compose.yaml"]
    for text in [EXPERIMENT, *(text for text in texts if "\nkind: Experiment\n" in text)]:
        assert errors(validator, text) == []


@pytest.mark.parametrize(("kind", "made"), [("Schedule", "schedule"), ("Suite", "suite")])
def test_valid_schedules_and_suites_satisfy_theirs(kind: str, made: str) -> None:
    validator = jsonschema.Draft202012Validator(schema.SCHEMAS[f"{made}.schema.json"]())
    folders = [ROOT / "experiments", ROOT / "deploy"]
    texts = [file.read_text() for folder in folders for file in sorted(folder.rglob("*.yaml"))]
    found = [text for text in texts if f"\nkind: {kind}\n" in f"\n{text}"]
    assert found
    for text in found:
        assert errors(validator, text) == []
    assert errors(validator, found[0].replace("title:", "titel:"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("title:", "titel:"),
        ("url:", "uri:"),
        ('timeout: "${hold}"', "timeout: 5"),
        ("every: ${hold}", "every: soon"),
        ("{command:", "{comand:"),
        ("      target:", "      with: {forse: 1}\n      target:"),
        ("{env: SHOP_TOKEN}", "{env: SHOP_TOKEN, file: a}"),
        ("probe: http\n", "probe: tcp\n"),
        ("name: small", "name: Not A Name"),
    ],
)
def test_mistakes_are_underlined(validator: Any, before: str, after: str) -> None:
    assert before in EXPERIMENT
    assert errors(validator, EXPERIMENT.replace(before, after, 1))


def test_arguments_and_targets_follow_the_name(validator: Any) -> None:
    text = EXPERIMENT.replace("      target:", "      taget:")
    assert any("taget" in message for message in errors(validator, text))
    without = EXPERIMENT.replace('      target: {command: "shop --port"}\n', "")
    assert any("'target' is a required property" in said for said in errors(validator, without))


def test_names_of_other_packages_are_not_underlined(validator: Any) -> None:
    text = EXPERIMENT.replace("host.process-pause", "other.thing")
    assert errors(validator, text) == []


def test_every_built_in_name_is_offered_with_what_it_does() -> None:
    made = schema.experiment()["$defs"]
    for part, key, table in (("Step", "fault", "faults"), ("Check", "probe", "probes")):
        offered = {one.get("const"): one for one in made[part]["properties"][key]["anyOf"]}
        built_in = {n for p in discovery.builtin_providers() for n in getattr(p, table)}
        assert set(offered) - {None} == built_in
        assert all(one["description"] for one in offered.values())


def test_every_example_of_a_provider_satisfies_the_schema(validator: Any) -> None:
    text = yaml.safe_load(EXPERIMENT)
    for provider in discovery.builtin_providers():
        for name in provider.faults:
            step = {"name": "it", "fault": name, **discovery.fault(name).example}
            data = {**text, "spec": {**text["spec"], "method": [step]}}
            assert [error.message for error in validator.iter_errors(data)] == [], name
        for name in provider.probes:
            check = {"name": "it", "probe": name, **discovery.probe(name).example}
            data = {**text, "spec": {**text["spec"], "steadyState": [check]}}
            assert [error.message for error in validator.iter_errors(data)] == [], name


def test_drift_is_found_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "schemas"
    assert schema.main(["check", str(folder)]) == 1
    assert schema.main(["write", str(folder)]) == 0
    assert schema.main(["check", str(folder)]) == 0
    file = folder / "experiment.schema.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "title": "changed by hand"}))
    capsys.readouterr()
    assert schema.main(["check", str(folder)]) == 1
    said = capsys.readouterr().err
    assert "experiment.schema.json is not what the types say" in said
    assert "make schemas" in said
    assert schema.main([]) == 2


def test_the_schemas_of_the_project_are_what_the_types_say() -> None:
    assert schema.drifted(ROOT / "schemas") == []
