# SPDX-License-Identifier: Apache-2.0
"""A small model that learns from what a larger one says: knowledge distillation (Hinton, Vinyals & Dean 2015).

Any predictor teaches, since only its probabilities are asked for (one that gives labels alone says 0 or 1), and any
rung learns that has ``fit_soft``. The student sees the training texts, the user's unlabelled ones, and texts cut and
mixed from these.

A teacher is surer of the rows that it was trained on than of others. So its temperature is not one number for all:
on its own rows it is warmed until it is on average as unsure as on rows that it has not seen.

What a student learns beyond the labels, it learns from texts that its teacher was not trained on. Where users have
none, texts made of the labelled ones serve (Tang et al. 2019, section 4.1): on held-out parts of the train rows of
three tasks, a linear student closed -22, 18 and 26 % of the gap to a tuned encoder without them, and 17, 67 and 75 %
with them and a less warm teacher (docs/decisions/012). Of words that are in no text at all, an encoder tells too
(``teacher_words``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption
from bigenough.models.token_table import TokenTable
from bigenough.models.tokenizer_file import n_ids
from bigenough.rungs.calibration import fit_temperature, temper
from bigenough.rungs.parent import LONGEST, Parent, characters_read
from bigenough.rungs.protocol import Predictor, Rung, Settings, Trial, Watched, Workbench
from bigenough.rungs.sample import stratified_order
from bigenough.shrink.flips import compare
from bigenough.shrink.spare_texts import spare_texts
from bigenough.shrink.teacher import SPOKEN, Teacher, slowness
from bigenough.shrink.teacher_words import TOKEN, teacher_table, tokenizer_of, vocabulary_words
from bigenough.task import Examples

__all__ = ["DistilledRung", "Student", "matching_temperature"]

_OWN = ("warmth", "gold", "spare", "words", "own_temperature", "temperature")
"""The settings that are not the student's."""
_WARMTH = (1.0, 2.0, 3.0)
_GOLD = (0.0, 0.3, 0.6)
_MOST_SPARE = 10
"""Texts made of each at most: twice as many gained half a point or nothing."""
_MINUTES = 2.0
_SHARE = 0.2
"""The teacher reads made-up texts for two minutes at most, and for a fifth of the student's."""
_LEARNED_SHARE = 0.4
"""Of the student's minutes, what the teacher's reading of the labelled rows may take that the student learns from."""
_WATCHED_SHARE = 0.1
"""The same of select's rows, on which it is calibrated and compared with the student."""
_WORDS_SHARE = 0.5
"""Of the time for made-up texts, what words may take at most; a vocabulary of many languages would take more, and is
left alone."""
_REFIT = 1.4
"""The last fit is on fit and select: a third more texts, and as many times more made-up ones."""


class Student(Rung, Protocol):
    """A rung that learns from class probabilities as well as from labels.

    One that stops early has ``fit_soft_watching`` too, with the watched examples behind and a ``Watched`` as answer;
    one that has something to tell of a plain fit, ``fit_soft_recorded``, with such an answer; one that learns from so
    many characters at most and draws a sample of more, ``most_characters``, of the number of classes; one that stands
    on token vectors, ``on_table``, which gives the same rung on others. One that stands on an encoder has it as its
    ``encoder``, and is not told of words one by one.
    """

    def fit_soft(
        self,
        texts: Sequence[str],
        targets: NDArray[np.float64],
        n_classes: int,
        settings: Settings,
        bench: Workbench,
    ) -> Predictor:
        """Train on n texts and their (n, n_classes) class probabilities."""
        ...


class DistilledRung:
    """A student of a candidate.

    Args:
        student: a rung with ``fit_soft``.
        parent: the teacher; the model of it that saw the very rows that the student learns from.
        minutes: what the student's search may take.

    Settings of its own, beside the student's:
        ``warmth``: what the teacher's log-probabilities are divided by, once they are calibrated. 2 shows the student
        how near the other classes are. ``gold``: the share of the label itself in the target of a labelled text.
        ``spare``: how many texts are made of each labelled one; of fewer where there are unlabelled ones.
        ``words``: whether what the teacher, an encoder, knows of the words of its vocabulary is taught as well.
        ``own_temperature`` and ``temperature``, of the teacher's own rows and of others: found on select.
    """

    recipe_version = 6
    curve = False

    def __init__(self, student: Student, parent: Parent, minutes: float = 5.0) -> None:
        if not callable(getattr(student, "fit_soft", None)):
            raise BadOption(f"The rung {student.name!r} cannot learn from probabilities: it has no fit_soft.")
        self.student = student
        self.parent = parent
        self.minutes = minutes
        self.teacher = Teacher(parent, minutes)
        self.name = f"{student.name}-from-{parent.name}"
        self.summary = f"{student.name}, taught by {parent.name}"[:119]
        # The key has one number for what both would make of the same settings.
        self.version = 1000 * self.recipe_version + student.version
        self.costly = bool(getattr(student, "costly", False))
        self.place = student.place
        self.made_from = parent.folder
        self.requires = tuple(getattr(student, "requires", ()))
        self.extra = getattr(student, "extra", None)

    def weights(self, bench: Workbench) -> Mapping[str, str]:
        """The student's."""
        return self.student.weights(bench)

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """The student's, with a teacher as sure as it should be, a share of the labels, made-up texts, and words."""
        most = self._affordable(examples, n_classes)
        own = {"warmth": 1.0, "gold": 0.3, "spare": most.spare, "words": most.words}
        return {**self.student.first_settings(examples, n_classes), **own}

    def suggest(self, trial: Trial, examples: Examples, n_classes: int) -> Settings:
        """The student's settings, and how it is taught."""
        most = self._affordable(examples, n_classes)
        return {
            **self.student.suggest(trial, examples, n_classes),
            "warmth": trial.suggest_categorical("warmth", list(_WARMTH)),
            "gold": trial.suggest_categorical("gold", list(_GOLD)),
            "spare": trial.suggest_categorical("spare", sorted({0, most.spare})),
            "words": trial.suggest_categorical("words", sorted({False, most.words})),
        }

    def _affordable(self, examples: Examples, n_classes: int) -> _Lessons:
        """What there is time for; nothing with a teacher that reads slowly or is paid for each text."""
        if self.parent.kind not in ("encoder", "linear", "static"):
            return _Lessons(0, words=False)
        spoken = SPOKEN * min(_MINUTES, _SHARE * self.minutes)
        words = False
        if self.parent.kind == "encoder":
            teacher = self.parent.of(examples)
            spoken /= slowness(teacher)
            tokenizer = tokenizer_of(teacher)
            said = 0 if tokenizer is None or not self._hears_words() else TOKEN * n_ids(tokenizer)
            words = 0 < said <= _WORDS_SHARE * spoken
            spoken -= said if words else 0
        own = max(1, int(characters_read(examples.texts).sum()))
        learned: Callable[[int], int] | None = getattr(self.student, "most_characters", None)
        if learned is not None:
            spoken = min(spoken, learned(n_classes) / _REFIT - own)
        return _Lessons(min(_MOST_SPARE, max(0, int(spoken / own))), words)

    def _hears_words(self) -> bool:
        """Whether the student has a use for words one by one: it begins with nothing, or with a table of tokens."""
        return hasattr(self.student, "on_table") or getattr(self.student, "encoder", None) is None

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> Predictor:
        """Teach, at the temperatures that the settings hold (without them: 1)."""
        return self._taught(examples, n_classes, settings, bench, None).predictor

    def fit_recorded(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> Watched:
        """``fit``, and what the student tells of it."""
        return self._taught(examples, n_classes, settings, bench, None)

    def fit_watching(
        self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench, watch: Examples
    ) -> Watched:
        """Find the teacher's temperatures on the watched rows, then teach."""
        labelled = self._labelled(examples, n_classes, bench)
        compared_on = watch.take(self.teacher.labelled(watch, _WATCHED_SHARE, examples, n_classes, bench))
        own = self.teacher.said(labelled.heard.texts, examples, n_classes, bench)
        others = self.teacher.said(compared_on.texts, examples, n_classes, bench)
        temperature = fit_temperature(others, compared_on.labels)
        found = matching_temperature(own, temper(others, temperature))
        settings = {**settings, "own_temperature": found, "temperature": temperature}
        seen = self._taught(examples, n_classes, settings, bench, watch)
        said = seen.predictor.predict_proba(compared_on.texts)
        compared = compare(others, said, compared_on.labels, bench.metric)
        record = {**seen.record, "teacher": self.parent.name, "flips": compared.flips, "score": compared.score,
                  "parent_score": compared.parent_score, "compared_rows": len(compared_on)}  # fmt: skip
        return Watched(seen.predictor, seen.settings, record)

    def _taught(
        self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench, watch: Examples | None
    ) -> Watched:
        _check(settings)
        student = self._student(examples, settings, bench)
        if student is self.student and hasattr(student, "on_table"):
            settings = {**settings, "words": False}  # not wanted, or a teacher whose vectors cannot be read
        labelled = self._labelled(examples, n_classes, bench)
        texts, targets = self._lessons(labelled, examples, n_classes, settings, bench)
        of_student = {name: value for name, value in settings.items() if name not in _OWN}
        of_teaching = {name: value for name, value in settings.items() if name in _OWN}
        watching = getattr(student, "fit_soft_watching", None)
        recorded = getattr(student, "fit_soft_recorded", None)
        seen: Watched
        if watch is not None and watching is not None:
            seen = watching(texts, targets, n_classes, of_student, bench, watch)
        elif recorded is not None:
            seen = recorded(texts, targets, n_classes, of_student, bench)
        else:
            seen = Watched(student.fit_soft(texts, targets, n_classes, of_student, bench), of_student, {})
        record = {**seen.record, "lessons": len(texts), "labelled_lessons": len(labelled.heard)}
        if notes := self._left_out(labelled, examples, bench):
            record["notes"] = [*record.get("notes", []), *notes]
        return Watched(seen.predictor, {**seen.settings, **of_teaching}, record)

    def _left_out(self, labelled: _Labelled, examples: Examples, bench: Workbench) -> list[str]:
        """A sentence on each kind of text of which the teacher says less than there is."""
        notes = []
        heard, others = len(labelled.heard), len(labelled.others)
        if heard < len(examples):
            told = f"{heard:,} of {len(examples):,} labelled rows, drawn by class, are asked about in the time there is"
            notes.append(f"{told}; {others:,} others teach by their labels alone")
        if (rest := len(examples) - heard - others) > 0:
            notes.append(f"{rest:,} labelled rows are left out: they are more than the student learns from")
        if len(pool := self.teacher.pool(examples, bench)) < (given := len(dict.fromkeys(bench.unlabelled))):
            notes.append(
                f"{len(pool):,} of {given:,} unlabelled texts, drawn by chance, are what there is time to ask about"
            )
        return notes

    def _labelled(self, examples: Examples, n_classes: int, bench: Workbench) -> _Labelled:
        """The rows that the teacher is asked about, all if there is time, and the others that the student learns from.

        These keep it from knowing less than it would untaught. A student that draws a sample of too much text is not
        shown, nor the teacher asked about, what it could not learn from.
        """
        heard = self.teacher.labelled(examples, _LEARNED_SHARE, examples, n_classes, bench)
        if len(heard) == len(examples):
            return _Labelled(examples, examples.take(heard[:0]))
        order = stratified_order(examples.labels, bench.seed)
        learned: Callable[[int], int] | None = getattr(self.student, "most_characters", None)
        if learned is not None:
            characters = np.cumsum([len(examples.texts[i]) for i in order])
            order = order[: max(n_classes, int(np.searchsorted(characters, learned(n_classes), side="right")))]
        return _Labelled(*(examples.take(np.sort(part)) for part in (order[: len(heard)], order[len(heard) :])))

    def _student(self, examples: Examples, settings: Settings, bench: Workbench) -> Student:
        """The student; on the teacher's own token vectors, where it stands on such and is to hear of words."""
        on_table: Callable[[TokenTable], Student] | None = getattr(self.student, "on_table", None)
        if on_table is None or not settings["words"]:
            return self.student
        key = ("taught table", self.parent.folder, len(examples))
        if key not in bench.memo:
            say = partial(bench.say, f"distilling token vectors from {self.parent.name}")
            bench.memo[key] = teacher_table(self.parent.of(examples), bench.threads, say)
        table: TokenTable | None = bench.memo[key]
        return self.student if table is None else on_table(table)

    def _words(self, examples: Examples, settings: Settings) -> list[str]:
        """The words that the student is told of as if they were texts."""
        if not settings["words"] or hasattr(self.student, "on_table"):
            return []
        tokenizer = tokenizer_of(self.parent.of(examples))
        return [] if tokenizer is None else vocabulary_words(tokenizer)

    def _lessons(
        self, labelled: _Labelled, examples: Examples, n_classes: int, settings: Settings, bench: Workbench
    ) -> tuple[list[str], NDArray[np.float64]]:
        """Texts and targets: those with labels first, then those without, those made of both, and words."""
        warmth = float(settings["warmth"])
        own, temperature = (float(settings.get(name, 1.0)) for name in ("own_temperature", "temperature"))
        gold = float(settings["gold"])
        texts = [*labelled.heard.texts, *labelled.others.texts]
        known = set(examples.texts)
        unlabelled = [text for text in self.teacher.pool(examples, bench) if text not in known]
        # Of more texts fewer are made of each: what the teacher is asked stays about the same.
        times = round(int(settings["spare"]) * len(texts) / max(1, len(texts) + len(unlabelled)))
        spare = spare_texts([*texts, *unlabelled], times, bench.seed, longest=LONGEST)
        heard = known.union(unlabelled, spare)
        spare += [word for word in self._words(examples, settings) if word not in heard]
        taught = temper(self.teacher.said(labelled.heard.texts, examples, n_classes, bench), own * warmth)
        by_label = np.eye(n_classes)
        targets = [(1 - gold) * taught + gold * by_label[labelled.heard.labels], by_label[labelled.others.labels]]
        if unlabelled or spare:
            said = self.teacher.said([*unlabelled, *spare], examples, n_classes, bench)
            targets.append(temper(said, temperature * warmth))
        return [*texts, *unlabelled, *spare], np.concatenate(targets)


def matching_temperature(own: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """The temperature at which the teacher's own rows have the mean entropy of other rows.

    By bisection of its logarithm, since entropy grows with temperature. From 0.05 to 20; 1 when nothing can be matched,
    as with a teacher that gives labels only.

    Args:
        own: (n, k) probabilities of rows that it was trained on.
        others: (m, k) calibrated probabilities of rows that it was not.

    >>> own = np.array([[0.99, 0.01]])
    >>> round(matching_temperature(own, temper(own, 3.0)), 3)
    3.0
    """
    goal = _entropy(others)
    low, high = np.log(0.05), np.log(20.0)
    if not _entropy(temper(own, float(np.exp(low)))) < goal < _entropy(temper(own, float(np.exp(high)))):
        return 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _entropy(temper(own, float(np.exp(middle)))) < goal else (low, middle)
    return float(np.exp(low))


def _entropy(probability: NDArray[np.float64]) -> float:
    return float(-np.mean(np.sum(probability * np.log(np.maximum(probability, 1e-300)), axis=1)))


class _Labelled(NamedTuple):
    """The labelled rows that are learned from: those the teacher is asked about, and others, by their labels alone."""

    heard: Examples
    others: Examples


class _Lessons(NamedTuple):
    """How many texts are made of each labelled one, and whether words are taught."""

    spare: int
    words: bool


def _check(settings: Mapping[str, Any]) -> None:
    if not settings["warmth"] > 0 or not 0 <= settings["gold"] <= 1 or settings["spare"] < 0:
        raise BadOption(
            "A student needs warmth above 0, gold from 0 to 1 and spare from 0. "
            f"Got {settings['warmth']!r}, {settings['gold']!r} and {settings['spare']!r}."
        )
