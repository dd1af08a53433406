"""Policies from files: where they are found, that they add up, and what is wrong with them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from chaosrun import discovery
from chaosrun.errors import exit_code
from chaosrun.loading import Invalid
from chaosrun.loading.policies import BrokenPolicy, find_policies, load_policy
from chaosrun.policy.merging import rulings_of
from chaosrun.policy.policies import Policies
from chaosrun.switches import Source

POLICY = """\
apiVersion: chaosrun.dev/v1
kind: Policy
metadata: {{name: {name}}}
spec:
  limits: {{targets: {targets}}}
"""


def write(path: Path, text: str = "", *, targets: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or POLICY.format(name=path.stem, targets=targets), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHAOSRUN_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def find(tmp_path: Path, *named: Path, variable: str = "") -> Policies:
    return find_policies(
        [str(path) for path in named],
        environ={"CHAOSRUN_POLICY": variable},
        system=tmp_path / "etc",
    )


def names(found: Policies) -> list[str]:
    return [one.source.name for one in found.documents]


def test_without_any_policy_there_is_none(tmp_path: Path) -> None:
    assert find(tmp_path) == Policies()


def test_what_is_found_in_every_place_adds_up(tmp_path: Path, state: Path) -> None:
    write(tmp_path / "etc" / "company.yaml", targets=2)
    write(state / "policy.d" / "mine.yaml")
    by_variable = write(tmp_path / "x" / "variable.yaml")
    also = write(tmp_path / "y" / "also.json",
                 '{"apiVersion": "chaosrun.dev/v1", "kind": "Policy", "metadata": {"name": "also"},'
                 ' "spec": {}}')  # fmt: skip
    named = write(tmp_path / "named.yaml", targets=9)
    found = find(tmp_path, named, variable=f"{by_variable}{os.pathsep}{also.parent}")
    assert names(found) == ["company", "mine", "variable", "also", "named"]
    assert [ruling.source for ruling in found.rulings] == [
        f"company, {tmp_path}/etc/company.yaml"
    ], "the strictest stands"


def test_a_policy_of_the_organisation_is_not_dropped_by_naming_another(tmp_path: Path) -> None:
    write(tmp_path / "etc" / "company.yaml", targets=1)
    found = find(tmp_path, write(tmp_path / "loose.yaml", targets=100))
    assert [ruling.rule.limit for ruling in found.rulings] == ["at most 1 target over all steps"]


def test_a_file_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    policy = write(tmp_path / "p.yaml")
    assert names(find(tmp_path, policy, policy, variable=str(policy))) == ["p"]


def test_files_of_a_directory_are_taken_in_order_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", ".hidden.yaml", "notes.txt"):
        write(tmp_path / "d" / name)
    assert names(find(tmp_path, tmp_path / "d")) == ["a", "b"]


@pytest.mark.parametrize("text", ["", "spec: [", "kind: Policy", "\x00", "- 1"])
def test_a_policy_that_is_wrong_refuses_everything(tmp_path: Path, text: str) -> None:
    write(tmp_path / "etc" / "good.yaml")
    (tmp_path / "etc" / "broken.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(BrokenPolicy, match="a policy is broken") as caught:
        find(tmp_path)
    assert caught.value.problems
    assert exit_code(caught.value) == 3


def test_a_policy_that_is_named_and_not_there_refuses_everything(tmp_path: Path) -> None:
    with pytest.raises(BrokenPolicy, match="there is no such policy"):
        find(tmp_path, tmp_path / "missing.yaml")
    with pytest.raises(BrokenPolicy, match="there is no such policy"):
        find(tmp_path, variable=str(tmp_path / "missing.yaml"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BrokenPolicy, match="no file here ends in"):
        find(tmp_path, tmp_path / "empty")


def test_a_directory_that_cannot_be_looked_into_refuses_everything(tmp_path: Path) -> None:
    write(tmp_path / "etc")  # a file where the directory should be is read as a policy
    assert names(find(tmp_path)) == ["etc"]
    (tmp_path / "etc").unlink()
    (tmp_path / "etc").symlink_to("etc")  # a loop
    with pytest.raises(BrokenPolicy, match="cannot be read"):
        find(tmp_path)


def test_every_problem_of_every_policy_is_told_at_once(tmp_path: Path) -> None:
    write(tmp_path / "etc" / "a.yaml", POLICY.format(name="a", targets=-1))
    write(tmp_path / "etc" / "b.yaml", POLICY.format(name="b", targets=1) + "  freezs: []\n")
    with pytest.raises(BrokenPolicy) as caught:
        find(tmp_path)
    assert [(p.file.rpartition("/")[2], p.line, p.suggestion) for p in caught.value.problems] == [
        ("a.yaml", 5, ""),
        ("b.yaml", 6, "did you mean `freezes`?"),
    ]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("  gates: [{windw: {timezone: UTC}}]\n", "4:11 unknown gate `windw` = did you mean"),
        ("  gates: [{window: {timezone: Mars}}]\n", "Mars"),
        ("  halt: {sources: [{file: {}}]}\n", "`path` is missing"),
        ("  halt: {sources: [{fil: {path: x}}]}\n", "unknown halt source `fil`"),
        ("  protect: [{}]\n", "say which targets"),
        ("  requires: {ticket: '('}\n", "not a regular expression"),
        ("  windows: [{timezone: UTC, hours: ['9-17']}]\n", "`hours` '9-17'"),
        ("  overrides: [{rules: [], by: [ann]}]\n", "must not be empty"),
        ("  limits: {share: 34}\n", "percent sign"),
        ("  minimumGap: 3600\n", "a duration needs a unit"),
        ("  secrets: {token: {env: A, file: B}}\n", "one source"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, spec: str, said: str) -> None:
    head = "apiVersion: chaosrun.dev/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n"
    file = write(tmp_path / "p.yaml", head.replace("spec:\n", "spec:\n") + spec)
    with pytest.raises(Invalid) as caught:
        load_policy(file)
    told = [
        f"{p.line}:{p.column} {p.message}" + (f" = {p.suggestion}" if p.suggestion else "")
        for p in caught.value.problems
    ]
    assert len(told) == 1, told
    assert said.removeprefix("4:11 ") in told[0]
    assert told[0].startswith("5:")


def test_an_experiment_is_no_policy(tmp_path: Path) -> None:
    file = write(tmp_path / "e.yaml", "apiVersion: chaosrun.dev/v1\nkind: Experiment\n")
    with pytest.raises(Invalid, match="unknown kind `Experiment`"):
        load_policy(file)


def test_the_digest_is_that_of_the_text(tmp_path: Path) -> None:
    first = load_policy(write(tmp_path / "a.yaml")).source
    again = load_policy(write(tmp_path / "a.yaml")).source
    other = load_policy(write(tmp_path / "a.yaml", targets=4)).source
    assert first == again != other


def test_the_policy_in_the_readme_is_valid(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (text,) = [part for part in readme.split("```") if "\nkind: Policy\n" in part]
    found = load_policy(write(tmp_path / "p.yaml", text.removeprefix("yaml\n")))
    assert len(rulings_of(found.policy.spec, "readme")) > 15


@pytest.mark.parametrize("name", discovery.names("halts"))
def test_the_example_of_every_halt_source_is_valid(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    example = discovery.halt_source(name).example
    head = POLICY.format(name="p", targets=1)
    text = f"{head}  halt: {{sources: [{{{name}: {json.dumps(example)}}}]}}\n"
    if "secrets." in text:
        text += "  secrets: {token: {env: TOKEN}}\n"
    (demanded,) = find(tmp_path, write(tmp_path / "p.yaml", text)).halts()
    source = Source(demanded)
    assert source.every > 0
    assert source.timeout > 0
