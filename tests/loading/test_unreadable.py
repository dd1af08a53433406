"""Files that are no text, no YAML worth reading, or hostile: one sentence, quickly."""

from __future__ import annotations

import codecs
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaosrun.loading import Invalid, load_file
from tests.loading.making import SMALL, changed, load, problems

SLOW = 5.0  # seconds of the processor, since this machine may be busy; each takes far less


@contextmanager
def quickly() -> Iterator[None]:
    began = time.process_time()
    yield
    assert time.process_time() - began < SLOW


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing yet\n", "---\n", "null\n"])
def test_an_empty_file_is_called_empty(tmp_path: Path, text: str) -> None:
    (said,) = problems(tmp_path, text)
    assert "the file is empty" in said


def test_an_empty_json_file_is_called_empty(tmp_path: Path) -> None:
    assert "the file is empty" in problems(tmp_path, " \n", "file.json")[0]


def test_a_missing_file_is_named_with_the_one_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / "checkout.yaml").write_text(SMALL)
    with pytest.raises(Invalid) as caught:
        load_file(tmp_path / "chekout.yaml")
    (problem,) = caught.value.problems
    assert (problem.line, problem.message) == (0, "no such file")
    assert problem.suggestion == f"did you mean `{tmp_path / 'checkout.yaml'}`?"


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is a directory, not a file"):
        load_file(tmp_path)


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    file = tmp_path / "secret.yaml"
    file.write_text(SMALL)
    file.chmod(0)
    for folder in (tmp_path, *tmp_path.parents):  # another user must get this far
        if folder.stat().st_uid == os.geteuid() and str(folder) not in ("/", "/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    with _without_privileges(), pytest.raises(Invalid, match="cannot be read: permission denied"):
        load_file(file)


@contextmanager
def _without_privileges() -> Iterator[None]:
    """As another user where we are root, whom nothing is forbidden."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_name_that_no_file_can_have_is_refused() -> None:
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(Invalid):
            load_file(name)


def test_a_byte_order_mark_of_utf8_is_not_in_the_way(tmp_path: Path) -> None:
    loaded = load(tmp_path, codecs.BOM_UTF8 + SMALL.encode())
    assert loaded.experiment.metadata.name == "small"
    wrong = codecs.BOM_UTF8 + SMALL.replace("apiVersion", "apiversion").encode()
    assert problems(tmp_path, wrong)[0].startswith("1:1 unknown key")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_another_encoding_is_told_to_be_saved_as_utf8(tmp_path: Path, encoding: str) -> None:
    (said,) = problems(tmp_path, SMALL.encode(encoding))
    assert "save it as UTF-8" in said or "is binary" in said


def test_bytes_that_are_not_utf8_are_pointed_at(tmp_path: Path) -> None:
    text = SMALL.encode().replace(b"A small", "Ein größeres".encode("latin-1"))
    assert problems(tmp_path, text) == ["5:16 is not UTF-8: here is byte 0xf6 = save it as UTF-8"]


def test_binary_is_called_binary(tmp_path: Path) -> None:
    assert problems(tmp_path, b"\x7fELF\x02\x01\x01\0\0") == ["1:8 is binary: here is a zero byte"]


def test_control_characters_are_refused(tmp_path: Path) -> None:
    (said,) = problems(tmp_path, SMALL.replace("A small", "A \x07 small"))
    assert said.startswith("5:12 the control character U+0007")


def test_ten_megabytes_are_not_read(tmp_path: Path) -> None:
    with quickly():
        (said,) = problems(tmp_path, "a: text\n" * 1_300_000)
    assert "is larger than 1 MiB" in said


HOSTILE = {
    "deep flow lists": "a: " + "[" * 500_000,
    "deep flow mappings": "a: " + "{a: " * 200_000,
    "deep block lists": "- " * 400_000 + "a",
    "deep block mappings": "".join(" " * i + "a:\n" for i in range(1000)),
    "many values": "- a\n" * 250_000,
    "many keys": "".join(f"k{i}: 1\n" for i in range(60_000)),
    "alias bomb": "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30)),
    "alias bomb of texts": "a: &a " + "x" * 100_000 + "\nb: [" + "*a, " * 60_000 + "]\n",
    "deep aliases": "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 3000)),
    "a long key": "k" * 900_000 + ": 1\n",
    "a long number": "a: " + "1" * 900_000,
    "question marks": "? " * 400_000,
    "anchors": "".join(f"&a{i} " for i in range(100_000)),
    "comments": "#\n" * 500_000,
    "quotes": '"' * 1_000_000,
    "percent signs": "%\n" * 300_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_refused_quickly(tmp_path: Path, name: str) -> None:
    with quickly():
        assert problems(tmp_path, HOSTILE[name])


def test_hostile_json_is_refused_quickly(tmp_path: Path) -> None:
    for text in ("[" * 500_000, '{"a":' * 150_000, "[1," * 300_000, "[" + "1," * 400_000, '"' * 9):
        with quickly():
            assert problems(tmp_path, text, "file.json")


STEPS = "".join(f"    - {{name: s{i}, fault: practice.pusj, after: [x{i}]}}\n" for i in range(8000))
HOSTILE_EXPERIMENTS = {
    "dollars": changed(("A small experiment", "$" * 900_000)),
    "open references": changed(("A small experiment", "${" * 400_000)),
    "unresolved references": changed(("A small experiment", "${a}" * 200_000)),
    "a long duration": changed(("hold: 1s", f"hold: '{'1' * 900_000}x'")),
    "a long share": changed(("hold: 1s", f"hold: 1s\n  limits: {{share: '{'1' * 900_000}'}}")),
    "a long pick": changed(("{name: thing}", f"{{name: thing, pick: '{'9' * 900_000}'}}")),
    "a long name": changed(("{name: small}", f"{{name: {'a' * 900_000}!}}")),
    "a long expectation": changed(("status == 200", "(" * 500_000)),
    "many expectations": changed(("status == 200", "status == 200 " + "&& ok" * 180_000)),
    "a slow pattern": changed(
        ("{}", "{p: {type: string, default: " + "a" * 5000 + "!, pattern: '^((a+)+)+$'}}")
    ),
    "growing parameters": changed(
        (
            "{}",
            "{p0: {type: string, default: xxxxxxxxxx}, "
            + ", ".join(
                f"p{i}: {{type: string, default: '{f'${{p{i - 1}}}' * 10}'}}" for i in range(1, 20)
            )
            + "}",
        )
    ),
    "a chain of parameters": changed(
        (
            "{}",
            "{"
            + ", ".join(f"p{i}: {{type: string, default: '${{p{i + 1}}}'}}" for i in range(3000))
            + "}",
        )
    ),
    "large parameters": changed(
        ("{}", "{p: {type: string, default: " + "x" * 60_000 + "}}"),
        ("A small experiment", "${p}" * 200_000),
    ),
    "many steps": SMALL + STEPS,
    "unknown keys": SMALL + "".join(f"  k{i}: 1\n" for i in range(20_000)),
    "cycles": SMALL
    + "".join(f"    - {{name: s{i}, fault: a, after: [s{i ^ 1}]}}\n" for i in range(900)),
    "a long cycle": SMALL
    + "".join(f"    - {{name: s{i}, fault: a, after: [s{(i + 1) % 900}]}}\n" for i in range(900)),
}


@pytest.mark.parametrize("name", HOSTILE_EXPERIMENTS)
def test_a_hostile_experiment_is_refused_quickly(tmp_path: Path, name: str) -> None:
    with quickly():
        assert problems(tmp_path, HOSTILE_EXPERIMENTS[name])


def test_at_most_100_problems_are_kept_and_the_rest_is_counted(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        load(tmp_path, SMALL + "".join(f"  k{i}: 1\n" for i in range(250)))
    assert len(caught.value.problems) == 100
    assert caught.value.count == 250
