# SPDX-License-Identifier: Apache-2.0
"""The verdict on a reference that was asked until the question was settled."""

import copy
import json
import sys
from importlib.resources import files

import jsonschema
import numpy as np
import pytest

from bigenough.errors import BadOption, NotEnoughLabels
from bigenough.verdict import (
    Arrays,
    Bar,
    EarlyPlan,
    Nominee,
    Reference,
    Verdict,
    decide,
    recompute,
)
from bigenough.verdict.anytime import asking_order
from bigenough.verdict.stopping import idle, start

ALPHA = 0.05
PLAN = EarlyPlan(of=1000, order_seed=3, batch_rows=50, discordance=0.1)


def world(n, wrong, seed=0):
    """Models that are wrong on their shares of n rows, independently; by name, the reference first."""
    rng = np.random.default_rng(seed)
    return {name: (rng.random(n) < share).astype(np.int64) for name, share in wrong.items()}


def asked_until(said, plan, margin, budget=None):
    """As many rows of the drawn order as the walk wants, in batches, and no more than the budget."""
    paid, *_ = said.values()
    nominees = list(said.items())[1:]
    order = asking_order(plan.of, plan.order_seed)
    right = np.stack([predicted[order] == 0 for _, predicted in nominees], axis=1)
    walk = start(plan, [name for name, _ in nominees], margin, ALPHA)
    limit = plan.of if budget is None else min(budget, plan.of)
    while not idle(walk) and walk.asked < limit:
        rows = slice(walk.asked, min(walk.asked + plan.batch_rows, limit))
        walk.update(right[rows], paid[order[rows]] == 0)
    return order[: walk.asked]


def judged(said, plan=PLAN, margin=0.05, budget=None):
    """The verdict through ``decide``, and what recomputing takes."""
    positions = asked_until(said, plan, margin, budget)
    (reference, paid), *others = said.items()
    nominees = [Nominee(name, 100 - place, each[positions]) for place, (name, each) in enumerate(others)]
    verdict = decide(
        np.zeros(len(positions), dtype=np.int64), nominees, Reference(reference, paid[positions], None, chosen="named"),
        margin=margin, alpha=ALPHA, early=plan,
    )  # fmt: skip
    arrays = {name: Arrays(each) for name, each in others}
    return verdict, {**arrays, reference: Arrays(paid[positions], None, positions)}


def checks_of(stored, arrays, n=PLAN.of):
    return recompute(stored, np.zeros(n, dtype=np.int64), arrays)


EQUAL = {"giant": 0.05, "linear": 0.05}
WORSE = {"giant": 0.05, "linear": 0.3}
TWO = {"giant": 0.05, "static": 0.03, "linear": 0.3}
HALFWAY = {"giant": 0.05, "linear": 0.08}
CROSSED = {"giant": 0.05, "static": 0.3, "linear": 0.02}


def test_asking_ends_when_the_question_is_settled():
    verdict, _ = judged(world(1000, EQUAL))
    early, comparison = verdict.early, verdict.comparisons[0]
    assert (verdict.answer, verdict.winner) == ("proved", "linear")
    assert early.stopped_because == "decided"
    assert early.asked == verdict.n_certify < early.of
    assert early.asked % 50 == 0
    assert early.asked - 50 < comparison.n <= early.asked
    assert comparison.method == "betting, valid at any time"
    assert comparison.mcnemar_p is None
    assert comparison.exact_level is None
    assert f"n = {early.asked} asked of 1,000" in verdict.sentence


def test_all_worse_makes_the_reference_the_choice():
    verdict, _ = judged(world(1000, {**WORSE, "static": 0.4}))
    assert (verdict.answer, verdict.winner) == ("proved", "giant")
    assert all(each.shown_worse for each in verdict.comparisons)
    assert verdict.early.asked < 500


def test_a_walk_goes_down_to_the_first_that_is_worse():
    verdict, _ = judged(world(1000, TWO))
    assert (verdict.winner, [each.decision for each in verdict.comparisons]) == ("static", ["passed", "failed"])
    assert verdict.comparisons[0].n != verdict.comparisons[1].n
    assert verdict.early.stopped_because == "decided"


def test_when_neither_crown_nor_refusal_can_come_asking_ends():
    """The first is out; the one behind it is good and may not pass, so that more rows would be paid for nothing."""
    verdict, arrays = judged(world(1000, CROSSED))
    assert verdict.answer == "cannot tell"
    assert [each.decision for each in verdict.comparisons] == ["failed", "not tested"]
    assert verdict.early.stopped_because == "decided"
    assert verdict.early.asked < 1000
    assert all(check.agree for check in checks_of(verdict.to_json(), arrays))


def test_a_budget_that_runs_out_leaves_the_walk_as_it_stands():
    verdict, arrays = judged(world(1000, HALFWAY), budget=137)
    comparison = verdict.comparisons[0]
    assert verdict.early.stopped_because == "budget spent"
    assert (verdict.early.asked, comparison.n, verdict.answer) == (137, 137, "cannot tell")
    assert "The budget ended the asking: with more of it" in verdict.sentence
    assert "n = 137 asked of 1,000" in verdict.sentence
    assert comparison.rows_needed.total > 137
    assert all(check.agree for check in checks_of(verdict.to_json(), arrays))


def test_what_takes_every_row_says_so():
    verdict, arrays = judged(world(200, HALFWAY), EarlyPlan(200, 3, 50, 0.1), 0.03)
    assert (verdict.early.asked, verdict.early.stopped_because) == (200, "all rows asked")
    assert all(check.agree for check in checks_of(verdict.to_json(), arrays, 200))


@pytest.mark.parametrize("wrong", [EQUAL, WORSE, TWO, HALFWAY, CROSSED])
@pytest.mark.parametrize("seed", range(3))
def test_bounds_say_what_was_decided_and_other_code_agrees(wrong, seed):
    margin = (0.03, 0.05, 0.0)[seed]
    plan = EarlyPlan(700 + seed, seed, 40, (0.1, 0.4, 0.02)[seed])
    verdict, arrays = judged(world(plan.of, wrong, seed), plan, margin)
    for each in verdict.comparisons:
        upper_side = each.upper < -margin
        assert each.shown_worse == upper_side
        assert each.n == verdict.early.asked or upper_side or each.decision != "failed"
        if each.decision != "not tested":
            passed = each.decision == "passed"
            assert passed == (each.lower > -margin) == (each.p_value <= ALPHA)
            assert each.smallest_provable_margin == max(0.0, -each.lower)
            assert each.interval.low <= each.lower <= each.difference <= each.upper <= each.interval.high
        assert f"{100 * each.score:.1f} % against {100 * each.reference_score:.1f} %" in each.words
    checks = checks_of(verdict.to_json(), arrays, plan.of)
    assert [check for check in checks if not check.agree] == []
    assert len(checks) > 25


def test_verdict_goes_through_json_and_its_schema():
    verdict, _ = judged(world(1000, TWO))
    stored = json.loads(json.dumps(verdict.to_json()))
    schema = json.loads(files("bigenough.verdict").joinpath("verdict.schema.json").read_text())
    jsonschema.validate(stored, schema, cls=jsonschema.Draft202012Validator)
    assert Verdict.from_json(stored) == verdict
    older = {name: value for name, value in stored.items() if name != "early"}
    jsonschema.validate(older, schema, cls=jsonschema.Draft202012Validator)
    assert Verdict.from_json(older).early is None


LIES = {
    "asked": 150,
    "of": 1001,
    "order_seed": 4,
    "batch_rows": 7,
    "discordance": 0.11,
    "stopped_because": "budget spent",
}


@pytest.mark.parametrize("field", LIES)
def test_a_planted_change_of_how_it_was_asked_is_found(field):
    verdict, arrays = judged(world(1000, TWO))
    planted = copy.deepcopy(verdict.to_json())
    planted["early"][field] = LIES[field]
    assert not all(check.agree for check in checks_of(planted, arrays))


@pytest.mark.parametrize("field", ["n", "score", "lower", "upper", "p_value", "only_candidate_right", "mcnemar_p"])
def test_a_planted_change_of_a_figure_is_found(field):
    verdict, arrays = judged(world(1000, TWO))
    planted = copy.deepcopy(verdict.to_json())
    held = planted["comparisons"][0]
    held[field] = held[field] + 1 if isinstance(held[field], int) else (held[field] or 0.0) + 2e-5
    assert not all(check.agree for check in checks_of(planted, arrays))


def test_rows_in_another_order_or_left_out_are_found():
    verdict, arrays = judged(world(1000, TWO))
    stored, (predicted, _, positions) = verdict.to_json(), arrays["giant"]
    swapped = np.r_[positions[[1, 0]], positions[2:]]
    for there in (swapped, np.sort(positions)):
        assert not all(check.agree for check in checks_of(stored, arrays | {"giant": Arrays(predicted, None, there)}))
    fewer = arrays | {"giant": Arrays(predicted[:-1], None, positions[:-1])}
    assert not all(check.agree for check in checks_of(stored, fewer))
    assert not all(check.agree for check in checks_of(stored | {"early": None}, arrays))


def test_asking_on_after_it_was_settled_is_found():
    """More rows than the rule allows might have been asked to see another answer."""
    said = world(1000, EQUAL)
    verdict, _ = judged(said)
    positions = asking_order(1000, PLAN.order_seed)[: verdict.early.asked + 50]
    longer = decide(
        np.zeros(len(positions), dtype=np.int64), [Nominee("linear", 9, said["linear"][positions])],
        Reference("giant", said["giant"][positions], None), margin=0.05, early=PLAN,
    )  # fmt: skip
    arrays = {"linear": Arrays(said["linear"]), "giant": Arrays(said["giant"][positions], None, positions)}
    found = [check.name for check in checks_of(longer.to_json(), arrays) if not check.agree]
    assert found == ["rows asked after it was settled"]


def test_what_cannot_be_stopped_early_is_refused():
    gold, said = np.zeros(40, dtype=np.int64), np.zeros(40, dtype=np.int64)
    nominee, reference, plan = Nominee("linear", 9, said), Reference("giant", said, None), EarlyPlan(40, 0, 10, 0.1)
    refused = [
        ([nominee], reference, {"metric": "macro_f1"}),
        ([nominee], reference, {"groups": np.arange(40) // 2}),
        ([nominee], reference, {"mode": "up"}),
        ([nominee], Bar(0.9), {}),
        ([], reference, {}),
    ]
    for nominees, against, setting in refused:
        with pytest.raises(BadOption, match="Ask every row"):
            decide(gold, nominees, against, margin=0.05, early=plan, **setting)
    with pytest.raises(BadOption, match="40 rows were asked of 30"):
        decide(gold, [nominee], reference, margin=0.05, early=EarlyPlan(30, 0, 10, 0.1))
    with pytest.raises(NotEnoughLabels, match="no certify rows"):
        decide(gold[:0], [Nominee("linear", 9, said[:0])], Reference("giant", said[:0], None), early=plan)


@pytest.mark.slow
@pytest.mark.parametrize("first_is_worthy", [False, True])
def test_no_unworthy_size_is_crowned_more_often_than_alpha(first_is_worthy, monkeypatch):
    """Two correlated nominees at the null's edge, or one of them, asked until settled and judged through ``decide``."""
    # how many rows a fresh test would need decides nothing and takes most of the time
    monkeypatch.setattr(sys.modules["bigenough.verdict.decide"], "missing_rows", lambda *_: None)
    rng, studies, n, margin, crowned, worthy = np.random.default_rng(7), 2000, 600, 0.04, 0, 0
    plan = EarlyPlan(n, 0, 50, 0.15)
    for _ in range(studies):
        hard, luck = rng.random(n) < 0.3, rng.random((3, n))
        shared = np.where(rng.random(n) < 0.6, luck[0], luck[1])
        skills = (0.6, 0.75 if first_is_worthy else 0.6 - margin / 0.3, 0.6 - margin / 0.3)
        said = {
            name: (hard & (place >= skill)).astype(np.int64)
            for name, skill, place in zip(
                ("giant", "static", "linear"), skills, (luck[0], shared, luck[2]), strict=True
            )
        }
        verdict, _ = judged(said, plan, margin)
        unworthy = ("linear",) if first_is_worthy else ("static", "linear")
        crowned += verdict.winner in unworthy
        worthy += verdict.winner == "static"
    assert crowned / studies <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / studies)
    if first_is_worthy:
        assert worthy / studies > 0.3
