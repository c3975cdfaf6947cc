# SPDX-License-Identifier: Apache-2.0
"""What labels that a model gave are worth, from a small random sample that people checked.

Prediction-powered inference (Angelopoulos, Bates, Fannjiang, Jordan & Zrnic 2023, Science 382:669) for a mean: n rows
were drawn at random and checked, N were not, and every row has a cheap guess f of what a check would say, y. With

    estimate = mean(y) + λ (mean of f over the N − mean of f over the n)

the guess may be as wrong as it likes: the n rows correct it. λ is the one with the smallest variance (PPI++:
Angelopoulos, Duchi & Zrnic 2023, arXiv:2311.01453, example 6.1), kept between 0 and 1; a useless guess gets λ near 0
and the estimate is the plain share of the checked rows. For a plain mean this is the regression estimator of surveys.

Their interval is that of the normal limit, which misses a share near 0 or 1 in up to 9 % of cases where it promises 5
(simulated at 100 to 400 checked rows). So the gain is expressed as an *effective* number of checked rows, n × the
variance of the plain share / that of the estimate, and the interval is Clopper & Pearson's (1934) at that number, with
Student's t for the estimated variance, as is done for shares in surveys (Korn & Graubard 1998, Survey Methodology
24:193). With fewer than ``LEAST_CHECKED`` checked rows, or fewer than ``LEAST_EACH`` of them on either side, no
variance can be relied on, the guesses are left out and the interval is the exact one of the checked rows; ``method``
says which it was.

Both hold for the population that all n + N rows are draws of; for these n + N rows themselves the interval is somewhat
too wide. Agreement between models is no guess of rightness and is never called quality.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bigenough.errors import BadOption, NotEnoughLabels
from bigenough.verdict.intervals import Interval
from bigenough.verdict.noninferiority import Bounds, exact_bounds

__all__ = ["LEAST_CHECKED", "LEAST_EACH", "class_shares", "label_quality"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

LEAST_CHECKED = 50
LEAST_EACH = 10
UNSEEN = 2
"""So many more checked rows count as if the model had been wrong about a class there: of one that errs on a row in 200,
200 checked rows often show no error, and the interval would then be that of its own count."""


def label_quality(
    checked_right: NDArray[np.bool_],
    checked_confidence: Floats | None = None,
    unchecked_confidence: Floats | None = None,
    alpha: float = 0.05,
) -> Interval:
    """The share of a model's labels that are right, with a two-sided interval of error ``alpha``.

    Without a confidence nothing is known of a row's rightness before it is checked, so the unchecked rows say nothing
    and the interval is the exact one of the checked rows. A confidence is used as the guess; it need not be calibrated.

    Args:
        checked_right: (n,) whether a person found the label right, on rows that were drawn at random.
        checked_confidence: (n,) the model's confidence in those labels.
        unchecked_confidence: (N,) its confidence in the labels that nobody checked.
        alpha: the interval's error.

    Raises:
        NotEnoughLabels: no row was checked.
        BadOption: shapes or numbers that make no sense.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> confidence = rng.beta(4, 1, 5000)
        >>> right = rng.random(5000) < confidence                  # 80 % in truth
        >>> plain = label_quality(right[:300])
        >>> helped = label_quality(right[:300], confidence[:300], confidence[300:])
        >>> [round(each, 3) for each in plain[:3]], plain.method
        ([0.817, 0.768, 0.859], 'Clopper–Pearson, 300 checked rows')
        >>> [round(each, 3) for each in helped[:3]], helped.method
        ([0.825, 0.783, 0.862], 'prediction-powered (λ = 1.00), Clopper–Pearson at 383 effective of 300 checked rows')
    """
    right = np.asarray(checked_right)
    if right.dtype != np.bool_ or right.ndim != 1:
        raise BadOption("A checked label is right or wrong: expected one boolean a checked row.")
    if (checked_confidence is None) != (unchecked_confidence is None):
        raise BadOption("Give the confidence of checked and of unchecked rows, or of neither.")
    _check(len(right), alpha)
    if checked_confidence is None or unchecked_confidence is None:
        return _exact(right, alpha, "")
    _check_guesses(len(right), checked_confidence, unchecked_confidence)
    return _powered(right, checked_confidence, unchecked_confidence, alpha)


def class_shares(
    checked_gold: Codes,
    checked_said: Codes | Floats,
    unchecked_said: Codes | Floats,
    n_classes: int,
    alpha: float = 0.05,
) -> list[Interval]:
    """How frequent each class truly is, in the order of the codes; a count of the model's labels would be biased.

    Each interval has error ``alpha`` of its own. The estimates need not sum to exactly 1.

    Args:
        checked_gold: (n,) codes that people gave to rows that were drawn at random.
        checked_said: what the model said of those rows: (n,) codes, or (n, k) class probabilities.
        unchecked_said: the same of the rows that nobody checked: (N,) or (N, k).
        n_classes: k.
        alpha: each interval's error.

    Raises:
        NotEnoughLabels: no row was checked.
        BadOption: shapes, codes or numbers that make no sense.

    Example:
        >>> gold = np.array([0, 0, 0, 1] * 250)
        >>> said = np.where(np.arange(1000) % 20 == 3, 0, gold)    # the model misses some rows of class 1
        >>> [round(each.value, 2) for each in class_shares(gold[:200], said[:200], said[200:], 2)]
        [0.75, 0.25]
    """
    gold = np.asarray(checked_gold)
    _check(len(gold), alpha)
    if gold.ndim != 1 or not np.all((gold >= 0) & (gold < n_classes)):
        raise BadOption(f"Expected one code from 0 to {n_classes - 1} for each checked row. Got {gold.shape}.")
    checked, unchecked = _guesses(checked_said, n_classes), _guesses(unchecked_said, n_classes)
    found = []
    for code in range(n_classes):
        _check_guesses(len(gold), checked[:, code], unchecked[:, code])
        found.append(_powered(gold == code, checked[:, code], unchecked[:, code], alpha, unseen=UNSEEN))
    return found


def _powered(
    right: NDArray[np.bool_], checked: Floats, unchecked: Floats, alpha: float, *, unseen: int = 0
) -> Interval:
    """The interval; ``unseen`` more checked rows count as if the guess had been wrong on them."""
    n, n_unchecked, hits = len(right), len(unchecked), int(right.sum())
    if n < LEAST_CHECKED:
        return _exact(right, alpha, f"; fewer than {LEAST_CHECKED}, so the model's own figures are not used")
    if min(hits, n - hits) < LEAST_EACH:
        return _exact(right, alpha, f"; fewer than {LEAST_EACH} on one side, so the model's own figures are not used")
    if n_unchecked == 0:
        return _exact(right, alpha, "; there are no others")
    y = right.astype(np.float64)
    spread = float(np.var(np.concatenate([checked, unchecked]), ddof=1))
    together = float(np.cov(y, checked)[0, 1])
    weight = 0.0 if spread < 1e-12 else min(max(together / ((1 + n / n_unchecked) * spread), 0.0), 1.0)
    if weight == 0:
        return _exact(right, alpha, "; the model's own figures do not tell right from wrong")
    share = float(y.mean() + weight * (unchecked.mean() - checked.mean()))
    variance = weight**2 * spread / n_unchecked + float(np.var(y - weight * checked, ddof=1)) / n + unseen / n**2
    plain = float(np.var(y, ddof=1)) / n
    effective = min(n * plain / variance, n + n_unchecked) if variance > 0 else n + n_unchecked
    low, high = _clopper_pearson(share, effective * _student(n, alpha), alpha / 2)
    method = (
        f"prediction-powered (λ = {weight:.2f}), Clopper–Pearson at {effective:,.0f} effective of {n:,} checked rows"
    )
    return Interval(min(max(share, low), high), low, high, method)


def _student(n: int, alpha: float) -> float:
    return float((stats.norm.isf(alpha / 2) / stats.t.isf(alpha / 2, n - 1)) ** 2)


def _clopper_pearson(share: float, n: float, level: float) -> Bounds:
    """Clopper & Pearson's bounds for a share of a number of rows that need not be whole."""
    hits = min(max(share, 0.0), 1.0) * n
    low = 0.0 if hits <= 0 else float(stats.beta.ppf(level, hits, n - hits + 1))
    high = 1.0 if hits >= n else float(stats.beta.isf(level, hits + 1, n - hits))
    return Bounds(low, high)


def _exact(right: NDArray[np.bool_], alpha: float, why: str) -> Interval:
    hits, n = int(right.sum()), len(right)
    return Interval(hits / n, *exact_bounds(hits, n, alpha / 2), f"Clopper–Pearson, {n:,} checked rows{why}")


def _guesses(said: Codes | Floats, n_classes: int) -> Floats:
    """(rows, k) guesses: probabilities as they are, codes as one 1 a row."""
    array = np.asarray(said)
    if array.ndim == 2 and array.shape[1] == n_classes:
        return array.astype(np.float64)
    if array.ndim == 1 and np.issubdtype(array.dtype, np.integer) and np.all((array >= 0) & (array < n_classes)):
        return np.asarray(np.eye(n_classes)[array])
    raise BadOption(
        f"Expected codes from 0 to {n_classes - 1}, or {n_classes} probabilities a row. Got {array.dtype} of the shape "
        f"{array.shape}."
    )


def _check(n: int, alpha: float) -> None:
    if n == 0:
        raise NotEnoughLabels("No row was checked, so nothing is known of the labels. Check a random sample of rows.")
    if not 0 < alpha < 0.5:
        raise BadOption(f"alpha must lie between 0 and 0.5. Got {alpha!r}.")


def _check_guesses(n: int, checked: Floats, unchecked: Floats) -> None:
    if checked.shape != (n,) or unchecked.ndim != 1:
        raise BadOption(
            f"Expected what the model said of {n} checked rows and of the unchecked ones, one figure a row. Got the "
            f"shapes {checked.shape} and {unchecked.shape}."
        )
    if not (np.isfinite(checked).all() and np.isfinite(unchecked).all()):
        raise BadOption("A confidence is a finite number. Leave rows without one out of both, or give none at all.")
