# SPDX-License-Identifier: Apache-2.0
"""When a training that may look at other rows stops, and which of its states is kept.

The state kept is the latest one that is not clearly worse than the best: a select split of some hundred rows cannot
tell two good epochs apart, and the learning rate is lowest at the end. Clearly is by more than one standard error of
the paired difference in hits, the search's own rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PATIENCE", "Looks", "clearly_worse"]

PATIENCE = 2
"""Looks in a row that were clearly worse than the best one, after which nothing better is waited for."""


def clearly_worse(hits: NDArray[np.bool_], best: NDArray[np.bool_]) -> bool:
    """Whether the first has fewer hits, by more than one standard error of the difference.

    Rows on which the two agree say nothing; of d that differ, the difference in hits has a standard error of √d at
    most (McNemar 1947).

    >>> best = np.ones(100, bool)
    >>> clearly_worse(np.arange(100) >= 1, best), clearly_worse(np.arange(100) >= 2, best)
    (False, True)
    """
    return bool(best.sum() - hits.sum() > np.sqrt(np.count_nonzero(hits != best)))


@dataclass
class Looks:
    """What was seen so far.

    Attributes:
        seen: one record a look: epochs, accuracy, log loss.
        best: (n,) hits of the look with the most of them, the later one on a tie.
        kept: the steps after which the state that is kept was looked at.
        bad: looks in a row that were clearly worse.
    """

    seen: list[dict[str, float]] = field(default_factory=list)
    best: NDArray[np.bool_] | None = None
    kept: int = 0
    bad: int = 0

    def look(self, probability: NDArray[np.float64], labels: NDArray[np.int64], steps: int, epochs: float) -> bool:
        """Take a look into account; whether the state it was made of is the one to keep."""
        hits = probability.argmax(axis=1) == labels
        right = np.maximum(probability[np.arange(len(labels)), labels], 1e-12)
        self.seen.append(
            {"epochs": round(epochs, 3), "accuracy": float(hits.mean()), "log_loss": float(-np.log(right).mean())}
        )
        if self.best is None or hits.sum() >= self.best.sum():
            self.best = hits
        if clearly_worse(hits, self.best):
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
        return {"seen": self.seen, "best": best, "kept": self.kept, "bad": self.bad}

    @classmethod
    def from_json(cls, data: dict[str, Any], n_rows: int) -> Looks:
        """What ``to_json`` gave, of so many rows."""
        best = None
        if data["best"] is not None:
            best = np.zeros(n_rows, dtype=bool)
            best[data["best"]] = True
        return cls(list(data["seen"]), best, int(data["kept"]), int(data["bad"]))
