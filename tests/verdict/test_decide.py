# SPDX-License-Identifier: Apache-2.0
import json

import jsonschema
import numpy as np
import pytest

from bigenough.errors import BadOption, NotEnoughLabels
from bigenough.verdict import Bar, LeftOut, Nominee, Reference, decide, rows_needed, verdict_schema

N = 2000
GOLD = np.zeros(N, dtype=np.int64)


def _wrong(first, last):
    """Predictions that are wrong on the rows from first to last."""
    predicted = GOLD.copy()
    predicted[first:last] = 1
    return predicted


REFERENCE = Reference("frozen", _wrong(50, 150), 90_000_000)
GOOD = Nominee("linear", 31_000_000, _wrong(50, 155))  # 0.25 points worse, hardly discordant
OPEN = Nominee("static", 7_000_000, _wrong(25, 150))  # 1.25 points worse: within the margin, not provably
BAD = Nominee("majority", 100, _wrong(0, 600))


def _valid(verdict):
    stored = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
    jsonschema.validate(stored, verdict_schema(), cls=jsonschema.Draft202012Validator)
    return stored


def _unopened():
    raise AssertionError("a nominee whose turn never came was opened")


def test_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(verdict_schema())


def test_last_to_pass_on_the_way_down_wins():
    verdict = decide(GOLD, [GOOD, OPEN, BAD], REFERENCE, left_out=[LeftOut("giant", "too slow")])
    _valid(verdict)
    assert (verdict.answer, verdict.exit_code, verdict.winner, verdict.safe_choice) == ("proved", 0, "linear", "linear")
    assert [c.decision for c in verdict.comparisons] == ["passed", "failed", "not tested"]
    assert verdict.sentence == (
        "linear (31 MB) is the smallest model proved as good as the best, frozen (90 MB), within 1.5 points: "
        "accuracy 94.8 % against 95.0 %, n = 2,000."
    )
    assert verdict.rows_needed is None
    assert verdict.comparisons[1].rows_needed.more > 0


def test_worthy_nominee_behind_a_failure_is_described_but_not_crowned():
    late = Nominee("tiny", 10, REFERENCE.predicted)
    verdict = decide(GOLD, [OPEN, late], REFERENCE)
    _valid(verdict)
    assert verdict.answer == "cannot tell"
    assert verdict.comparisons[1].decision == "not tested"
    assert verdict.comparisons[1].lower is None
    assert verdict.comparisons[1].p_value is None
    assert verdict.comparisons[1].interval is not None
    assert "proved" not in verdict.comparisons[1].words
    assert "tiny" not in verdict.sentence


def test_nothing_smaller_is_as_good_crowns_the_reference():
    verdict = decide(GOLD, [BAD], REFERENCE)
    _valid(verdict)
    assert (verdict.answer, verdict.exit_code, verdict.winner) == ("proved", 0, "frozen")
    assert verdict.comparisons[0].shown_worse
    assert (
        "Nothing smaller will do: the one smaller nominee is shown to be worse by more than 1.5 points"
        in verdict.sentence
    )
    assert "proved" not in verdict.sentence


def test_reference_without_nominees_wins_and_claims_no_proof():
    verdict = decide(GOLD, [], REFERENCE)
    _valid(verdict)
    assert verdict.winner == "frozen"
    assert "nothing to test" in verdict.sentence
    assert "proved" not in verdict.sentence


def test_open_question_names_the_rows_that_would_decide_and_the_safe_choice():
    verdict = decide(GOLD, [OPEN], REFERENCE)
    _valid(verdict)
    needed = verdict.rows_needed
    assert (verdict.answer, verdict.exit_code, verdict.winner, verdict.safe_choice) == (
        "cannot tell",
        4,
        None,
        "frozen",
    )
    assert needed.purpose == "prove"
    assert needed.assumed_difference == -0.0125
    assert needed.total == rows_needed(0.015, 0.0125, difference=-0.0125)
    assert needed.more == needed.total - N
    rounded = -(-needed.total // 1000) * 1000
    assert needed.total > 10_000
    assert f"A fresh test of about {rounded:,} labelled rows (--test) would prove it good enough" in verdict.sentence
    assert "frozen is the safe choice" in verdict.sentence
    assert verdict.smallest_provable_margin == pytest.approx(-verdict.comparisons[0].lower, abs=2e-4)
    assert verdict.smallest_provable_margin > 0.015


def test_margin_at_the_smallest_provable_would_have_passed():
    verdict = decide(GOLD, [OPEN], REFERENCE)
    smallest = verdict.smallest_provable_margin
    assert decide(GOLD, [OPEN], REFERENCE, margin=smallest).answer == "proved"
    assert decide(GOLD, [OPEN], REFERENCE, margin=smallest - 2e-4).answer != "proved"


def test_nominee_that_looks_worse_needs_rows_to_show_it():
    verdict = decide(GOLD, [Nominee("static", 7, _wrong(15, 150))], REFERENCE)  # 1.75 points worse
    _valid(verdict)
    assert verdict.answer == "cannot tell"
    assert verdict.rows_needed.purpose == "show worse"


def test_difference_at_the_very_margin_is_settled_by_no_number_of_rows():
    verdict = decide(GOLD, [Nominee("static", 7, _wrong(20, 150))], REFERENCE)
    _valid(verdict)
    assert verdict.rows_needed.more is None
    assert "ten million" in verdict.sentence


def test_reference_beyond_the_limits_may_be_matched_but_not_chosen():
    beyond = Reference("frozen", REFERENCE.predicted, REFERENCE.size_bytes, within_limits=False)
    assert decide(GOLD, [GOOD], beyond).winner == "linear"
    none = decide(GOLD, [BAD], beyond)
    _valid(none)
    assert (none.answer, none.exit_code, none.winner, none.safe_choice) == ("not good enough", 3, None, None)
    assert decide(GOLD, [OPEN], beyond).safe_choice is None
    empty = decide(GOLD, [], beyond)
    _valid(empty)
    assert empty.answer == "not good enough"


def test_bar_is_an_absolute_score_with_no_margin_by_default():
    verdict = decide(GOLD, [Nominee("frozen", 90, _wrong(0, 100)), Nominee("linear", 31, _wrong(0, 130))], Bar(0.93))
    _valid(verdict)
    assert (verdict.winner, verdict.margin) == ("frozen", 0.0)
    assert "above the bar of 93.0 %" in verdict.sentence
    assert verdict.comparisons[1].decision == "failed"
    below = decide(GOLD, [BAD], Bar(0.93))
    assert (below.answer, below.exit_code) == ("not good enough", 3)
    assert decide(GOLD, [Nominee("linear", 31, _wrong(0, 130))], Bar(0.93)).rows_needed.purpose == "prove"


def test_a_bar_asks_for_rows_in_words_of_one_model():
    words = decide(GOLD, [Nominee("linear", 31, _wrong(0, 130))], Bar(0.93)).rows_needed.sentence
    assert "if its true score is 0.5 points above the bar." in words
    close = decide(GOLD, [Nominee("linear", 31, _wrong(0, 139))], Bar(0.93)).rows_needed.sentence
    assert "0.05 points above the bar" in close
    assert "equal" not in words + close
    assert "disagree" not in words + close


def test_without_a_margin_a_nominee_that_looks_better_needs_rows_to_prove_it():
    better = Nominee("static", 7, _wrong(52, 150))
    needed = decide(GOLD, [better], REFERENCE, margin=0.0).rows_needed
    assert (needed.purpose, needed.assumed_difference) == ("prove", pytest.approx(0.001))
    assert needed.total == rows_needed(0.0, 0.001, difference=0.001)
    equal = Nominee("static", 7, _wrong(50, 150))
    assert decide(GOLD, [equal], REFERENCE, margin=0.0).rows_needed.total is None


def test_climbing_up_takes_the_first_to_pass_at_its_share_of_alpha():
    bigger = Nominee("giant", 10**10, _unopened)
    verdict = decide(GOLD, [BAD, GOOD, bigger], REFERENCE, mode="up", describe=False)
    _valid(verdict)
    assert verdict.winner == "linear"
    assert [c.decision for c in verdict.comparisons] == ["failed", "passed", "not tested"]
    assert verdict.comparisons[2].score is None
    assert {c.level for c in verdict.comparisons} == {0.05 / 3}


def test_climbing_up_one_rung_at_a_time_splits_alpha_over_all_that_were_planned():
    verdict = decide(GOLD, [BAD], REFERENCE, mode="up", planned=3)
    _valid(verdict)
    assert verdict.comparisons[0].level == 0.05 / 3
    assert verdict.answer == "cannot tell"  # two planned nominees are still to come
    assert decide(GOLD, [BAD], REFERENCE, mode="up", planned=2, left_out=[LeftOut("x", "failed")]).winner == "frozen"


def test_walking_down_leaves_the_rest_closed_if_told_to():
    verdict = decide(GOLD, [OPEN, Nominee("tiny", 1, _unopened)], REFERENCE, describe=False)
    _valid(verdict)
    assert verdict.comparisons[1].words == "not tested, not opened"


def test_description_opens_a_nominee_without_letting_it_win():
    calls = []

    def late():
        calls.append(1)
        return REFERENCE.predicted

    verdict = decide(GOLD, [OPEN, Nominee("tiny", 1, late)], REFERENCE)
    assert calls == [1]
    assert verdict.winner is None


@pytest.mark.parametrize("metric", ["macro_f1", "balanced_accuracy"])
def test_other_metrics_are_judged_by_the_bootstrap(metric):
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 4, 3000)
    reference = np.where(rng.random(3000) < 0.9, gold, (gold + 1) % 4)
    near, far = reference.copy(), np.where(rng.random(3000) < 0.8, gold, (gold + 1) % 4)
    near[:10] = gold[:10]
    nominees = [Nominee("near", 50, near), Nominee("far", 20, far)]
    verdict = decide(gold, nominees, Reference("frozen", reference, 90), metric=metric, n_resamples=500)
    _valid(verdict)
    assert verdict.winner == "near"
    assert verdict.comparisons[1].shown_worse
    assert "bootstrap" in verdict.comparisons[0].method
    against_bar = decide(gold, nominees, Bar(0.86), metric=metric, n_resamples=500)
    _valid(against_bar)
    assert against_bar.winner == "near"


def test_groups_are_resampled_and_tango_is_shown_beside():
    groups = np.arange(N) // 10
    verdict = decide(GOLD, [GOOD, OPEN], REFERENCE, groups=groups, n_resamples=500)
    _valid(verdict)
    assert verdict.n_groups == 200
    assert "over groups" in verdict.comparisons[0].method
    assert verdict.comparisons[0].ignores_groups.lower > verdict.comparisons[0].lower
    assert verdict.comparisons[0].mcnemar_p is None
    assert "in 200 groups" in verdict.sentence


def test_order_of_rows_does_not_change_the_verdict():
    order = np.random.default_rng(0).permutation(N)
    shuffled = [Nominee(x.name, x.size_bytes, x.predicted[order]) for x in (GOOD, OPEN)]
    reference = Reference("frozen", REFERENCE.predicted[order], REFERENCE.size_bytes)
    assert decide(GOLD, [GOOD, OPEN], REFERENCE) == decide(GOLD[order], shuffled, reference)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(NotEnoughLabels, match="no certify rows"):
        decide(GOLD[:0], [], Bar(0.9))
    with pytest.raises(NotEnoughLabels, match="one group"):
        decide(GOLD, [GOOD], REFERENCE, groups=np.zeros(N, dtype=np.int64))
    with pytest.raises(BadOption, match="bar"):
        decide(GOLD, [GOOD], Bar(92.0))
    with pytest.raises(BadOption, match="margin"):
        decide(GOLD, [GOOD], REFERENCE, margin=1.5)
    with pytest.raises(BadOption, match="alpha"):
        decide(GOLD, [GOOD], REFERENCE, alpha=5)
    with pytest.raises(BadOption, match="stands twice"):
        decide(GOLD, [GOOD, Nominee("frozen", 1, GOLD)], REFERENCE)
    with pytest.raises(BadOption, match="linear has predictions of shape"):
        decide(GOLD, [Nominee("linear", 1, GOLD[:5])], REFERENCE)
