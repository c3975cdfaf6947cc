# SPDX-License-Identifier: Apache-2.0
"""Several attempts at one model, looked at on the same rows; the smallest that is still the same model is kept."""

from __future__ import annotations

from collections.abc import Iterable

from bigenough.rungs.protocol import Predictor, Settings, Watched
from bigenough.shrink.flips import Variant, compare, kept_variant, refusal, saved_bytes, variants_record
from bigenough.task import Examples
from bigenough.task.task import MetricName

__all__ = ["looked_at", "watched"]


def looked_at(
    parent: Predictor,
    settings: Settings,
    predictor: Predictor,
    watch: Examples,
    allowed_flips: float,
    metric: MetricName = "accuracy",
) -> Variant:
    """What became of one attempt on the watched rows."""
    found = compare(parent.predict_proba(watch.texts), predictor.predict_proba(watch.texts), watch.labels, metric)
    return Variant(settings, *found, saved_bytes(predictor), refused=refusal(found, allowed_flips))


def watched(
    name: str,
    parent: Predictor,
    attempts: Iterable[tuple[Settings, Predictor]],
    watch: Examples,
    allowed_flips: float,
    metric: MetricName = "accuracy",
) -> Watched:
    """The best of the attempts, as ``fit_watching`` gives it. Raises ``RungFailed`` when all are refused."""
    tried = list(attempts)
    variants = [looked_at(parent, settings, predictor, watch, allowed_flips, metric) for settings, predictor in tried]
    kept = kept_variant(name, variants)
    settings, predictor = tried[kept]
    return Watched(predictor, settings, variants_record(variants, kept))
