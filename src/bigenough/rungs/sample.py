# SPDX-License-Identifier: Apache-2.0
"""Which rows stand for all of them when only some can be used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["stratified_order"]


def stratified_order(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """An order of the n rows of which every beginning is a stratified sample, each beginning within the longer ones.

    The i-th row of a class of size c (shuffled) stands at i/c, so the first rows are one of each class.

    >>> labels = np.array([0] * 6 + [1] * 3)
    >>> np.bincount(labels[stratified_order(labels, 1)[:3]]).tolist()
    [2, 1]
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.bincount(labels)
    of_class = labels[by_class]
    place = np.arange(len(labels)) - (np.cumsum(sizes) - sizes)[of_class]
    return by_class[np.argsort(place / sizes[of_class], kind="stable")]
