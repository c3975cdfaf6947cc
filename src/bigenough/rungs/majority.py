# SPDX-License-Identifier: Apache-2.0
"""The lowest rung: what one gets without reading. Whoever cannot beat it has learned nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bigenough.rungs.predictors.constant import ConstantPredictor
from bigenough.rungs.protocol import Settings, Trial, Workbench
from bigenough.task import Examples

__all__ = ["MajorityRung"]


class MajorityRung:
    """Predicts the most frequent class of the training rows, with the classes' shares as probabilities."""

    name = "majority"
    version = 1
    summary = "always the most frequent class"
    place = 0

    def weights(self, bench: Workbench) -> Mapping[str, str]:
        """None."""
        return {}

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """Nothing to set."""
        return {}

    def suggest(self, trial: Trial, examples: Examples, n_classes: int) -> Settings:
        """Nothing to search."""
        return {}

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> ConstantPredictor:
        """Count the classes."""
        counts = np.bincount(examples.labels, minlength=n_classes).astype(np.float64)
        return ConstantPredictor(counts / counts.sum())
