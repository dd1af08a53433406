"""Writes the corpus: fifty experiments, and what every policy says of each of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from chaosrun import discovery
from chaosrun.events import Override, RuleMeasured
from chaosrun.fault import Hold
from chaosrun.journal.claims import Approval, Hit, Standing
from chaosrun.loading import Loaded, load_file
from chaosrun.loading.policies import load_policy
from chaosrun.policy.evaluate import Evaluated, evaluate
from chaosrun.policy.policies import Policies, added_up
from chaosrun.policy.rule import Asked
from tests.policy.corpus.world import planned, provider, world

HERE = Path(__file__).parent
EXPERIMENTS, POLICIES, GOLDEN = (HERE / name for name in ("experiments", "policies", "golden"))
TUESDAY = "2026-11-24T10:00+01:00"
NAMES = {
    "ann": ("ann", "ann@desk", "group:sre"),
    "bob": ("bob", "bob@desk", "group:shop"),
    "ci": ("runner", "runner@ci", "env:night-drill"),
    "eve": ("eve", "eve@desk"),
}

Case = dict[str, Any]


def cases() -> Iterator[tuple[str, Case]]:
    """The fifty, each with a name: what is touched, who asks, when, with what."""
    one = {"fault": "shop.pod-kill", "kind": "pod", "name": "checkout-*", "pick": "one"}
    sure = {"owner": "shop@shop.example", "labels": {"team": "shop", "environment": "production"},
            "ticket": "CHG-1"}  # fmt: skip
    yield "one-of-six", {**one, **sure}
    for pick in ("2", "33%", "50%", "all"):
        yield f"checkout-{pick.rstrip('%')}", {**one, **sure, "pick": pick}
    for name, kind in (
        ("cart-*", "pod"), ("ledger-*", "pod"), ("dns-*", "pod"), ("i-web-*", "instance"),
        ("i-web-4", "instance"), ("i-db-*", "instance"), ("resize", "function"),
        ("nginx-*", "process"), ("*", "pod"), ("*", "instance"), ("*", "*"),
    ):  # fmt: skip
        named = f"one-of-{kind}-{name}".replace("*", "any").replace("-any-any", "-any")
        yield named, {**one, **sure, "kind": kind, "name": name}
    yield "every-pod", {**one, **sure, "kind": "pod", "name": "*", "pick": "all"}
    yield "every-instance", {**one, **sure, "kind": "instance", "name": "*", "pick": "all"}
    yield "everything", {**one, **sure, "kind": "*", "name": "*", "pick": "all"}
    for left_out in ("owner", "ticket"):
        yield f"no-{left_out}", {**one, **sure, left_out: ""}
    yield "wrong-ticket", {**one, **sure, "ticket": "see mail"}
    yield "no-team", {**one, **sure, "labels": {"environment": "production"}}
    yield "no-environment", {**one, **sure, "labels": {"team": "shop"}}
    for where in ("staging", "development", "prod-eu"):
        labels = {"team": "shop", "environment": where}
        yield f"in-{where}", {**one, **sure, "labels": labels, "pick": "2"}
    for name, now in (
        ("at-night", "2026-11-24T03:00+01:00"), ("friday-morning", "2026-11-20T10:00+01:00"),
        ("friday-afternoon", "2026-11-20T13:00+01:00"), ("sunday", "2026-11-22T10:00+01:00"),
        ("black-friday", "2026-11-27T10:00+01:00"),
    ):  # fmt: skip
        yield name, {**one, **sure, "now": now}
    night = {**one, **sure, "now": "2026-11-24T03:00+01:00"}
    yield "night-overridden", {**night, "by": "ann", "override": "window: the move"}
    yield "night-overridden-by-nobody", {**night, "by": "bob", "override": "window: the move"}
    yield "night-overridden-by-pipeline", {**night, "by": "ci", "override": "window: drill"}
    yield "night-overridden-no-ticket", {
        **night, "by": "ann", "ticket": "", "override": "window: the move"
    }  # fmt: skip
    friday = {**one, **sure, "now": "2026-11-27T10:00+01:00"}
    yield "freeze-overridden", {**friday, "by": "ann", "override": "freeze: a real incident"}
    slow = {**one, **sure, "fault": "shop.network-latency"}
    yield "slow-without-approval", slow
    yield "slow-approved", {**slow, "approved": "eve"}
    yield "slow-approved-by-oneself", {**slow, "by": "ann", "approved": "ann"}
    yield "slow-approved-by-anybody", {**slow, "approved": "bob", "by": "ann"}
    yield "slow-approved-long-ago", {**slow, "approved": "eve", "age": 100_000}
    failover = {**one, **sure, "fault": "shop.db-failover", "name": "ledger-*"}
    yield "failover", failover
    yield "failover-overridden", {**failover, "by": "ann", "override": "forbidden-fault: drill"}
    yield "while-others-run", {**one, **sure, "others": "yes"}
    yield "two-while-others-run", {**one, **sure, "others": "yes", "pick": "2"}
    yield "another-team-meanwhile", {
        **one, **sure, "others": "yes", "name": "cart-*",
        "labels": {"team": "cart", "environment": "production"},
    }  # fmt: skip
    yield "held-for-long", {**one, **sure, "hold": "30m"}
    yield "one-after-the-other", {**one, **sure, "then": "i-web-*"}
    yield "gap-overridden", {
        **one, **sure, "others": "yes", "by": "ann", "override": "minimum-gap: again, please"
    }  # fmt: skip


def written(name: str, case: Case) -> dict[str, Any]:
    """The experiment's file."""
    kept = ("now", "by", "override", "approved", "age", "others")
    notes: dict[str, str] = {key: str(case[key]) for key in kept if key in case}
    if case["ticket"]:
        notes["ticket"] = case["ticket"]
    steps = [_step("touch", case)]
    if "then" in case:
        steps.append(_step("touch too", {**case, "kind": "instance", "name": case["then"]}))
    spec = {
        "title": name.replace("-", " "),
        "owner": case["owner"],
        "steadyState": [{"name": "it answers", "probe": "shop.look", "expect": "fine"}],
        "method": steps,
    }
    if not spec["owner"]:
        del spec["owner"]
    metadata = {"name": name, "labels": case["labels"], "annotations": notes}
    return {
        "apiVersion": "chaosrun.dev/v1", "kind": "Experiment", "metadata": metadata, "spec": spec,
    }  # fmt: skip


def _step(name: str, case: Case) -> Case:
    target = {
        key: int(case[key]) if case[key].isdigit() else case[key]
        for key in ("kind", "name", "pick")
    }
    return {
        "name": name, "fault": case["fault"], "target": target, "hold": case.get("hold", "2m"),
    }  # fmt: skip


@cache
def loaded(file: Path) -> Loaded:
    return load_file(file)


@cache
def policies(file: Path) -> Policies:
    return added_up([load_policy(file)])


def asked(file: Path) -> tuple[Asked, tuple[Override, ...]]:
    """The question that a file of the corpus asks, and its overrides."""
    found = loaded(file)
    experiment, notes = found.experiment, found.experiment.metadata.annotations
    now = datetime.fromisoformat(notes.get("now", TUESDAY)).timestamp()
    holds: dict[str, Hold] = {
        step.name: planned(
            discovery.fault(step.fault),  # type: ignore[arg-type]
            step.target,
            random.Random(f"7/{step.name}"),
        )
        for step in experiment.spec.method
    }
    names = NAMES[notes.get("by", "bob")]
    overrides: tuple[Override, ...] = ()
    if text := notes.get("override"):
        rule, _, reason = text.partition(": ")
        overrides = (Override(rule=rule, by=names[0], reason=reason),)
    question = Asked(
        experiment=experiment, digest=found.digest, holds=holds, now=now, names=names,
        standing=_standing(notes, found.digest, now),
    )  # fmt: skip
    return question, overrides


def _standing(notes: dict[str, str], digest: str, now: float) -> Standing:
    approvals: tuple[Approval, ...] = ()
    if who := notes.get("approved"):
        at = now - float(notes.get("age", "60"))
        approvals = (
            Approval(
                digest=digest, by=who, names=NAMES[who], reason="seen", at=at, expires=at + 1e6
            ),
        )
    if "others" not in notes:
        return Standing(approvals=approvals)
    others = world()["others"]
    run = "20261124-095500-other"
    return Standing(
        claims={name: frozenset(items) for name, items in others["claims"].items()},
        hits={target: Hit(run, "l", now - ago) for target, ago in others["hits"].items()},
        approvals=approvals,
    )


def answer(policy: Path, experiment: Path) -> Evaluated:
    """What a policy says of an experiment."""
    question, overrides = asked(experiment)
    return evaluate(policies(policy).rulings, question, overrides)


def explained(policy: Path) -> str:
    """What a policy says of all of them, as a person reads it."""
    (document,) = policies(policy).documents
    text = f"# {document.source.name}: {document.policy.spec.description}\n"
    for experiment in sorted(EXPERIMENTS.glob("*.yaml")):
        found = answer(policy, experiment)
        verdict = "within" if found.passes else "REFUSED"
        if not found.rules:
            verdict = "not about it"
        text += f"\n{experiment.stem}: {verdict}\n"
        for rule in found.rules:
            text += _explained(rule)
    return text


def _explained(rule: RuleMeasured) -> str:
    mark = "+" if rule.within else "~" if rule.passes else "-"
    text = f"  {mark} {rule.rule}: {rule.measured}\n"
    if not rule.within:
        text += f"      demanded: {rule.limit}\n"
    if rule.override:
        text += f"      overridden by {rule.override.by}: {rule.override.reason}\n"
    elif not rule.within and rule.hint:
        text += f"      would pass: {rule.hint}\n"
    return text


def write() -> None:
    """Everything that is derived."""
    for old in (*EXPERIMENTS.glob("*.yaml"), *GOLDEN.glob("*.txt")):
        old.unlink()
    for number, (name, case) in enumerate(cases(), 1):
        text = yaml.safe_dump(written(name, case), sort_keys=False, width=100)
        (EXPERIMENTS / f"{number:02}-{name}.yaml").write_text(text, encoding="utf-8")
    for policy in sorted(POLICIES.glob("*.yaml")):
        (GOLDEN / f"{policy.stem}.txt").write_text(explained(policy), encoding="utf-8")


if __name__ == "__main__":
    real = discovery.builtin_providers()
    discovery.builtin_providers = lambda: (*real, provider)  # type: ignore[assignment]
    write()
