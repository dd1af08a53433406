"""The text of a first experiment, made from the examples that faults and probes carry."""

from __future__ import annotations

from typing import Any

import msgspec

from chaosrun import discovery
from chaosrun.fault import AnyFault, Expiry, Reversal
from chaosrun.units import JSON

TITLE = "The shop keeps answering while one of its workers is gone"
FAULT = "host.process-kill"
PROBE = "http"


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the experiment to write."""

    title: str
    fault: str
    probe: str
    url: str = ""
    owner: str = ""
    name: str = ""


def takes_url(probe: str) -> bool:
    return "url" in discovery.probe(probe).__struct_fields__


def url_of(probe: str) -> str:
    """The URL in the probe's own example."""
    return str(discovery.probe(probe).example.get("with", {}).get("url", ""))


def text(answers: Answers) -> str:
    """The experiment as YAML, with comments. Raises Rejected for unknown names."""
    fault, probe = discovery.fault(answers.fault), discovery.probe(answers.probe)
    check = _check(answers, probe.example)
    step: dict[str, JSON] = {
        "name": "break something", "fault": answers.fault, **fault.example,
    }  # fmt: skip
    step.setdefault("hold", "30s")
    spec: dict[str, JSON] = {"title": answers.title}
    if answers.owner:
        spec["owner"] = answers.owner
    parts = [
        _TOP.format(name=answers.name),
        _indented(spec, 2),
        _STEADY_STATE.format(probe=answers.probe),
        _indented([check], 4),
        _METHOD.format(fault=answers.fault, ends=_ends(fault)),
        _indented([step], 4),
        _GUARD,
        _indented([_guard(check)], 4),
        _LIMITS,
    ]
    if fault.reversal is Reversal.IRREVERSIBLE:
        parts += [_IRREVERSIBLE, _indented([answers.fault], 4)]
    return "".join(parts)


def _check(answers: Answers, example: dict[str, Any]) -> dict[str, JSON]:
    """A check with the probe's example, looking at the URL that was given."""
    given = dict(example.get("with", {}))
    if answers.url:
        given["url"] = answers.url
    expect = example.get("expect", "true")
    return {
        "name": "the system answers", "probe": answers.probe, "with": given, "every": "1s",
        "expect": expect, "tolerate": "5%",
    }  # fmt: skip


def _guard(check: dict[str, JSON]) -> dict[str, JSON]:
    """The opposite of the check, when it lasts."""
    return {
        "name": "it hurts for long", "probe": check["probe"], "with": check["with"],
        "every": "1s", "when": f"!({check['expect']})", "for": "10s",
    }  # fmt: skip


def _ends(fault: type[AnyFault]) -> str:
    """Who ends the fault, in a sentence."""
    match fault.reversal:
        case Reversal.IRREVERSIBLE:
            return "This fault cannot be undone."
        case Reversal.SELF_HEALING:
            return "The system is to heal by itself; chaosrun looks that it did."
    if fault.expiry is Expiry.TARGET:
        return "At the deadline the target ends this fault by itself, even without chaosrun."
    return "chaosrun ends this fault, and `chaosrun recover` does if chaosrun died."


def _indented(value: JSON, by: int) -> str:
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=88)
    return "".join(f"{' ' * by}{line}\n" for line in text.splitlines())


_TOP = """\
# An experiment: does the steady state survive this fault?
#   chaosrun validate FILE   finds every mistake
#   chaosrun plan FILE       shows exactly what would be touched, and touches nothing
#   chaosrun run FILE        asks, puts everything back, and reports
apiVersion: chaosrun.dev/v1
kind: Experiment
metadata:
  name: {name}
spec:
"""
_STEADY_STATE = """
  # What "well" means. It must hold before anything is touched, and again afterwards; while the
  # fault is in place it is sampled all the time. `chaosrun describe {probe}` lists the
  # arguments, and the names that an expectation may use.
  steadyState:
"""
_METHOD = """
  # What is done to the system. `chaosrun describe {fault}` lists the arguments.
  # {ends}
  method:
"""
_GUARD = """
  # When to stop at once. A guard that cannot tell counts as tripped.
  abortWhen:
"""
_LIMITS = """
  # How much may be touched at most. What cannot be measured is over the limit. Without a
  # `share`, half of what the targets are picked from, or the only one there is.
  limits:
    targets: 5
    duration: 10m
"""
_IRREVERSIBLE = """
  # This fault cannot be undone; naming it here says that you know.
  acceptIrreversible:
"""
