"""What runs claim, and the terms of a lease: one suite over SQLite, PostgreSQL and memory."""

from __future__ import annotations

import pytest

from chaosrun.errors import TermExceeded
from chaosrun.events import Term, Verdict
from chaosrun.journal import Journal
from chaosrun.journal.claims import ALL, REMEMBERED, RUNS, Approval, Hit, of_label
from tests.journal.making import finished, injected, leased, restored, started, whole

SHOP = "process workload=shop"
ONE_RUN = Term(rule="concurrency", source="p", limit="at most 1 run", key=RUNS, most=1)
TWO_OF_SHOP = Term(rule="budget", source="p", limit="at most 2", key=SHOP, most=2)
AN_HOUR = Term(rule="minimum-gap", source="p", limit="1h", gap=3600.0)


def claimed(journal: Journal, name: str) -> set[str]:
    return set(journal.standing("nobody", [name], []).claims.get(name, ()))


def test_a_lease_claims_its_targets_until_it_is_restored(journal: Journal) -> None:
    journal.append("r", 0, [started("r"), leased("l", "1", "2", workload="shop")])
    assert claimed(journal, ALL) == claimed(journal, SHOP) == {"process:1", "process:2"}
    journal.append("r", 2, [leased("m", "2", "3")])
    assert claimed(journal, ALL) == {"process:1", "process:2", "process:3"}
    journal.append("r", 3, [restored("l")])
    assert claimed(journal, ALL) == {"process:2", "process:3"}
    assert claimed(journal, SHOP) == set()


def test_a_run_keeps_its_place_from_its_first_lease_to_its_end(journal: Journal) -> None:
    team = of_label("team", "pay")
    journal.append("r", 0, [started("r")])
    assert claimed(journal, RUNS) == set()
    journal.append("r", 1, [leased("l", "1", labels={"team": "pay"}), restored("l")])
    assert claimed(journal, RUNS) == claimed(journal, team) == {"r"}
    journal.append("r", 3, [finished()])
    assert claimed(journal, RUNS) == claimed(journal, team) == set()


def test_a_stranded_run_keeps_all_that_it_claims(journal: Journal) -> None:
    journal.append("r", 0, [started("r"), leased("l", "1"), finished(Verdict.STRANDED)])
    assert claimed(journal, RUNS) == {"r"}
    assert claimed(journal, ALL) == {"process:1"}


def test_a_late_injection_claims_again(journal: Journal) -> None:
    journal.append("r", 0, [started("r"), leased("l", "1"), restored("l"), finished()])
    assert claimed(journal, ALL) == claimed(journal, RUNS) == set()
    journal.append("r", 4, [injected("l", late=True)])
    assert claimed(journal, ALL) == {"process:1"}
    assert claimed(journal, RUNS) == {"r"}
    journal.append("r", 5, [restored("l"), finished()])
    assert claimed(journal, ALL) == claimed(journal, RUNS) == set()


def test_a_run_sees_what_the_others_claim(journal: Journal) -> None:
    journal.append("r", 0, [started("r"), leased("l", "1")])
    journal.append("s", 0, [started("s"), leased("l", "2")])
    assert journal.standing("r", [ALL, SHOP], []).claims == {ALL: {"process:2"}}
    assert claimed(journal, ALL) == {"process:1", "process:2"}


def test_more_than_a_bound_is_denied_and_nothing_of_it_is_kept(journal: Journal) -> None:
    journal.append("r", 0, [started("r"), leased("l", "1", "2", workload="shop")])
    journal.append("s", 0, [started("s")])
    with pytest.raises(TermExceeded, match="3 at once over all runs") as caught:
        journal.append("s", 1, [leased("m", "3", workload="shop", terms=(TWO_OF_SHOP,))])
    assert (caught.value.lease, caught.value.rule) == ("m", "budget")
    assert claimed(journal, ALL) == {"process:1", "process:2"}
    assert "process:3" not in {lock.target for lock in journal.locks()}
    assert journal.standing("nobody", [], ["process:3"]).hits == {}
    journal.append("r", 2, [restored("l")])
    journal.append("s", 1, [leased("m", "3", workload="shop", terms=(TWO_OF_SHOP,))])


def test_a_denial_leaves_the_other_runs_of_its_group_alone(journal: Journal) -> None:
    first = leased("l", "1", terms=(ONE_RUN,))
    errors = journal.append_many(
        [
            ("r", 0, [started("r"), first]),
            ("s", 0, [started("s"), leased("l", "2", terms=(ONE_RUN,))]),
        ]
    )
    assert errors[0] is None
    assert isinstance(errors[1], TermExceeded)
    assert claimed(journal, RUNS) == {"r"}


def test_a_second_lease_of_a_run_takes_no_second_place(journal: Journal) -> None:
    journal.append("r", 0, [started("r"), leased("l", "1", terms=(ONE_RUN,))])
    journal.append("r", 2, [leased("m", "2", terms=(ONE_RUN,))])
    assert claimed(journal, RUNS) == {"r"}


def test_a_target_is_left_alone_for_a_gap_after_the_fault_of_another_run(journal: Journal) -> None:
    journal.append("r", 0, [started("r"), leased("l", "1", at=10.0), restored("l", at=100.0)])
    journal.append("r", 3, [leased("m", "1", at=110.0, terms=(AN_HOUR,)), restored("m", at=120.0)])
    assert journal.standing("s", [], ["process:1", "x"]).hits == {"process:1": Hit("r", "m", 120.0)}
    assert journal.standing("r", [], ["process:1"]).hits == {}
    journal.append("s", 0, [started("s")])
    with pytest.raises(TermExceeded, match="run r touched process:1 8m20s before"):
        journal.append("s", 1, [leased("l", "1", at=620.0, terms=(AN_HOUR,))])
    journal.append("s", 1, [leased("l", "1", at=3720.0, terms=(AN_HOUR,))])


def test_the_last_fault_on_a_target_outlives_its_run(journal: Journal) -> None:
    journal.append("r", 0, [started("r"), leased("l", "1"), restored("l"), finished(at=9.0)])
    assert journal.prune(500.0) == 1
    assert set(journal.standing("s", [], ["process:1"]).hits) == {"process:1"}
    journal.prune(500.0 + REMEMBERED)
    assert journal.standing("s", [], ["process:1"]).hits == {}


def test_more_targets_than_a_statement_takes_are_found(journal: Journal) -> None:
    targets = [str(number) for number in range(1200)]
    journal.append("r", 0, [started("r"), leased("l", *targets)])
    keys = [f"process:{target}" for target in targets]
    assert set(journal.standing("s", [], keys).hits) == set(keys)


def test_an_approval_is_kept_until_it_has_expired(journal: Journal) -> None:
    one = Approval(
        digest="d", by="ann", names=("ann", "group:sre"), reason="seen", at=1.0, expires=100.0
    )
    journal.approve(one)
    journal.approve(
        Approval(
            digest="e", by="ann", names=("ann", "group:sre"), reason="seen", at=1.0, expires=900.0
        )
    )
    assert journal.standing("r", [], [], "d").approvals == (one,)
    assert journal.standing("r", [], []).approvals == ()
    journal.append("r", 0, whole("r"))
    journal.prune(500.0)
    assert journal.standing("r", [], [], "d").approvals == ()
    assert len(journal.standing("r", [], [], "e").approvals) == 1
