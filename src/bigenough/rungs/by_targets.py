# SPDX-License-Identifier: Apache-2.0
"""The fits of a rung for which a label is a certain target, and a teacher's probabilities are uncertain ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bigenough.rungs.protocol import Predictor, Settings, Watched, Workbench
from bigenough.rungs.training.recipe import one_hot
from bigenough.task import Examples

__all__ = ["LearnsTargets"]

PredictorT = TypeVar("PredictorT", bound=Predictor)


class LearnsTargets(ABC, Generic[PredictorT]):
    """A rung that learns from (n, k) class probabilities, with or without sight of rows to stop early by."""

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> PredictorT:
        """Train for as many epochs as the settings say."""
        return self._fitted(examples.texts, _certain(examples, n_classes), settings, bench)[0]

    def fit_recorded(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> Watched:
        """``fit``, with what it came to, and what it gave up to keep within time and memory."""
        return Watched(*self._fitted(examples.texts, _certain(examples, n_classes), settings, bench))

    def fit_watching(
        self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench, watch: Examples
    ) -> Watched:
        """Train with a look at ``watch`` after each epoch; the settings say how long it was worth it."""
        return Watched(*self._fitted(examples.texts, _certain(examples, n_classes), settings, bench, watch))

    def fit_soft(
        self,
        texts: Sequence[str],
        targets: NDArray[np.float64],
        n_classes: int,
        settings: Settings,
        bench: Workbench,
    ) -> PredictorT:
        """``fit`` from (n, k) class probabilities in place of labels, such as a teacher's."""
        return self._fitted(texts, targets, settings, bench)[0]

    def fit_soft_recorded(
        self,
        texts: Sequence[str],
        targets: NDArray[np.float64],
        n_classes: int,
        settings: Settings,
        bench: Workbench,
    ) -> Watched:
        """``fit_soft``, with the record of ``fit_recorded``."""
        return Watched(*self._fitted(texts, targets, settings, bench))

    def fit_soft_watching(
        self,
        texts: Sequence[str],
        targets: NDArray[np.float64],
        n_classes: int,
        settings: Settings,
        bench: Workbench,
        watch: Examples,
    ) -> Watched:
        """``fit_soft``, with a look at ``watch`` after each epoch."""
        return Watched(*self._fitted(texts, targets, settings, bench, watch))

    @abstractmethod
    def _fitted(
        self,
        texts: Sequence[str],
        targets: NDArray[np.float64],
        settings: Settings,
        bench: Workbench,
        watch: Examples | None = None,
    ) -> tuple[PredictorT, Settings, Mapping[str, Any]]:
        """The model, the settings as they were carried out, and the record."""


def _certain(examples: Examples, n_classes: int) -> NDArray[np.float64]:
    return one_hot(examples.labels, n_classes).astype(np.float64)
