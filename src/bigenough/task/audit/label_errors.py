# SPDX-License-Identifier: Apache-2.0
"""Labels that are probably wrong, and the ceiling that wrong labels set.

Confident learning (Northcutt, Jiang & Chuang 2021, *Confident Learning: Estimating Uncertainty in Dataset Labels*, JAIR
70; the library cleanlab) compares each label with probabilities from a model that has not seen the row. A row counts as
confidently in class j when its probability of j reaches the mean probability of j over the rows labelled j.

Certify is left out on purpose: a model's opinion on certify's labels would be a look at certify before the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.quantity import Quantity, modelled, unknown
from bigenough.task.audit.findings import Finding, counted, excerpt, finding, hidden, share
from bigenough.task.audit.out_of_fold import OutOfFold
from bigenough.task.task import Examples

__all__ = ["Suspects", "find_label_errors", "noise_ceiling", "suspects"]

MIN_ROWS = 100
_TRUSTED = 0.8
_Z95 = 1.959963984540054

Codes = NDArray[np.int64]
Probabilities = NDArray[np.float64]


class Suspects(NamedTuple):
    """Rows whose label is probably wrong, the least likely label first.

    Attributes:
        places: (m,) places in the arrays that were given.
        given: (m,) the probability of the label that they have.
        suggested: (m,) the code of the likeliest other label.
    """

    places: Codes
    given: Probabilities
    suggested: Codes


def suspects(labels: Codes, probability: Probabilities) -> Suspects:
    """Rows with the lowest probability of their own label, as many as confident learning counts as wrongly labelled.

    cleanlab's ``filter_by="low_self_confidence"``: with random errors planted in text it named fewer right labels than
    the library's other filters.
    """
    from cleanlab.filter import find_label_issues

    present, codes = np.unique(labels, return_inverse=True)
    own = _rows_normalised(probability[:, present])
    places = np.asarray(
        find_label_issues(
            codes, own, filter_by="low_self_confidence", return_indices_ranked_by="self_confidence", n_jobs=1
        ),
        dtype=np.int64,
    )
    given = own[places, codes[places]]
    others = own[places].copy()
    others[np.arange(len(places)), codes[places]] = -1.0
    return Suspects(places, given, present[others.argmax(axis=1)].astype(np.int64))


def noise_ceiling(labels: Codes, probability: Probabilities, *, hard_ceiling: float = 1.0) -> Quantity:
    """The accuracy at which wrong labels would stop even a perfect model: one minus their estimated share.

    The value takes the rows that are confidently in another class than their label for wrong; it tends to be right when
    errors fall at random and the model is good. The lower bound uses the calibrated confident joint (Northcutt et al.,
    eq. 3), which counts the model's own confident mistakes as wrong labels, with a 95 % sampling error; it never lies
    below what the out-of-fold model already scores. The upper bound is ``hard_ceiling``: it may be that no label is
    wrong save where identical texts contradict each other.

    Args:
        labels: (n,) codes.
        probability: (n, k) out-of-fold probabilities.
        hard_ceiling: what contradictions leave possible, from ``contradiction_ceiling``.

    Returns:
        A fraction from 0 to 1, modelled; unknown below 100 rows.
    """
    n = len(labels)
    if n < MIN_ROWS:
        return unknown("accuracy", f"label noise is not estimated on fewer than {MIN_ROWS} rows")
    from cleanlab.count import compute_confident_joint, estimate_joint

    present, codes = np.unique(labels, return_inverse=True)
    own = _rows_normalised(probability[:, present])
    counts = compute_confident_joint(codes, own, calibrate=False)
    joint = estimate_joint(codes, own, confident_joint=None)
    doubted = float(counts.sum() - np.trace(counts)) / n
    wrong = float(np.clip(1.0 - np.trace(joint), 0.0, 1.0))
    reached = float((own.argmax(axis=1) == codes).mean())
    low = max(1 - wrong - _sampling_error(wrong, n), reached - _sampling_error(reached, n))
    value = min(max(1 - doubted, low), hard_ceiling)
    return modelled(
        value,
        "accuracy",
        "confident learning on out-of-fold predictions (Northcutt, Jiang & Chuang 2021), fit and select rows only; the "
        "value takes confident disagreement for label error, low counts all of the model's confident mistakes as such, "
        f"high none beyond contradictions; the model agrees with {share(reached, 1)} of the labels; the weaker it is, "
        "the more the value is too low",
        low=min(low, value),
        high=max(hard_ceiling, value),
    )


def find_label_errors(
    examples: Examples, classes: Sequence[str], guessed: OutOfFold
) -> tuple[list[Finding], Suspects | None]:
    """The finding on suspected label errors; none when fewer than 100 rows have out-of-fold predictions."""
    labels = examples.labels[guessed.positions]
    if len(labels) < MIN_ROWS:
        return [], None
    found = suspects(labels, guessed.probability)
    if not len(found.places):
        return [], found
    positions = guessed.positions[found.places]
    part = len(positions) / len(labels)
    quoted = [
        excerpt(f"{classes[int(examples.labels[i])]!r}, rather {classes[int(other)]!r}? {hidden(examples.texts[i])}")
        for i, other in zip(positions[:6], found.suggested[:6], strict=True)
    ]
    reached = float((guessed.probability.argmax(axis=1) == labels).mean())
    return [
        finding(
            "label_errors",
            "warning" if part >= 0.01 and reached >= _TRUSTED else "info",
            examples,
            positions,
            f"{counted(len(positions), 'label looks', 'labels look')} wrong, of {len(labels):,} fit and select rows "
            f"examined ({share(len(positions), len(labels))}), the least likely first. The model that doubts them "
            f"agrees with {share(reached, 1)} of all labels: "
            + (
                "some of these are right and merely hard."
                if reached >= _TRUSTED
                else "most of these may well be right."
            ),
            "Read them from the top and correct what is wrong; stop when most are right. Certify rows were not "
            "examined: that would open certify before the verdict.",
            excerpts=quoted,
        )
    ], found


def _rows_normalised(probability: Probabilities) -> Probabilities:
    clipped = np.clip(probability, 1e-12, 1.0)
    return np.asarray(clipped / clipped.sum(axis=1, keepdims=True))


def _sampling_error(p: float, n: int) -> float:
    return _Z95 * float(np.sqrt(p * (1 - p) / n))
