# SPDX-License-Identifier: Apache-2.0
"""When a training that may look at other rows stops, and which of its states is kept.

The state kept is the latest one that is not clearly worse than the best: a select split of some hundred rows cannot
tell two good epochs apart, and the learning rate is lowest at the end. Clearly is by more than one standard error of
the paired difference in the task's metric, the search's own rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.rungs.row_weights import paired_error, row_weights
from bigenough.task.metrics import accuracy, score
from bigenough.task.task import MetricName

__all__ = ["PATIENCE", "Looks", "clearly_worse"]

PATIENCE = 2
"""Looks in a row that were clearly worse than the best one, after which nothing better is waited for."""
_ROUNDING = 1e-12


def clearly_worse(hits: NDArray[np.bool_], best: NDArray[np.bool_]) -> bool:
    """Whether the first has fewer hits, by more than one standard error of the difference, all rows alike.

    >>> best = np.ones(100, bool)
    >>> clearly_worse(np.arange(100) >= 1, best), clearly_worse(np.arange(100) >= 2, best)
    (False, True)
    """
    return bool(best.sum() - hits.sum() > paired_error(hits, best, np.ones(len(best))) + _ROUNDING)


@dataclass
class Looks:
    """What was seen so far.

    Attributes:
        metric: what is to be high.
        seen: one record a look: epochs, accuracy, the metric if it is another, log loss.
        best: (n,) hits of the look with the highest score, the later one on a tie.
        best_score: its score.
        kept: the steps after which the state that is kept was looked at.
        bad: looks in a row that were clearly worse.
    """

    metric: MetricName = "accuracy"
    seen: list[dict[str, float]] = field(default_factory=list)
    best: NDArray[np.bool_] | None = None
    best_score: float = 0.0
    kept: int = 0
    bad: int = 0

    def look(self, probability: NDArray[np.float64], labels: NDArray[np.int64], steps: int, epochs: float) -> bool:
        """Take a look into account; whether the state it was made of is the one to keep.

        The code after those of the k columns is that of a class which is never answered: all its rows are misses.

        >>> looks, labels = Looks(), np.zeros(100, np.int64)
        >>> [looks.look(np.eye(2)[(np.arange(100) < wrong).astype(int)], labels, 1, 1.0) for wrong in (0, 1, 2)]
        [True, True, False]
        """
        predicted = probability.argmax(axis=1)
        hits, found = predicted == labels, score(self.metric, labels, predicted)
        of_all = np.pad(probability, ((0, 0), (0, 1)))
        right = np.maximum(of_all[np.arange(len(labels)), labels], 1e-12)
        told = {"epochs": round(epochs, 3), "accuracy": accuracy(labels, predicted), self.metric: found}
        self.seen.append({**told, "log_loss": float(-np.log(right).mean())})
        if self.best is None or found >= self.best_score - _ROUNDING:
            self.best, self.best_score = hits, found
        error = paired_error(hits, self.best, row_weights(self.metric, labels))
        if self.best_score - found > error + _ROUNDING:
            self.bad += 1
            return False
        self.bad, self.kept = 0, steps
        return True

    @property
    def over(self) -> bool:
        """Whether training may stop."""
        return self.bad >= PATIENCE

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON values, for a checkpoint."""
        best = None if self.best is None else np.flatnonzero(self.best).tolist()
        return {**vars(self), "best": best}

    @classmethod
    def from_json(cls, data: dict[str, Any], n_rows: int) -> Looks:
        """What ``to_json`` gave, of so many rows."""
        best = None
        if data["best"] is not None:
            best = np.zeros(n_rows, dtype=bool)
            best[data["best"]] = True
        return cls(**{**data, "seen": list(data["seen"]), "best": best})
