# SPDX-License-Identifier: Apache-2.0
"""Which smaller models are made from which candidates, and in which order.

It decides what is tried, never what is good enough: each product is a candidate like any other, chosen on select,
measured from its own files and judged by the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bigenough.job import Job
from bigenough.rungs.candidate import Candidate
from bigenough.rungs.parent import Parent, characters_read
from bigenough.rungs.predictors import load_predictor
from bigenough.rungs.predictors.artefact import read_facts
from bigenough.rungs.protocol import Predictor, Rung, Workbench
from bigenough.shrink.answers import Answers
from bigenough.storage import read_json

__all__ = ["HEALED", "Step", "forget_answers", "parent_of", "steps"]

HEALED = 0.5
"""The part of what may change that cutting and healing may cost: coding the rest comes after it, and certify, which
has to show that no more than the margin is lost, and could not of one that on select lost all of it."""
_ANSWERS = "answers"
"""The folder in a teacher's own, with what it says of texts."""


@dataclass(frozen=True)
class Step:
    """One model to be made.

    Attributes:
        name: what the product will be called when it comes from the first of the parents.
        parents: the candidates it can be made from; the first one that exists is taken, and without any it is left out.
        make: the rung that makes it of a parent in so many minutes; only lessons ask how many.
        trains: whether that takes a training, long beside all that only codes or cuts.
    """

    name: str
    parents: tuple[str, ...]
    make: Callable[[Parent, float], Rung]
    trains: bool = False


def steps(
    candidates: Mapping[str, Candidate],
    chosen: Sequence[str],
    rungs: Sequence[Rung],
    *,
    allowed_flips: float,
    lessons: bool,
    layers: bool,
    teacher: str | None = None,
) -> Iterator[Step]:
    """What is made of the chosen candidates, in order; a later step may stand on an earlier one's product.

    What was taught, and what has fewer layers, is made smaller too, by the steps that keep its weights.

    Args:
        candidates: all that were fitted, by name.
        chosen: those worth shrinking, the best on select first.
        rungs: the ladder; its rungs may be taught by a larger candidate.
        allowed_flips: the share of labels that shrinking may change.
        lessons: whether the best teaches the smaller rungs.
        layers: whether layers are dropped and narrowed too, which takes long and changes more.
        teacher: who teaches, by name; None is the best of those that run here, since every lesson of another is paid.
    """
    for name in chosen:
        yield from _of(name, candidates[name], allowed_flips, layers=layers)
    here = [name for name in chosen if not candidates[name].remote]
    best = teacher if teacher in candidates else next(iter(here), None)
    if lessons and best is not None:
        for plain, student in _students(candidates, best, rungs):
            yield student
            yield from _of(student.name, candidates[plain], allowed_flips, layers=False)


def parent_of(candidate: Candidate, rung: Rung, job: Job, bench: Workbench) -> Parent:
    """The two models of a candidate; the one of fit alone is fitted again where it was not kept.

    Both without the candidate's temperature: what is made of them gets one of its own.
    """

    def on_fit() -> Predictor:
        if candidate.on_fit.is_dir():
            return load_predictor(candidate.on_fit, threads=bench.threads)
        settings = candidate.record["settings"]
        return rung.fit(job.fit, len(job.task.classes), settings, bench)

    def final() -> Predictor:
        if candidate.remote:  # it learned nothing from select: with other examples each lesson would be paid again
            return on_fit()
        return candidate.predictor(bench.threads).with_temperature(1 / candidate.record["temperature"])

    kind = str(read_facts(candidate.model)["kind"])
    return Parent(
        candidate.name, candidate.folder.name, kind, len(job.fit), on_fit, final, weights=candidate.record["weights"],
        seconds_a_row=_seconds_a_row(candidate),
        characters_a_row=max(1.0, float(characters_read(job.select.texts).mean())),
        answers=None if candidate.remote else candidate.folder / _ANSWERS,  # paid replies have a store of their own
    )  # fmt: skip


def forget_answers(candidates: Iterable[Candidate]) -> None:
    """Delete what teachers' answers were kept, when no student is left to learn from them."""
    for candidate in candidates:
        Answers.drop(candidate.folder / _ANSWERS)


def _seconds_a_row(candidate: Candidate) -> float | None:
    """What a row of select took it, many at once; None if that was not measured, or is another machine's matter."""
    if candidate.remote or not candidate.has("performance.json"):
        return None
    rate = read_json(candidate.folder / "performance.json")["throughput_rows_per_s"]["value"]
    return 1 / rate if rate else None


def _of(name: str, alike: Candidate, allowed_flips: float, *, layers: bool) -> Iterator[Step]:
    """What is made of a model of the same kind as ``alike``."""
    kind = str(read_facts(alike.model)["kind"])
    if kind == "encoder":
        yield from _of_encoder(name, allowed_flips, layers=layers)
    elif kind == "static":
        yield Step(f"{name}-small-table", (name,), _tables(allowed_flips))
    elif kind == "linear":
        yield Step(f"{name}-few-features", (name,), _features(allowed_flips))


def _of_encoder(name: str, allowed_flips: float, *, layers: bool) -> Iterator[Step]:
    from bigenough.shrink.int8 import Int8Rung
    from bigenough.shrink.vocabulary import VocabularyRung

    pruned = f"{name}-vocabulary"
    yield Step(pruned, (name,), lambda parent, _: VocabularyRung(parent, allowed_flips))
    yield Step(f"{pruned}-int8", (pruned, name), lambda parent, _: Int8Rung(parent, allowed_flips))
    if layers:
        from bigenough.shrink.layers import LayersRung
        from bigenough.shrink.structure import StructureRung

        for rung in (LayersRung, StructureRung):
            less = f"{name}-{rung.step}"
            yield Step(less, (name,), _cut(rung, allowed_flips * HEALED), trains=True)
            yield from _of_encoder(less, allowed_flips, layers=False)


def _cut(rung: Callable[[Parent, float], Rung], allowed_flips: float) -> Callable[[Parent, float], Rung]:
    return lambda parent, _: rung(parent, allowed_flips)


def _tables(allowed_flips: float) -> Callable[[Parent, float], Rung]:
    from bigenough.shrink.tables import TablesRung

    return lambda parent, _: TablesRung(parent, allowed_flips)


def _features(allowed_flips: float) -> Callable[[Parent, float], Rung]:
    from bigenough.shrink.features import FeaturesRung

    return lambda parent, _: FeaturesRung(parent, allowed_flips)


def _students(candidates: Mapping[str, Candidate], teacher: str, rungs: Sequence[Rung]) -> Iterator[tuple[str, Step]]:
    """Every smaller rung that can learn from probabilities is taught by the best one: its name, and the lesson."""
    from bigenough.shrink.distil import DistilledRung

    def taught_by(student: Any) -> Callable[[Parent, float], Rung]:
        return lambda parent, minutes: DistilledRung(student, parent, minutes)

    for rung in rungs:
        smaller = rung.name in candidates and candidates[rung.name].serving_bytes < candidates[teacher].serving_bytes
        if rung.name != teacher and smaller and callable(getattr(rung, "fit_soft", None)):
            yield rung.name, Step(f"{rung.name}-from-{teacher}", (teacher,), taught_by(rung), trains=True)
