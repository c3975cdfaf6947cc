# SPDX-License-Identifier: Apache-2.0
"""Scores as probabilities."""

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption

__all__ = ["checked_temperature", "softmax"]


def softmax(scores: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """The (n, k) probabilities e^(s/T) / Σ e^(s/T) of (n, k) scores; a row depends on its own scores alone.

    >>> softmax(np.array([[0.0, np.log(3.0)]])).round(6).tolist()
    [[0.25, 0.75]]
    """
    scaled = np.asarray(scores, np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True, initial=-np.inf)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


def checked_temperature(temperature: float) -> float:
    """The temperature as a float. Raises ``BadOption`` unless it is finite and above zero."""
    if not 0 < temperature < float("inf"):
        raise BadOption(f"A temperature must be a finite number above zero. Got {temperature!r}.")
    return float(temperature)
