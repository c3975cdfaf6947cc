# SPDX-License-Identifier: Apache-2.0
"""Which unlabelled rows to label next, and what for.

Rows for the *proof* are a plain random sample: a test split that was picked for being hard, or by any model's opinion,
measures something else. Rows for *learning* are those on which the candidates disagree or waver; they belong in fit,
and must never be added to certify.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption

__all__ = ["NextRow", "next_rows"]


class NextRow(NamedTuple):
    """A row to label: its position in the unlabelled rows, what the label is for, and why this row."""

    position: int
    purpose: Literal["proof", "learning"]
    reason: str


def next_rows(
    probabilities: Mapping[str, NDArray[np.float64]], *, proof: int, learning: int, seed: int = 0
) -> list[NextRow]:
    """Advice on labelling, the proof's rows first.

    The proof's rows are drawn at random before anything is looked at. Of the others, rows are ranked by the
    disagreement of the candidates' probabilities (the Jensen–Shannon divergence, as in query by committee: McCallum &
    Nigam 1998), then by the smallest margin between the two likeliest classes of the mean (Scheffer, Decomain & Wrobel
    2001); to keep them varied, they are taken in turn from the classes that the mean predicts.

    Args:
        probabilities: (m, k) class probabilities on the unlabelled rows, by candidate.
        proof: how many rows to draw for certify.
        learning: how many rows to pick for fit.
        seed: the draw's.

    Returns:
        At most m rows; fewer than asked when there are not enough.

    Example:
        >>> sure, torn = np.array([[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]]), np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
        >>> next_rows({"linear": sure, "frozen": torn}, proof=0, learning=1)
        [NextRow(position=1, purpose='learning', reason='candidates disagree: 2 labels from 2 candidates')]
    """
    shapes = {array.shape for array in probabilities.values()}
    if len(shapes) != 1:
        raise BadOption(
            f"All candidates must give probabilities of the same rows and classes. Got the shapes {sorted(shapes)}."
        )
    if proof < 0 or learning < 0:
        raise BadOption(f"The numbers of rows must not be negative. Got proof={proof}, learning={learning}.")
    stacked = np.stack(list(probabilities.values()))  # (candidates, rows, classes)
    n_rows = stacked.shape[1]
    drawn = np.random.default_rng(seed).permutation(n_rows)[:proof]
    rows = [NextRow(int(i), "proof", "drawn at random: a fresh test, to be given as --test") for i in drawn]
    free = np.ones(n_rows, dtype=bool)
    free[drawn] = False
    labels = stacked.argmax(axis=2)
    for i in _most_telling(stacked, free)[:learning]:
        n_labels = len(np.unique(labels[:, i]))
        disagree = f"candidates disagree: {n_labels} labels from {len(stacked)} candidates"
        reason = disagree if n_labels > 1 else "candidates waver between the two likeliest labels"
        rows.append(NextRow(int(i), "learning", reason))
    return rows


def _most_telling(stacked: NDArray[np.float64], free: NDArray[np.bool_]) -> list[int]:
    mean = stacked.mean(axis=0)
    divergence = _entropy(mean) - _entropy(stacked).mean(axis=0)
    top = np.sort(mean, axis=1)[:, -2:]
    margin = top[:, -1] - top[:, 0] if mean.shape[1] > 1 else np.zeros(len(mean))
    order = np.lexsort((np.arange(len(mean)), margin, -np.round(divergence, 9)))
    order = order[free[order]]
    predicted = mean.argmax(axis=1)[order]
    turn = np.zeros(len(order), dtype=np.int64)  # the first of each class, then the second of each class, ...
    for label in np.unique(predicted):
        of_class = predicted == label
        turn[of_class] = np.arange(of_class.sum())
    return [int(i) for i in order[np.argsort(turn, kind="stable")]]


def _entropy(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-np.sum(probability * np.log(np.clip(probability, 1e-300, 1.0)), axis=-1))
