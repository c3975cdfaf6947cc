# SPDX-License-Identifier: Apache-2.0
"""What is said of labels holds for labels whose true quality is known."""

from __future__ import annotations

import numpy as np
import pytest
from labelling.stub import LABELS, MISTAKE, gold_of, said_of, table

from bigenough.errors import NotEnoughLabels
from bigenough.labelling.proof import can_prove, least_rows
from bigenough.labelling.quality import Quality, quality
from bigenough.labelling.sheet import draw_order

N, CHECKED = 2_000, 150
TEXTS = table(N, seed=1)
GOLD = np.array([LABELS.index(gold_of(text)) for text in TEXTS])
SAID = np.array([LABELS.index(said_of(text)) for text in TEXTS])
RIGHT = float(np.mean(GOLD == SAID))


def judged(order: np.ndarray, confidence: np.ndarray) -> Quality:
    checked, others = order[:CHECKED], order[CHECKED:]
    return quality(GOLD[checked], SAID[checked], confidence[checked], SAID[others], confidence[others], LABELS)


def confidence_of(noise: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.clip(np.where(GOLD == SAID, 0.9, 0.55) + noise * rng.normal(size=N), 0.01, 0.99)


@pytest.mark.parametrize("noise", [0.15, None])
def test_the_intervals_cover_the_planted_quality(noise: float | None) -> None:
    """In 200 draws, with a telling confidence and with none; 181 is the 0.5 % quantile of a true 95 %."""
    confidence = np.full(N, 0.9) if noise is None else confidence_of(noise)
    shares = np.bincount(GOLD, minlength=3) / N
    found = [judged(draw_order(N, seed), confidence) for seed in range(200)]
    covered = sum(each.right.low <= 100 * RIGHT <= each.right.high for each in found)
    assert covered >= 181
    for code in range(3):
        assert sum(e.shares[code].low <= 100 * shares[code] <= e.shares[code].high for e in found) >= 181


def test_the_method_is_named_and_the_confidence_narrows_it() -> None:
    order = draw_order(N, 0)
    exact, powered = judged(order, np.full(N, 0.9)), judged(order, confidence_of(0.1))
    assert "Clopper–Pearson, 150 checked rows" in exact.right.source
    assert "no confidence that varies" in exact.right.source
    assert "prediction-powered" in powered.right.source
    assert powered.right.high - powered.right.low < exact.right.high - exact.right.low
    assert exact.right.provenance == "measured"
    assert exact.right.unit == "%"


def test_agreement_is_no_part_of_it() -> None:
    """Other models may agree with every label: what people said of the sample is all that counts."""
    everything_wrong = quality(GOLD[:100], (GOLD[:100] + 1) % 3, np.ones(100), SAID, np.ones(N), LABELS)
    assert everything_wrong.right.value == 0.0


def test_confusion_counts_rows_without_a_label_apart() -> None:
    said = SAID[:CHECKED].copy()
    said[:7] = -1
    figures = np.where(said < 0, np.nan, 0.9)
    found = quality(GOLD[:CHECKED], said, figures, SAID[CHECKED:], np.full(N - CHECKED, 0.9), LABELS)
    assert found.confusion.sum() == CHECKED
    assert found.confusion[:, -1].sum() == 7
    assert np.trace(found.confusion) == (GOLD[7:CHECKED] == said[7:]).sum()
    assert sum(each.n for each in found.most_confused) == (GOLD[7:CHECKED] != said[7:]).sum()
    assert f"{CHECKED - 7} checked rows" in found.right.source


def test_rows_passed_over_count_against_it() -> None:
    args = GOLD[:100], SAID[:100], np.ones(100), SAID[100:], np.ones(N - 100), LABELS
    passed = quality(*args, skipped=25).if_skipped_wrong
    assert passed.value == pytest.approx(100 * np.mean(GOLD[:100] == SAID[:100]) * 100 / 125)
    assert quality(*args).if_skipped_wrong is None


def test_nothing_is_said_of_labels_that_nobody_checked() -> None:
    with pytest.raises(NotEnoughLabels):
        quality(GOLD[:5], np.full(5, -1), np.full(5, np.nan), SAID, np.ones(N), LABELS)


def test_the_stub_has_the_mistakes_that_were_planted() -> None:
    assert abs(1 - MISTAKE - RIGHT) < 0.03


@pytest.mark.parametrize(("margin", "bar"), [(0.1, None), (0.0, 0.9), (0.02, 0.9)])
def test_the_least_rows_are_the_least(margin: float, bar: float | None) -> None:
    least = least_rows(margin, bar=bar)
    assert can_prove(least, margin, bar=bar)
    assert not can_prove(least - 1, margin, bar=bar)
