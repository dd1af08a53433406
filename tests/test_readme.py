"""What the pages show is true: the example is valid, and the fault of CONTRIBUTING is a fault."""

from __future__ import annotations

import importlib
import random
import re
from pathlib import Path

import pytest

from chaosrun import codec
from chaosrun.fault import AnyFault, Hold
from chaosrun.loading import load_file
from tools import readme

ROOT = readme.ROOT


def block(page: str, language: str, having: str) -> str:
    """The page's one block of that language that has those words."""
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    (found,) = [text for text in blocks if having in text]
    return str(found)


def test_the_experiment_of_the_readme_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "needed to be valid here")
    file = tmp_path / "experiment.yaml"
    file.write_text(block("README.md", "yaml", "kind: Experiment"))
    assert load_file(str(file)).experiment.metadata.name == "checkout-with-a-slow-backend"


def test_the_fault_of_contributing_does_and_undoes_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = tmp_path / "flag"
    flag.write_text("on")
    (tmp_path / "flag_fault.py").write_text(block("CONTRIBUTING.md", "python", "class FlagOff"))
    monkeypatch.syspath_prepend(tmp_path)
    kind: type[AnyFault] = importlib.import_module("flag_fault").FlagOff
    fault = codec.from_plain({"path": str(flag)}, kind)

    hold = codec.from_json(codec.to_json(fault.plan(None, random.Random(1))), Hold)
    kind.revert(hold, None)
    kind.inject(hold, None)
    assert kind.took_effect(hold, None).seen
    assert not kind.restored(hold, None).seen
    kind.revert(hold, None)
    assert kind.restored(hold, None).seen
    assert flag.read_text() == "on"


def test_a_drifted_table_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "README.md"
    copy.write_text(readme.README.read_text().replace("`chaosrun doctor`", "`chaosrun nurse`"))
    monkeypatch.setattr(readme, "README", copy)
    assert readme.main("check") == 1
    assert "-|" in capsys.readouterr().out
    assert readme.main("write") == 0
    assert readme.main("check") == 0
