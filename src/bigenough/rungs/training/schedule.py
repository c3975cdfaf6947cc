# SPDX-License-Identifier: Apache-2.0
"""The learning rate over a training, how far vectors are moved, and in which order rows come: pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["POOL", "epoch_batches", "learning_rate_at", "strength_at"]

POOL = 40
"""Batches' worth of shuffled rows that are sorted by length together: enough that hardly any padding is left, and few
enough that who shares a batch stays a matter of chance."""

RISEN = 0.5
"""The share of a training after which an adversary's step has its whole length."""


def learning_rate_at(progress: float, warm_up: float) -> float:
    """The share of the highest learning rate at this share of the training: up in a line, then down to zero in one.

    >>> [round(learning_rate_at(progress, 0.1), 6) for progress in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if progress < warm_up:
        return progress / warm_up
    return max(0.0, (1 - progress) / (1 - warm_up))


def strength_at(progress: float) -> float:
    """The share of an adversary's step at this share of the training: it rises in a line until ``RISEN``.

    A network that meets the whole step before it has learned anything may settle on saying the same of every row.

    >>> [strength_at(progress) for progress in (0.0, 0.25, 0.5, 1.0)]
    [0.0, 0.5, 1.0, 1.0]
    """
    return min(1.0, progress / RISEN)


def epoch_batches(lengths: NDArray[np.int64], size: int, seed: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """Each of n rows once, in batches of ``size`` rows of about one length, in an order that ``seed`` decides.

    >>> lengths = np.array([5, 1, 5, 1, 5, 1])
    >>> sorted(sorted(lengths[batch].tolist()) for batch in epoch_batches(lengths, 3, (0,)))
    [[1, 1, 1], [5, 5, 5]]
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), size * POOL):
        pool = order[start : start + size * POOL]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[first : first + size] for first in range(0, len(pool), size)]
    return [batches[place] for place in rng.permutation(len(batches))]
