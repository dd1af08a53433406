"""What Istio itself says of a VirtualService, in its status.

Law (L6): what Istio has not said is not taken for said. Most write no status at all; one that
analyses (PILOT_ENABLE_ANALYSIS) writes what is wrong, nothing where nothing is, and never takes
back what it wrote of an earlier generation, which is why that decides nothing. Older ones can
count the proxies that have it (PILOT_ENABLE_CONFIG_DISTRIBUTION_TRACKING).
"""

from __future__ import annotations

import msgspec

from chaosrun.providers.kubernetes.kinds import Object

SILENT = "Istio does not tell whether a proxy has it: taken on trust, unless a check asks"
_ERRORS, _SPREAD = ("ERROR", 3), "Reconciled"


class Word(msgspec.Struct, frozen=True):
    """`good` is None where Istio does not tell; `text` is what it says."""

    good: bool | None
    text: str


def wrong(found: Object) -> str:
    """The errors that Istio finds in the object as it is now, in words; empty where it has none."""
    status = found.get("status") or {}
    errors = [one for one in _messages(status) if one.get("level") in _ERRORS]
    return "" if _stale(found, status) else _said(errors)


def word_of(found: Object) -> Word:
    """What Istio says of the object as it is now."""
    status = found.get("status") or {}
    if errors := wrong(found):
        return Word(False, errors)
    spread = [one for one in status.get("conditions") or () if one.get("type") == _SPREAD]
    if not spread:
        before = "of what it was before, " if _stale(found, status) else ""
        doubts = _said(_messages(status))
        return Word(None, f"{SILENT}; {before}{doubts}" if doubts else SILENT)
    if _stale(found, {**status, **spread[0]}):
        return Word(False, "Istio does not say yet that its proxies have it as it is now")
    said = spread[0].get("message") or f"{_SPREAD} is {spread[0].get('status')}"
    return Word(spread[0].get("status") == "True", f"Istio says: {said}")


def _said(messages: list[Object]) -> str:
    return f"Istio says: {'; '.join(map(_words, messages))}" if messages else ""


def _stale(found: Object, said: Object) -> bool:
    """Whether it was said of an earlier generation; Istio writes a number, or text."""
    seen = str(said.get("observedGeneration") or "")
    return not seen.isdigit() or int(seen) < int(found["metadata"].get("generation", 0))


def _messages(status: Object) -> list[Object]:
    return list(status.get("validationMessages") or ())


def _words(message: Object) -> str:
    kind = message.get("type") or {}
    parts = (kind.get("code"), kind.get("name"), message.get("documentationUrl"))
    return " ".join(part for part in parts if part)
