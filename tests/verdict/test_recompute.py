# SPDX-License-Identifier: Apache-2.0
import ast
import copy
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bigenough.quantity import measured
from bigenough.verdict import (
    Arrays,
    Bar,
    Nominee,
    Reference,
    decide,
    metric_intervals,
    per_class_intervals,
    recompute,
)
from bigenough.verdict.recompute.distributions import binomial_tail, student_quantile
from bigenough.verdict.recompute.size import largest_size

K = 4
CLASSES = ["a", "b", "c", "d"]


def _world(n=800, seed=0):
    rng = np.random.default_rng(seed)
    gold = rng.choice(K, n, p=[0.4, 0.3, 0.2, 0.1])
    arrays = {}
    for name, sharpness in (("frozen", 3.0), ("linear", 2.9), ("static", 2.0), ("majority", 0.0)):
        logits = rng.gumbel(size=(n, K)) + sharpness * np.eye(K)[gold] * (rng.random(n) < 0.95)[:, None]
        probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        arrays[name] = Arrays(probability.argmax(axis=1), probability)
    return gold, arrays


def _evidence(gold, arrays, groups, n_resamples):
    found = metric_intervals(gold, arrays.predicted, arrays.probability, groups=groups, n_resamples=n_resamples)
    scores = {k: measured(v.value, "", v.method, low=v.low, high=v.high).to_json() for k, v in found.items()}
    per_class = per_class_intervals(gold, arrays.predicted, K, groups=groups)
    scores["per_class"] = [{"label": x, **s.to_json()} for x, s in zip(CLASSES, per_class, strict=True)]
    pair = int(np.sum((gold == 0) & (arrays.predicted == 1)))
    scores["confusions"] = [{"gold": "a", "predicted": "b", "count": pair, "rows": []}]
    return scores


def _stored(metric="accuracy", grouped=False, bar=None, mode="down", margin=0.03):
    gold, arrays = _world()
    groups = np.arange(len(gold)) // 4 if grouped else None
    nominees = [Nominee(name, size, arrays[name].predicted) for name, size in (("linear", 30), ("static", 9))]
    nominees.append(Nominee("majority", 1, arrays["majority"].predicted))
    reference = Reference("frozen", arrays["frozen"].predicted, 90) if bar is None else Bar(bar)
    chosen = nominees if mode == "down" else nominees[::-1]
    verdict = decide(
        gold, chosen, reference, metric=metric, margin=margin, mode=mode, groups=groups, n_resamples=300, seed=5
    )
    return gold, arrays, groups, verdict.to_json()


CASES = [
    {},
    {"margin": 0.2},
    {"mode": "up"},
    {"metric": "macro_f1"},
    {"metric": "balanced_accuracy", "margin": 0.1},
    {"grouped": True},
    {"metric": "macro_f1", "grouped": True, "mode": "up"},
    {"bar": 0.5, "margin": 0.0},
    {"bar": 0.9},
    {"bar": 0.7, "metric": "macro_f1", "grouped": True},
]


@pytest.mark.parametrize("case", CASES)
def test_a_second_implementation_agrees_on_every_statistic(case):
    gold, arrays, groups, stored = _stored(**case)
    checks = recompute(stored, gold, arrays, groups=groups)
    assert [check for check in checks if not check.agree] == []
    assert len(checks) > 25


@pytest.mark.parametrize("grouped", [False, True])
def test_evidence_is_recomputed_with_its_intervals(grouped):
    gold, arrays, groups, stored = _stored(grouped=grouped)
    stored["seed"] = 0
    evidence = {name: _evidence(gold, rows, groups, 300) for name, rows in arrays.items()}
    checks = recompute(stored, gold, arrays, groups=groups, evidence=evidence, classes=CLASSES)
    seen = [check for check in checks if check.name.startswith(("frozen:", "majority:"))]
    assert [check for check in seen if not check.agree] == []
    assert len(seen) > 80


PLANTED = ["answer", "exit_code", "winner", "n_certify", "smallest_provable_margin", "alpha", "margin", "safe_choice"]
PLANTED += ["sentence"]


@pytest.mark.parametrize("field", PLANTED)
def test_a_planted_change_of_the_verdict_is_found(field):
    gold, arrays, groups, stored = _stored(margin=0.1)
    assert stored["winner"] == "linear"
    other = {"answer": "cannot tell", "winner": "static", "safe_choice": "static", "exit_code": 4, "n_certify": 801}
    other["sentence"] = stored["sentence"].replace(" %", "0.0 %", 1)
    planted = stored | {field: other.get(field, 0.004)}
    assert not all(check.agree for check in recompute(planted, gold, arrays, groups=groups))


LIES = [
    "All is well.",
    "linear (1.0 kB) is as good as anybody may wish.",
    "The best, linear: these test rows cannot tell.",
    "The choice is static.",
]


@pytest.mark.parametrize("sentence", LIES)
def test_a_sentence_that_says_another_answer_or_model_is_found(sentence):
    gold, arrays, groups, stored = _stored(margin=0.1)
    found = recompute(stored | {"sentence": sentence}, gold, arrays, groups=groups)
    assert any(check.name.endswith("in the sentence") and not check.agree for check in found)


NUMBERS = ["score", "reference_score", "difference", "lower", "upper", "p_value", "mcnemar_p", "n", "level"]
NUMBERS += ["only_candidate_right", "only_reference_right", "smallest_provable_margin"]


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
@pytest.mark.parametrize("field", NUMBERS)
def test_a_planted_change_of_any_number_is_found(field, metric):
    gold, arrays, groups, stored = _stored(metric=metric)
    planted = copy.deepcopy(stored)
    value = planted["comparisons"][0][field]
    planted["comparisons"][0][field] = value + 1 if isinstance(value, int) else value + 2e-5
    assert not all(check.agree for check in recompute(planted, gold, arrays, groups=groups))


def test_changed_decisions_and_order_are_found():
    gold, arrays, groups, stored = _stored(margin=0.2)
    for change in ({"decision": "failed"}, {"decision": "not tested"}, {"shown_worse": True}, {"method": "other"}):
        planted = copy.deepcopy(stored)
        planted["comparisons"][0] |= change
        assert not all(check.agree for check in recompute(planted, gold, arrays, groups=groups))


def test_one_changed_prediction_is_found():
    gold, arrays, groups, stored = _stored()
    predicted = arrays["linear"].predicted.copy()
    predicted[17] = (predicted[17] + 1) % K
    changed = arrays | {"linear": Arrays(predicted, arrays["linear"].probability)}
    assert not all(check.agree for check in recompute(stored, gold, changed, groups=groups))


def test_a_planted_change_of_evidence_is_found():
    gold, arrays, groups, stored = _stored()
    stored["seed"] = 0
    honest = {"linear": _evidence(gold, arrays["linear"], groups, 300)}
    for metric in ("accuracy", "macro_f1", "log_loss", "calibration_error"):
        for part in ("value", "low", "high"):
            planted = copy.deepcopy(honest)
            planted["linear"][metric][part] += 2e-5
            checks = recompute(stored, gold, arrays, groups=groups, evidence=planted, classes=CLASSES)
            assert [c.name for c in checks if not c.agree and "linear:" in c.name] == [f"linear: {metric}, {part}"]


def test_it_imports_nothing_but_numpy_and_the_standard_library():
    home = Path(sys.modules["bigenough.verdict.recompute"].__file__).parent
    for path in home.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            else:
                assert not (isinstance(node, ast.ImportFrom) and node.level > 1)
            assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names | {"numpy"}


def test_its_distributions_are_those_of_scipy():
    for degrees in (1, 3, 20, 500, 30_000):
        for level in (0.3, 0.05, 0.0125, 1e-6):
            assert student_quantile(level, degrees) == pytest.approx(stats.t.isf(level, degrees), rel=1e-8)
    for hits, n, share in ((0, 10, 0.2), (3, 10, 0.2), (2900, 3080, 0.92), (10, 10, 0.5), (11, 10, 0.5)):
        assert binomial_tail(hits, n, share) == pytest.approx(stats.binom.sf(hits - 1, n, share), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("n", [7, 11, 18, 30, 60])
def test_the_size_at_no_margin_is_known_for_every_n(n: int) -> None:
    assert 0 <= largest_size(n, 0.0, 0.05) <= 1


@pytest.mark.parametrize(
    ("wrong", "target", "margin", "mode"),
    [
        (1, Bar(0.99), 0.0, "down"),
        (0, Bar(0.99), 0.0, "up"),
        (0, "itself", 0.01, "up"),
        (1, "itself", 0.0, "down"),
    ],
)
def test_rows_needed_next_to_perfection_are_confirmed(wrong, target, margin, mode):
    """There the variance under the null is what asks for rows, not the one that was seen."""
    gold, other = np.zeros(400, np.int64), np.zeros(400, np.int64)
    said = gold.copy()
    said[:wrong] = 1
    if target == "itself":
        other[: 2 * wrong] = 1
    reference = Reference("frozen", other, 9) if target == "itself" else target
    verdict = decide(gold, [Nominee("linear", 3, said)], reference, margin=margin, mode=mode, planned=4)
    assert verdict.answer == "cannot tell"
    arrays = {name: Arrays(codes, np.eye(2)[codes]) for name, codes in (("linear", said), ("frozen", other))}
    assert [check for check in recompute(verdict.to_json(), gold, arrays) if not check.agree] == []
