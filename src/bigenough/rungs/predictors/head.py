# SPDX-License-Identifier: Apache-2.0
"""A linear classifier on dense features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bigenough.rungs.predictors.softmax import checked_temperature, softmax

__all__ = ["DenseHead"]


@dataclass(frozen=True, eq=False)
class DenseHead:
    """Softmax of (features · weight + bias) / temperature.

    Attributes:
        weight: (d, k) float32, or float64.
        bias: (k,) float64; a class without training rows has −10,000, which gives it probability zero.
        temperature: what the scores are divided by.
    """

    weight: NDArray[np.floating]
    bias: NDArray[np.float64]
    temperature: float = 1.0

    @property
    def n_classes(self) -> int:
        """k, the width of ``probabilities``; two classes have two columns."""
        return len(self.bias)

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return self.weight.size + self.bias.size

    def scores(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """The (n, k) scores of (n, d) features, in float64 so that a row has the same ones in any batch."""
        # A sum over axis 1 of products, row by row, would be exact in any batch too, and a hundred times slower.
        return features.astype(np.float64) @ self._weight + self.bias

    @cached_property
    def _weight(self) -> NDArray[np.float64]:
        """In float64, kept: to make it anew takes longer than to score one row with it."""
        return self.weight.astype(np.float64, copy=False)

    def probabilities(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """The (n, k) class probabilities of (n, d) features.

        >>> DenseHead(np.eye(2), np.zeros(2)).probabilities(np.array([[0.0, 0.0]])).tolist()
        [[0.5, 0.5]]
        """
        return softmax(self.scores(features), self.temperature)

    def with_temperature(self, temperature: float) -> Self:
        """The same head with its log-probabilities divided by the temperature."""
        return replace(self, temperature=self.temperature * checked_temperature(temperature))

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Its arrays, by the names that ``from_tensors`` reads."""
        return {"head.weight": self.weight, "head.bias": self.bias}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]], temperature: float) -> Self:
        """The head whose arrays ``tensors`` gave. Raises ``ValueError`` when they do not fit together."""
        weight, bias = tensors["head.weight"], tensors["head.bias"]
        if weight.ndim != 2 or bias.shape != weight.shape[1:]:
            raise ValueError(f"the head's weight {weight.shape} and bias {bias.shape} do not fit together")
        return cls(weight, bias.astype(np.float64), checked_temperature(temperature))
