"""The layer is started as Lambda starts it: what is switched on happens, until its deadline."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.providers.aws import layer
from chaosrun.providers.aws.lambda_inject import LambdaInject
from tests.contract.labs.aws_functions import (
    InjectOfAFunctionThatIsStartedHereLab,
    ThrottleOfAReservedFunctionLab,
    invoked,
)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    (tmp_path / "code.py").write_text("def handle(event, context): return event['n'] * 6")
    return tmp_path


def switch(**given: Any) -> dict[str, str]:
    return {layer.SWITCH: json.dumps({"until": time.time() + 60, **given})}


def test_without_a_switch_the_function_answers_as_ever(task: Path) -> None:
    assert invoked(task, {}) == "42"


def test_an_error_is_raised_in_place_of_an_answer(task: Path) -> None:
    said = invoked(task, switch(error="the disk is full"))
    assert said == "ChaosrunInjectedError the disk is full"


def test_latency_is_added_and_the_answer_is_the_same(task: Path) -> None:
    began = time.monotonic()
    assert invoked(task, switch(latency=0.7)) == "42"
    assert time.monotonic() - began > 0.7


def test_latency_ends_with_the_deadline(task: Path) -> None:
    began = time.monotonic()
    assert invoked(task, switch(latency=15, until=time.time() + 0.5)) == "42"
    assert time.monotonic() - began < 10


def test_past_the_deadline_nothing_happens(task: Path) -> None:
    assert invoked(task, switch(error="late", until=time.time() - 1)) == "42"


@pytest.mark.parametrize(
    "text", ["", "on", "[]", "{}", '{"until": "soon", "error": "x"}', '{"error": "x"}', "null"]
)
def test_a_switch_that_makes_no_sense_switches_nothing_on(task: Path, text: str) -> None:
    assert invoked(task, {layer.SWITCH: text}) == "42"


def test_a_share_of_the_calls_is_hit(task: Path) -> None:
    (task / "code.py").write_text(
        "import chaosrun_lambda\n"
        "n = 0\n"
        "def own(event, context): return 'own'\n"
        "def handle(event, context):\n"
        "  chaosrun_lambda._OWN, hit = own, 0\n"
        "  for _ in range(1000):\n"
        "    try: chaosrun_lambda.handle(event, context)\n"
        "    except chaosrun_lambda.ChaosrunInjectedError: hit += 1\n"
        "  return hit\n"
    )
    said = [invoked(task, switch(error="x", share=share)) for share in (0.3, 0)]
    # The first call, which counts the others, may be hit itself.
    assert all(one.isdigit() or "Injected" in one for one in said)
    assert said[1] == "0"
    counts = [int(one) for one in said[:1] if one.isdigit()]
    assert all(200 < count < 400 for count in counts)


def test_a_handler_that_is_not_there_fails_as_without_the_layer(task: Path) -> None:
    assert "no_such" in invoked(task, {"_HANDLER": "no_such.handle"})


def test_the_zip_is_what_lambda_unpacks_into_opt(tmp_path: Path) -> None:
    content = layer.zipped()
    assert content == layer.zipped()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        modes = {one.filename: one.external_attr >> 16 & 0o777 for one in archive.infolist()}
    assert modes == {"chaosrun-wrapper": 0o755, "python/chaosrun_lambda.py": 0o644}


def test_the_command_writes_it_and_says_what_to_do_with_it(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "chaosrun", "lambda-layer", str(tmp_path / "layer.zip")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30)
    assert (tmp_path / "layer.zip").read_bytes() == layer.zipped()
    assert "publish-layer-version" in done.stdout
    assert "AWS_LAMBDA_EXEC_WRAPPER=/opt/chaosrun-wrapper" in done.stdout
    words[-1] = str(tmp_path / "nowhere" / "layer.zip")
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "cannot write" in done.stderr


def test_a_function_without_the_layer_is_refused() -> None:
    with ThrottleOfAReservedFunctionLab() as lab:
        fault = from_plain({"target": {"function": "shop"}, "error": "x"}, LambdaInject)
        from random import Random

        with pytest.raises(Refused, match="does not have chaosrun's layer") as caught:
            fault.plan(lab.client, Random(1))
        assert "chaosrun lambda-layer" in caught.value.hint


def test_two_faults_are_not_switched_on_in_one_function() -> None:
    with InjectOfAFunctionThatIsStartedHereLab() as lab:
        first, second = lab.lease(), lab.lease()
        lab.kind().inject(first, lab.client)
        with pytest.raises(Refused, match="another fault is on"):
            lab.kind().inject(second, lab.client)
        lab.kind().revert(second, lab.client)
        assert lab.took_effect(first).seen
        lab.kind().revert(first, lab.client)
        assert lab.restored(first).seen
        assert layer.SWITCH not in lab.variables()


def test_the_function_s_own_variables_are_in_no_hold() -> None:
    with InjectOfAFunctionThatIsStartedHereLab() as lab:
        lambda_ = lab.service("lambda")
        given = {**lab.variables(), "PASSWORD": "do-not-tell"}
        lambda_.update_function_configuration(FunctionName="shop", Environment={"Variables": given})
        hold = lab.lease()
        lab.kind().inject(hold, lab.client)
        assert lab.variables()["PASSWORD"] == "do-not-tell"
        assert "do-not-tell" not in repr(hold) + repr(lab.took_effect(hold))
        lab.kind().revert(hold, lab.client)
        assert lab.variables() == given


@pytest.mark.parametrize(
    ("given", "said"),
    [({}, "latency, error"), ({"latency": "0s"}, "latency, error"),
     ({"error": "x", "share": "0%"}, "hits no call")],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        from_plain({"target": {"function": "shop"}, **given}, LambdaInject)
