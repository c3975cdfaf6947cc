# SPDX-License-Identifier: Apache-2.0
"""Evidence: what is measured of a candidate, from its saved files alone, and kept beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bigenough.errors import RungFailed
from bigenough.measure.energy import EnergyMeter
from bigenough.measure.machine import machine
from bigenough.measure.performance import measure_performance
from bigenough.measure.quality import top_confusions
from bigenough.quantity import Quantity, measured
from bigenough.rungs.candidate import Candidate, Predictions
from bigenough.storage import read_json, write_json
from bigenough.task import Examples, Limits, Task
from bigenough.verdict import metric_intervals, per_class_intervals

TIMED_SECONDS = 0.4
"""How long single-row calls are timed per candidate; on two cores that keeps the whole of it within five seconds."""

__all__ = ["certify", "describe_quality", "measure", "missed_limits", "observed"]


def measure(candidate: Candidate, texts: Sequence[str], *, threads: int, meter: EnergyMeter) -> dict[str, Any]:
    """Speed, memory, energy and determinism of a candidate in fresh processes.

    Found measured on this kind of processor with as many threads, it is read back. A model that runs elsewhere is not
    asked again to be timed: what its replies took anyway is read off their store.
    """
    path = candidate.folder / "performance.json"
    if candidate.remote:
        if not path.exists():
            write_json(path, observed(candidate, texts, meter.country))
        seen: dict[str, Any] = read_json(path)
        return seen
    here = {"threads": threads, "cpu": machine().cpu}
    if not path.exists() or read_json(path).get("measured_with") != here:
        performance = measure_performance(
            candidate.model, texts, threads=threads, power=meter.power, seconds=TIMED_SECONDS
        )
        write_json(path, {**performance.to_json(), "measured_with": here})
    facts: dict[str, Any] = read_json(path)
    return facts


def observed(candidate: Candidate, texts: Sequence[str], country: str | None) -> dict[str, Any]:
    """What was seen of a model that runs elsewhere, as JSON values; a few rows are asked again for determinism."""
    predictor: Any = candidate.predictor(None)
    if not callable(getattr(predictor, "observed", None)):
        raise RungFailed(f"{candidate.name} runs elsewhere and has no method 'observed' that tells of its speed.")
    facts: dict[str, Any] = predictor.observed(texts, country=country)
    return facts


def missed_limits(performance: dict[str, Any], limits: Limits) -> tuple[str, ...]:
    """A sentence for each hard limit that the measured figures miss; an unknown figure misses its limit."""
    sentences = []
    for name, limit in vars(limits).items():
        if limit is None:
            continue
        figure = Quantity.from_json(performance[name])
        if figure.value is None:
            sentences.append(f"{name} is unknown, and the limit is {limit:g}")
        elif figure.value > limit:
            sentences.append(f"{name} is {figure.value:.4g}, above the limit {limit:g}")
    return tuple(sentences)


def certify(candidate: Candidate, examples: Examples, *, threads: int) -> Predictions:
    """The candidate's predictions on the certify rows, made by the model as loaded from its files, and kept."""
    path = candidate.folder / "certify.npz"
    if not path.exists():
        probability = candidate.predictor(threads).predict_proba(examples.texts)
        Predictions.of(examples.labels, probability).save(path)
    return Predictions.load(path)


def describe_quality(
    candidate: Candidate, predictions: Predictions, examples: Examples, task: Task, *, seed: int
) -> dict[str, Any]:
    """Every score on certify with its interval, per class and by confusion; found written, it is read back.

    Of a candidate that was asked about some certify rows only, they are the scores on those. Of one that runs elsewhere
    it also says how these rows were answered, failures by kind; nobody is asked for that.
    """
    path = candidate.folder / "evidence.json"
    if path.exists():
        found: dict[str, Any] = read_json(path)
        return found
    gold, predicted, asked_of = predictions.gold, predictions.predicted, ""
    if predictions.positions is not None:
        asked_of = f" rows asked of {len(examples):,}, in an order drawn beforehand, until the verdict was settled"
        examples = examples.take(predictions.positions)
    intervals = metric_intervals(gold, predicted, predictions.probability, groups=examples.groups, seed=seed)
    where = f"certify, n = {len(gold):,}{asked_of}"
    evidence: dict[str, Any] = {
        name: measured(each.value, _unit(name), f"{where}; {each.method}", low=each.low, high=each.high).to_json()
        for name, each in intervals.items()
    }
    evidence["per_class"] = [
        {"label": label, **each.to_json()}
        for label, each in zip(
            task.classes, per_class_intervals(gold, predicted, len(task.classes), groups=examples.groups), strict=True
        )
    ]
    confusions = top_confusions(gold, predicted, examples.rows, task.classes)
    evidence["confusions"] = [each.to_json() for each in confusions]
    tally = getattr(candidate.predictor(None), "tally", None) if candidate.remote else None
    if callable(tally):
        evidence["answers"] = tally(examples.texts)
    write_json(path, evidence)
    return evidence


def _unit(name: str) -> str:
    return "nats" if name == "log_loss" else ""
