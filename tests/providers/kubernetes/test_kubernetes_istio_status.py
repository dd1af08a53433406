"""What Istio says of a VirtualService, and what it leaves open."""

from __future__ import annotations

from typing import Any

import pytest

from chaosrun.providers.kubernetes.istio_status import SILENT, word_of, wrong

ERROR = {"level": "ERROR", "type": {"code": "IST0101"}, "documentationUrl": "https://x/ist0101"}
DOUBT = {"level": "WARNING", "type": {"code": "IST0130"}}


def found(**status: Any) -> dict[str, Any]:
    return {"metadata": {"generation": 3}, "status": status}


def spread(status: str, **more: Any) -> dict[str, Any]:
    one = {"type": "Reconciled", "status": status, "message": "2/3 proxies up to date.", **more}
    return {"conditions": [{"type": "Other", "status": "False"}, one]}


@pytest.mark.parametrize("status", [{}, {"observedGeneration": 1, "validationMessages": []}])
def test_an_istio_that_says_nothing_is_not_taken_to_have_said_something(status: Any) -> None:
    word = word_of(found(**status))
    assert (word.good, word.text) == (None, SILENT)
    assert not wrong(found(**status))
    assert word_of({"metadata": {"generation": 1}}).good is None


@pytest.mark.parametrize("generation", [3, "3"])
def test_an_error_is_against_it_in_istios_words(generation: Any) -> None:
    said = found(observedGeneration=generation, validationMessages=[DOUBT, ERROR])
    assert word_of(said).good is False
    assert word_of(said).text == wrong(said) == "Istio says: IST0101 https://x/ist0101"


def test_an_error_of_what_it_was_before_is_told_and_decides_nothing() -> None:
    said = found(observedGeneration="2", validationMessages=[ERROR])
    assert word_of(said).good is None
    assert "of what it was before, Istio says: IST0101" in word_of(said).text
    assert not wrong(said)


def test_a_warning_is_told_and_decides_nothing() -> None:
    word = word_of(found(observedGeneration=3, validationMessages=[DOUBT]))
    assert (word.good, word.text) == (None, f"{SILENT}; Istio says: IST0130")


@pytest.mark.parametrize(
    ("said", "good", "words"),
    [
        (spread("True", observedGeneration=3), True, "2/3 proxies"),
        ({**spread("True"), "observedGeneration": "3"}, True, "2/3 proxies"),
        (spread("False", observedGeneration=3), False, "2/3 proxies"),
        (spread("Unknown", observedGeneration=3), False, "2/3 proxies"),
        (spread("True", observedGeneration=2), False, "does not say yet"),
        (spread("True"), False, "does not say yet"),
    ],
)
def test_proxies_have_it_when_istio_says_so_of_what_it_is_now(
    said: Any, good: bool, words: str
) -> None:
    assert word_of(found(**said)).good is good
    assert words in word_of(found(**said)).text
