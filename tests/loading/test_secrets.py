"""Secrets: checked but not read into the experiment, put in late, scrubbed from all else."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chaosrun.errors import Refused
from chaosrun.secrets import HIDDEN, resolve, scrub, substitute
from chaosrun.units import Secret
from tests.loading.making import changed, load, problems

DECLARED = ("secrets: {}", "secrets: {token: {env: SHOP_TOKEN}}")


def test_a_reference_stays_a_reference_and_the_value_is_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "hunter2hunter2")
    text = changed(DECLARED, ('{url: "http://127.0.0.1/"}', '{url: "http://${secrets.token}/"}'))
    loaded = load(tmp_path, text)
    (check,) = loaded.experiment.spec.steady_state
    assert check.with_ == {"url": "http://${secrets.token}/"}
    assert "hunter2" not in repr(loaded)
    secrets = resolve(loaded.experiment.spec.secrets)
    assert substitute(check.with_, secrets) == {"url": "http://hunter2hunter2/"}


def test_problems_never_show_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "hunter2hunter2")
    text = changed(DECLARED, ("force: 3", 'force: "${secrets.token}", delay: "${secrets.token}"'))
    said = problems(tmp_path, text)
    assert len(said) == 2
    assert "hunter2" not in str(said)


@pytest.mark.parametrize("empty", ["", "   ", "\n"])
def test_an_empty_variable_is_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: str
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", empty)
    (said,) = problems(tmp_path, changed(DECLARED))
    assert said == "7:26 environment variable SHOP_TOKEN is empty"


def test_an_escaped_reference_arrives_as_plain_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "hunter2hunter2")
    text = changed(
        DECLARED,
        ("parameters: {}", "parameters: {p: {type: string, default: '${secrets.token}'}}"),
    ).replace("default: '${", "default: '$${")
    text = text.replace(
        '{url: "http://127.0.0.1/"}',
        '{url: "http://a", headers: {a: "$${secrets.token}", b: "${p}", c: "$$${secrets.token}"}}',
    )
    loaded = load(tmp_path, text)
    (check,) = loaded.experiment.spec.steady_state
    secrets = resolve(loaded.experiment.spec.secrets)
    assert substitute(check.with_["headers"], secrets) == {
        "a": "${secrets.token}",
        "b": "${secrets.token}",
        "c": "$hunter2hunter2",
    }


def test_parameters_cannot_be_put_together_to_a_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "hunter2hunter2")
    text = changed(
        DECLARED,
        ("parameters: {}", "parameters: {d: {type: string, default: $}}"),
        (
            '{url: "http://127.0.0.1/"}',
            '{url: "http://a", headers: {a: "${d}{secrets.token}", b: "${d}${secrets.token}"}}',
        ),
    )
    loaded = load(tmp_path, text)
    secrets = resolve(loaded.experiment.spec.secrets)
    headers = loaded.experiment.spec.steady_state[0].with_["headers"]
    assert substitute(headers, secrets) == {"a": "${secrets.token}", "b": "$hunter2hunter2"}


def test_a_file_and_a_command_give_a_secret_without_its_last_line_end(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from a file\n")
    secrets = resolve({"f": {"file": str(file)}, "c": {"command": ["printf", r"two\nlines\n"]}})
    assert secrets["f"].reveal() == "from a file"
    assert secrets["c"].reveal() == "two\nlines"
    assert resolve({"s": {"command": "printf $((40 + 2))"}})["s"].reveal() == "42"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"env": "CHAOSRUN_TEST_UNSET"}, "CHAOSRUN_TEST_UNSET is not set"),
        ({"file": "/nowhere"}, "/nowhere cannot be read: No such file"),
        ({"file": "/"}, "/ cannot be read: Is a directory"),
        ({"command": ["false"]}, "false gave no secret: it ended with exit code 1"),
        ({"command": ["printf", ""]}, "gave nothing"),
        ({"command": "echo hunter2 >&2; exit 3"}, "exit code 3"),
        ({"command": ["no-such-command"]}, "cannot run no-such-command"),
        ({"command": []}, "takes a list of words"),
        ({"env": 5}, "takes the name of an environment variable"),
    ],
)
def test_a_source_that_gives_none_says_why_and_shows_nothing(
    source: dict[str, object], said: str
) -> None:
    with pytest.raises(Refused, match=said) as caught:
        resolve({"token": source})["token"]
    assert "hunter2" not in str(caught.value)


def test_nothing_is_read_before_it_is_used() -> None:
    secrets = resolve({"a": {"command": ["printf", "aaaa"]}, "b": {"command": ["false"]}})
    assert list(secrets) == ["a", "b"]
    assert secrets.known == {}
    assert substitute("${secrets.a}", secrets) == "aaaa"
    assert list(secrets.known) == ["a"]


def test_a_reference_to_no_secret_is_refused_when_it_is_used() -> None:
    with pytest.raises(Refused, match="no secret named 'b'"):
        substitute(["${secrets.b}"], {})


def test_values_are_scrubbed_from_texts_and_keys_longest_first() -> None:
    secrets = {"a": Secret("word"), "b": Secret("password")}
    data = {"my password": ["a word", {"x": "passwordword", "n": 5}]}
    assert scrub(data, secrets) == {
        "my ${secrets.b}": ["a ${secrets.a}", {"x": "${secrets.b}${secrets.a}", "n": 5}]
    }


@pytest.mark.parametrize("value", ["hunter2/päss+word", 'a "quoted"\nsecret', "plain-token-1"])
def test_encoded_values_are_hidden(value: str) -> None:
    secrets = {"token": Secret(value)}
    basic = base64.b64encode(f"user:{value}".encode()).decode()
    for text in (
        quote(value), quote(value, safe=""), json.dumps(value),
        base64.b64encode(value.encode()).decode(),
        base64.urlsafe_b64encode(value.encode()).decode(),
        f"Authorization: Basic {basic}",
    ):  # fmt: skip
        said = scrub(f"failed: {text}", secrets)
        assert HIDDEN in said or "${secrets.token}" in said
        assert text not in said
        assert value not in said


TEXTS = st.lists(
    st.sampled_from(["$", "$$", "{secrets.a}", "{secrets.b}", "${secrets.a}", "}", "{", "a", "é"])
    | st.text(max_size=4),
    max_size=8,
).map("".join)


@given(
    TEXTS, st.dictionaries(st.sampled_from("abc"), TEXTS.filter(lambda text: bool(text.strip())))
)
def test_substituting_gives_back_what_was_scrubbed(text: str, values: dict[str, str]) -> None:
    secrets = {name: Secret(value) for name, value in values.items()}
    clean = scrub(text, secrets)
    assume(HIDDEN not in clean)
    assert substitute(clean, secrets) == text
