"""A person's functions harm, undo and look; those that were named are called, and no others."""

from __future__ import annotations

import random
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Indeterminate, Refused, Transient
from chaosrun.fault import AnyFault, Hold, Reversal
from chaosrun.providers.python.client import Python
from chaosrun.providers.python.fault import IrreversiblePythonFault, PythonFault
from chaosrun.providers.python.probe import PythonProbe, PythonResult

HERE = str(Path(__file__).parent)
MODULE = "functions_for_tests"
WHOLE: dict[str, Any] = {
    "inject": f"{MODULE}:inject",
    "revert": f"{MODULE}:revert",
    "tookEffect": f"{MODULE}:is_broken",
    "restored": f"{MODULE}:is_well",
    "arguments": {"key": "cache"},
    "path": [HERE],
}


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop(MODULE, None)


@pytest.fixture
def client() -> Python:
    return Python()


def fault(**fields: Any) -> AnyFault:
    return from_plain({**WHOLE, **fields}, PythonFault)


def planned(client: Python, **fields: Any) -> Hold:
    return fault(**fields).plan(client, random.Random(1))


def test_what_the_plan_kept_is_given_to_the_others(client: Python) -> None:
    client.call(f"{MODULE}:revert", {"key": "cache", "undo": {"before": "warm"}}, [HERE])
    hold = planned(client, plan=f"{MODULE}:plan")
    PythonFault.inject(hold, client)
    assert PythonFault.took_effect(hold, client).detail == "cache is broken"
    assert PythonFault.restored(hold, client).detail == f"{MODULE}:is_well: False"
    PythonFault.revert(hold, client)
    assert PythonFault.restored(hold, client).seen
    assert sys.modules[MODULE].world == {"cache": "warm"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"inject": "no_such_module:f"}, "cannot import no_such_module: ModuleNotFoundError"),
        ({"inject": f"{MODULE}:nothing"}, "has no function nothing"),
        ({"inject": f"{MODULE}:world"}, "has no function world"),
        ({"arguments": {"keys": "x"}}, "cannot be called: .*key"),
        ({"plan": f"{MODULE}:returns_itself"}, "cannot be called"),
        ({"plan": f"{MODULE}:returns_itself", "arguments": {}}, "must return plain data"),
        ({"tookEffect": f"{MODULE}:true"}, "says yes before anything was injected"),
        ({"restored": f"{MODULE}:is_broken"}, "says no before anything was injected"),
        ({"restored": f"{MODULE}:number"}, "must return true, false or a text, not 7"),
    ],
)
def test_what_could_not_work_is_refused_by_the_plan(
    client: Python, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        planned(client, **fields)


@pytest.mark.parametrize("reference", ["", "module", "module:", ":f", "a b:c", "m:f()", "os.:x"])
def test_a_reference_is_module_and_function(reference: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"inject is written module:function"):
        fault(inject=reference)


def test_a_function_that_raises_may_have_done_something(client: Python) -> None:
    hold = planned(client, inject=f"{MODULE}:fails")
    with pytest.raises(Indeterminate, match=f"{MODULE}:fails raised ValueError: no luck"):
        PythonFault.inject(hold, client)


def test_our_own_errors_pass_as_they_are(client: Python, tmp_path: Path) -> None:
    name = f"m{uuid.uuid4().hex}"
    text = "from chaosrun.errors import Transient\ndef f(**_):\n    raise Transient('later')\n"
    (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(Transient, match="later"):
        client.call(f"{name}:f", {}, [str(tmp_path)])


def test_without_a_path_it_is_the_directory_of_the_start(
    client: Python, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HERE)
    hold = planned(client, path=[])
    monkeypatch.chdir("/")
    assert hold.undo["path"] == [HERE] or hold.undo["path"] == (HERE,)
    PythonFault.inject(hold, client)
    assert PythonFault.took_effect(hold, client).seen


def test_a_file_of_the_persons_does_not_take_the_place_of_a_library(
    client: Python, tmp_path: Path
) -> None:
    (tmp_path / "msgspec.py").write_text("raise RuntimeError")
    with pytest.raises(Refused, match=r"msgspec was loaded from .*site-packages.*, and not from"):
        client.call("msgspec:convert", {}, [str(tmp_path)])


def test_a_module_of_the_same_name_from_elsewhere_is_refused(
    client: Python, tmp_path: Path
) -> None:
    client.check(f"{MODULE}:true", {}, [HERE])
    (tmp_path / f"{MODULE}.py").write_text("def true(): return False")
    with pytest.raises(Refused, match="was loaded from"):
        client.call(f"{MODULE}:true", {}, [str(tmp_path)])


def test_on_another_machine_nothing_is_called_restored(client: Python) -> None:
    hold = planned(client)
    hold.undo["place"].update(node="elsewhere", boot="other", machine="other")
    for act in (PythonFault.revert, PythonFault.restored):
        with pytest.raises(Refused, match="that is on elsewhere"):
            act(hold, client)
    assert "place" not in planned(client, anywhere=True).undo


def test_without_an_undo_it_is_another_fault_to_be_accepted_by_name(client: Python) -> None:
    with pytest.raises(msgspec.ValidationError, match="revert"):
        from_plain({k: v for k, v in WHOLE.items() if k != "revert"}, PythonFault)
    assert discovery.fault("python.irreversible") is IrreversiblePythonFault
    given = {k: v for k, v in WHOLE.items() if k not in ("revert", "restored")}
    hold = from_plain(given, IrreversiblePythonFault).plan(client, random.Random(1))
    assert hold.reversal is Reversal.IRREVERSIBLE
    IrreversiblePythonFault.inject(hold, client)
    IrreversiblePythonFault.revert(hold, client)
    assert IrreversiblePythonFault.took_effect(hold, client).seen
    assert "as was accepted" in IrreversiblePythonFault.restored(hold, client).detail


def observe(client: Python, **fields: Any) -> PythonResult:
    return from_plain({"path": [HERE], **fields}, PythonProbe).observe(client)


def test_a_probe_gives_what_the_function_returned(client: Python) -> None:
    seen = observe(client, function=f"{MODULE}:queue_length", arguments={"queue": "orders"})
    assert seen.value == {"queue": "orders", "length": 3}
    assert 0 <= seen.seconds < 1


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"function": f"{MODULE}:fails"}, Indeterminate, "raised ValueError"),
        ({"function": f"{MODULE}:returns_itself"}, Refused, "must return plain data"),
        (
            {"function": f"{MODULE}:sleeps", "arguments": {"seconds": 0.05}, "timeout": "10ms"},
            Refused,
            "longer than 10ms",
        ),
    ],
)
def test_a_probe_that_cannot_tell_makes_nothing_up(
    client: Python, fields: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        observe(client, **fields)
