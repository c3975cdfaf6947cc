# SPDX-License-Identifier: Apache-2.0
"""Honest probabilities by one number, fitted where the settings were chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption
from bigenough.rungs.predictors.softmax import checked_temperature, softmax

__all__ = ["COLDEST", "HOTTEST", "fit_temperature", "temper"]

COLDEST, HOTTEST = 0.05, 20.0


def fit_temperature(probability: NDArray[np.float64], gold: NDArray[np.int64]) -> float:
    """The temperature T that makes p^(1/T) / Σ p^(1/T) fit the gold labels best (Guo et al. 2017, section 4.2).

    Minimises the mean log loss over log T by a bounded scalar search. The loss is convex in 1/T, so the search finds
    the one minimum; where there is none inside (every row is right, or none says anything), T ends at the bound or
    stays 1. Above 1 the model was too sure of itself. Labels do not change. Gold classes of probability zero count as
    1e-12, as in ``log_loss``.

    Args:
        probability: (n, k) class probabilities at temperature 1.
        gold: (n,) codes.

    Returns:
        T from 0.05 to 20.

    >>> sure = np.array([[0.99, 0.01]] * 4)
    >>> 1 < fit_temperature(sure, np.array([0, 0, 0, 1]))
    True
    """
    from scipy.optimize import minimize_scalar

    if probability.ndim != 2 or probability.shape[0] != len(gold):
        raise BadOption(
            "A temperature needs one row of probabilities for each gold label. "
            f"Got probabilities of shape {probability.shape} and {len(gold)} labels."
        )
    logits = _logarithms(probability)
    if not len(gold) or np.ptp(logits, axis=1).max(initial=0.0) == 0.0:
        return 1.0
    rows = np.arange(len(gold))

    def loss(log_temperature: float) -> float:
        tempered = softmax(logits, float(np.exp(log_temperature)))[rows, gold]
        return float(-np.mean(np.log(np.maximum(tempered, 1e-12))))

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-5})
    best = min((float(found.x), 0.0), key=loss)
    return float(np.clip(np.exp(best), COLDEST, HOTTEST))


def temper(probability: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """The (n, k) probabilities with their logarithms divided by the temperature; zeros stay zero.

    >>> temper(np.array([[0.8, 0.2]]), 2.0).round(4).tolist()
    [[0.6667, 0.3333]]
    """
    tempered = softmax(_logarithms(probability), checked_temperature(temperature))
    tempered[probability == 0] = 0.0
    tempered /= tempered.sum(axis=1, keepdims=True)
    return tempered


def _logarithms(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(np.maximum(probability, np.finfo(np.float64).tiny))
