# SPDX-License-Identifier: Apache-2.0
"""What the embedding rungs share: logistic regression on dense features, and which of its settings may be searched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.protocol import Settings, Trial
from bigenough.rungs.softmax_regression import SoftmaxRegression, balanced_weights, fit_softmax_regression

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["first_head", "fit_head", "regression", "suggest_head"]


def first_head(n_classes: int) -> dict[str, Any]:
    """A penalty that is weaker the more classes there are: to tell 100 apart, unit vectors need longer weights.

    >>> first_head(4)["C"], first_head(20)["C"], first_head(150)["C"]
    (2.0, 10.0, 20.0)
    """
    return {"C": float(np.clip(n_classes / 2, 2, 20)), "balanced": False}


def suggest_head(trial: Trial) -> dict[str, Any]:
    """The strength of the penalty, and whether all classes weigh the same."""
    return {
        "C": trial.suggest_float("C", 0.1, 100.0, log=True),
        "balanced": trial.suggest_categorical("balanced", [False, True]),
    }


def fit_head(
    features: NDArray[np.floating],
    labels: NDArray[np.int64] | NDArray[np.float64],
    n_classes: int,
    settings: Settings,
) -> DenseHead:
    """Logistic regression on the features alone, as a head."""
    fitted = regression(features, labels, n_classes, settings)
    return DenseHead(fitted.weight.astype(np.float32), fitted.bias)


def regression(
    features: NDArray[np.floating],
    labels: NDArray[np.int64] | NDArray[np.float64],
    n_classes: int,
    settings: Settings,
    sparse: csr_array | None = None,
) -> SoftmaxRegression:
    """Multinomial logistic regression; ``C`` is meant for dense features whose variances sum to 1.

    ``labels`` are (n,) codes or (n, k) soft targets. The dense features are so scaled for the fit, and the weights
    given are for the features as they came. A class without training rows has a column of its own, with probability
    zero.
    """
    if not settings["C"] > 0:
        raise BadOption(f"C must be above zero. Got {settings['C']!r}.")
    spread = float(np.sqrt(features.var(axis=0, dtype=np.float64).sum())) or 1.0
    fitted = fit_softmax_regression(
        features / spread,
        labels,
        n_classes=n_classes,
        c=float(settings["C"]),
        row_weights=balanced_weights(labels) if settings["balanced"] else None,
        sparse=sparse,
    )
    return fitted._replace(weight=fitted.weight / spread)
