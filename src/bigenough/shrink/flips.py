# SPDX-License-Identifier: Apache-2.0
"""How far a smaller model is from the one it was made of, and which of several attempts is kept.

Everything is counted on rows that neither the making nor the weights have seen. Whether a model is good enough is not
decided here: the verdict does that, of this model like of any other. What is refused here went bad in the making.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption, Refused, RungFailed
from bigenough.rungs.protocol import Predictor, Settings
from bigenough.storage import atomic_folder
from bigenough.task.metrics import score
from bigenough.task.task import MetricName

__all__ = [
    "NOT_FINITE",
    "Comparison",
    "Variant",
    "compare",
    "kept_variant",
    "refusal",
    "saved_bytes",
    "variants_record",
]

NOT_FINITE = "its probabilities are not finite"


class Comparison(NamedTuple):
    """A model beside its parent on the same n rows.

    Attributes:
        flips: the share of rows whose label is another.
        max_probability_difference: the largest difference of any class' probability; NaN when one is no number.
        score: the model's score, in the metric they were compared by.
        parent_score: the parent's.
    """

    flips: float
    max_probability_difference: float
    score: float
    parent_score: float


@dataclass(frozen=True)
class Variant:
    """One attempt.

    Attributes:
        settings: how it was made.
        flips: the share of watch rows whose label changes against the parent.
        max_probability_difference: the largest difference of a probability on them.
        score: the metric on watch.
        parent_score: the parent's.
        size_bytes: of its saved files.
        latency_ratio: time of a single row beside the parent's; None when not measured.
        refused: why it is not to be used, or None.
    """

    settings: Settings
    flips: float
    max_probability_difference: float
    score: float
    parent_score: float
    size_bytes: int
    latency_ratio: float | None = None
    refused: str | None = None

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON values; a difference that is no number, as JSON has none, is None."""
        difference = self.max_probability_difference if np.isfinite(self.max_probability_difference) else None
        return {**vars(self), "settings": dict(self.settings), "max_probability_difference": difference}


def compare(
    parent_probability: NDArray[np.float64],
    probability: NDArray[np.float64],
    gold: NDArray[np.int64],
    metric: MetricName = "accuracy",
) -> Comparison:
    """Two models' (n, k) probabilities of the same n rows side by side. Raises ``BadOption`` when there are no rows.

    >>> compare(np.array([[0.6, 0.4], [0.2, 0.8]]), np.array([[0.4, 0.6], [0.2, 0.8]]), np.array([0, 1]))
    Comparison(flips=0.5, max_probability_difference=0.2, score=0.5, parent_score=1.0)
    """
    if parent_probability.shape != probability.shape or len(gold) != len(probability) or not len(gold):
        raise BadOption(
            "Two models are compared on the same rows, one at least. Got probabilities of shapes "
            f"{parent_probability.shape} and {probability.shape}, and {len(gold)} labels."
        )
    parent, label = parent_probability.argmax(axis=1), probability.argmax(axis=1)
    difference = float(np.abs(parent_probability - probability).max())
    scores = (score(metric, gold, each) for each in (label, parent))
    return Comparison(float(np.mean(parent != label)), round(difference, 6), *scores)


def refusal(found: Comparison, allowed_flips: float) -> str | None:
    """Why a model that compares like this is refused, or None.

    >>> refusal(Comparison(0.02, 0.3, 0.9, 0.9), 0.015)
    '2.0 % of the labels change, 1.5 % may'
    """
    if not np.isfinite(found.max_probability_difference):
        return NOT_FINITE
    if found.flips > allowed_flips:
        return f"{found.flips:.1%} of the labels change, {allowed_flips:.1%} may".replace("%", " %")
    return None


def saved_bytes(predictor: Predictor) -> int:
    """Bytes of the files that the predictor saves. Raises ``OutOfDisk``."""
    with TemporaryDirectory() as folder, atomic_folder(Path(folder) / "model") as saved:
        predictor.save(saved)
        return sum(path.stat().st_size for path in saved.rglob("*") if path.is_file())


def kept_variant(
    name: str, variants: Sequence[Variant], distance: Callable[[Variant], float] = lambda one: one.flips
) -> int:
    """The place of the smallest variant that is not refused; of equals, the one with fewest flips.

    Raises ``Refused`` with the reason of the one that came nearest, by ``distance``, when all are refused;
    ``RungFailed`` without any.
    """
    usable = [(one.size_bytes, one.flips, place) for place, one in enumerate(variants) if one.refused is None]
    if usable:
        return min(usable)[2]
    if not variants:
        raise RungFailed(f"{name}: there is nothing to try.")
    nearest = min(variants, key=distance)
    settings = ", ".join(f"{key}={value}" for key, value in nearest.settings.items())
    told = (
        f"all {len(variants)} variants are refused. The nearest"
        if len(variants) > 1
        else "the only one tried is refused"
    )
    raise Refused(f"{name}: {told}, {settings}: {nearest.refused}.")


def variants_record(variants: Sequence[Variant], kept: int) -> Mapping[str, Any]:
    """What a report shows of the attempts."""
    return {"variants": [one.to_json() for one in variants], "kept": kept}
