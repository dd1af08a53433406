"""Fifty experiments against ten policies: what each is told, and that policies only add up."""

from __future__ import annotations

from itertools import combinations, permutations
from pathlib import Path

import pytest
import yaml

from chaosrun.loading.policies import load_policy
from chaosrun.policy.evaluate import evaluate
from chaosrun.policy.policies import added_up
from tests.policy.corpus import make

POLICIES = sorted(make.POLICIES.glob("*.yaml"))
EXPERIMENTS = sorted(make.EXPERIMENTS.glob("*.yaml"))


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert (len(EXPERIMENTS), len(POLICIES)) == (50, 10)


def test_the_experiments_are_those_of_the_list() -> None:
    listed = {f"{number:02}-{name}": make.written(name, case)
              for number, (name, case) in enumerate(make.cases(), 1)}  # fmt: skip
    found = {file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in EXPERIMENTS}
    assert found == listed, "`python -m tests.policy.corpus.make` writes them anew"


@pytest.mark.parametrize("policy", POLICIES, ids=lambda path: path.stem)
def test_every_experiment_is_told_what_was_told_before(policy: Path) -> None:
    golden = (make.GOLDEN / f"{policy.stem}.txt").read_text(encoding="utf-8")
    assert make.explained(policy) == golden, "`python -m tests.policy.corpus.make` writes it anew"


def test_each_policy_refuses_some_and_says_what_would_make_each_pass() -> None:
    for policy in POLICIES:
        answers = [make.answer(policy, experiment) for experiment in EXPERIMENTS]
        assert not all(answer.passes for answer in answers), policy
        for rule in (rule for answer in answers for rule in answer.rules):
            assert rule.measured, policy
            assert rule.limit, policy
            assert rule.source, policy
            assert rule.within or rule.hint, (policy, rule)


@pytest.mark.parametrize("pair", list(combinations(POLICIES, 2)),
                         ids=lambda pair: "+".join(path.stem[:2] for path in pair))  # fmt: skip
def test_two_policies_let_pass_exactly_what_each_of_them_does(pair: tuple[Path, Path]) -> None:
    both = added_up([load_policy(file) for file in pair])
    for experiment in EXPERIMENTS:
        question, overrides = make.asked(experiment)
        together = evaluate(both.rulings, question, overrides)
        apart = all(make.answer(file, experiment).passes for file in pair)
        assert together.passes == apart, experiment.stem


def test_the_order_of_policies_changes_nothing() -> None:
    some = [load_policy(file) for file in POLICIES[:4]]
    expected = added_up(some).rulings
    assert all(added_up(order).rulings == expected for order in permutations(some))
