# SPDX-License-Identifier: Apache-2.0
"""The model that never reads the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bigenough.rungs.predictors.artefact import FACTS, damaged, read_facts, write_predictor
from bigenough.rungs.predictors.softmax import checked_temperature

__all__ = ["ConstantPredictor"]


@dataclass(frozen=True, eq=False)
class ConstantPredictor:
    """Says the same of every text: how often each class occurred.

    Attributes:
        frequencies: (k,) float64, summing to 1.
        temperature: what their logarithms are divided by.
    """

    kind: ClassVar[str] = "constant"
    frequencies: NDArray[np.float64]
    temperature: float = 1.0

    @property
    def n_parameters(self) -> int:
        """One for each class."""
        return len(self.frequencies)

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return len(self.frequencies)

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The (n, k) frequencies, one row a text."""
        # Divided by the largest first: a low temperature must not turn all of them into zeros.
        powered = (self.frequencies / self.frequencies.max()) ** (1.0 / self.temperature)
        return np.tile(powered / powered.sum(), (len(texts), 1))

    def with_temperature(self, temperature: float) -> Self:
        """The same model with its log-probabilities divided by the temperature."""
        return replace(self, temperature=self.temperature * checked_temperature(temperature))

    def save(self, folder: Path) -> None:
        """Write ``predictor.json``."""
        facts = {"temperature": self.temperature, "frequencies": self.frequencies.tolist()}
        write_predictor(folder, self.kind, facts)

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None) -> Self:
        """The model that ``save`` wrote; it has no use for threads."""
        facts = read_facts(folder)
        frequencies = np.array(facts["frequencies"], np.float64)
        if frequencies.ndim != 1 or not len(frequencies) or not np.isclose(frequencies.sum(), 1.0):
            raise damaged(folder / FACTS, "its frequencies do not sum to 1")
        return cls(frequencies, checked_temperature(facts["temperature"]))
