# SPDX-License-Identifier: Apache-2.0
"""What the generalist's labels are worth, by the rows that people checked.

The share of right labels comes with prediction-powered inference where the generalist's own confidence varies from row
to row, and with the exact binomial interval where it does not. How often two models agree is no part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import NotEnoughLabels
from bigenough.quantity import Quantity, measured
from bigenough.verdict.intervals import Interval
from bigenough.verdict.prediction_powered import class_shares, label_quality

__all__ = ["Confused", "Quality", "quality"]

Codes = NDArray[np.int64]
_NO_CONFIDENCE = "; the generalist gives no confidence that varies from row to row"


class Confused(NamedTuple):
    """How often rows of one label were called by another one."""

    gold: str
    said: str
    n: int


@dataclass(frozen=True, eq=False)
class Quality:
    """Of the generalist's labels.

    Attributes:
        right: the share of right ones among all that it gave, in %; the source names the method.
        shares: how frequent each label truly is among the rows that were asked, in %, in the order of the labels.
        confusion: (k, k + 1) checked rows by the label that people gave and the one that the generalist gave; the last
            column is for rows on which it gave none.
        classes: (k) the labels.
        if_skipped_wrong: ``right`` if it was wrong on every row that was passed over; None when none was.
    """

    right: Quantity
    shares: tuple[Quantity, ...]
    confusion: Codes
    classes: tuple[str, ...]
    if_skipped_wrong: Quantity | None = None

    @property
    def most_confused(self) -> list[Confused]:
        """The mistakes among checked rows, the most frequent first."""
        wrong = self.confusion[:, :-1].copy()
        np.fill_diagonal(wrong, 0)
        found = [Confused(self.classes[g], self.classes[s], int(wrong[g, s])) for g, s in np.argwhere(wrong)]
        return sorted(found, key=lambda each: (-each.n, each.gold, each.said))

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "right": self.right.to_json(),
            "if_skipped_wrong": None if self.if_skipped_wrong is None else self.if_skipped_wrong.to_json(),
            "classes": list(self.classes),
            "shares": [share.to_json() for share in self.shares],
            "confusion": {
                "rows": "as people labelled them, in the order of the classes",
                "columns": [*self.classes, None],
                "counts": self.confusion.tolist(),
            },
        }


def quality(
    gold: Codes,
    said: Codes,
    confidence: NDArray[np.float64],
    unchecked_said: Codes,
    unchecked_confidence: NDArray[np.float64],
    classes: Sequence[str],
    *,
    skipped: int = 0,
    alpha: float = 0.05,
) -> Quality:
    """Judge labels by a random sample that people checked.

    Args:
        gold: (n,) what people said, as codes.
        said: (n,) what the generalist said of the same rows; below 0 for no label.
        confidence: (n,) its confidence; nan without a label.
        unchecked_said: (N,) what it said of the rows that nobody checked.
        unchecked_confidence: (N,) its confidence there.
        classes: (k) the labels.
        skipped: labelled rows of the sample that people passed over.
        alpha: each interval's error.

    Raises:
        NotEnoughLabels: no checked row has a label of the generalist.

    Example:
        >>> gold = np.array([0, 0, 1, 1] * 25)
        >>> said = np.where(np.arange(100) % 10 == 0, 1, gold)
        >>> found = quality(gold, said, np.ones(100), said, np.ones(100), ("ham", "spam"))
        >>> found.most_confused, round(found.right.value)
        ([Confused(gold='ham', said='spam', n=5)], 95)
    """
    given, unchecked_given = said >= 0, unchecked_said >= 0
    if not given.any():
        raise NotEnoughLabels(
            "The generalist gave none of the checked rows a label, so nothing is known of its labels. Check more rows."
        )
    right = (gold == said)[given]
    figures = confidence[given], unchecked_confidence[unchecked_given]
    if np.ptp(np.concatenate(figures)) > 1e-9:
        interval = label_quality(right, *figures, alpha=alpha)
    else:
        interval = label_quality(right, alpha=alpha)
        interval = interval._replace(method=interval.method + _NO_CONFIDENCE)
    cautious = np.concatenate([right, np.zeros(skipped, dtype=bool)])
    k = len(classes)
    shares = class_shares(gold, _as_guess(said, k), _as_guess(unchecked_said, k), k, alpha=alpha)
    return Quality(
        _percent(interval, "share of right labels among those given"),
        tuple(_percent(share, "share of rows") for share in shares),
        np.bincount(gold * (k + 1) + np.where(given, said, k), minlength=k * (k + 1)).reshape(k, k + 1),
        tuple(classes),
        _percent(label_quality(cautious, alpha=alpha), "as if wrong on every row passed over") if skipped else None,
    )  # fmt: skip


def _as_guess(said: Codes, k: int) -> NDArray[np.float64]:
    """(rows, k) guesses; a row without a label gets none."""
    return np.asarray(np.vstack([np.eye(k), np.zeros(k)])[np.where(said >= 0, said, k)])


def _percent(interval: Interval, what: str) -> Quantity:
    low, high = 100 * interval.low, 100 * interval.high
    return measured(100 * interval.value, "%", f"{what}; {interval.method}", low=low, high=high)
