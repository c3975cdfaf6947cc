# SPDX-License-Identifier: Apache-2.0
"""A candidate that teaches: what it says of texts, each asked about once, and how many there is time to ask about.

It decides how many texts are read, by how fast this teacher was seen to read. What is learned from what it says of them
is ``distil``'s matter.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import RungFailed
from bigenough.rungs.parent import Parent, characters_read
from bigenough.rungs.protocol import Predictor, Workbench
from bigenough.rungs.sample import stratified_order
from bigenough.shrink.answers import Answers
from bigenough.task import Examples

__all__ = ["SPOKEN", "Teacher", "slowness"]

SPOKEN = 1_500_000
"""Characters that a small encoder on two cores reads in a minute, about."""
_ENCODER = 23_000_000
"""Parameters of a small encoder, word vectors included; one with more is taken for as many times slower."""
_POOL_SHARE = 0.3
"""Of the student's minutes, what each of the teacher's two readings of unlabelled texts may take."""
_FAST = 10.0
"""How many times as fast as a small encoder a linear model or a table reads, at least. However fast a teacher is, its
lessons are bounded by this, since the student takes longer over them."""
_BY_LENGTH = ("encoder", "linear", "static")
"""The kinds that read half a text in half the time. A language model has a prompt and the labels to read as well."""
_WORTH_KEEPING = 5.0
"""Seconds of a reading that is kept on disk until all is learned from it; a shorter one is sooner done again."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """A candidate that is asked about texts.

    Attributes:
        parent: the candidate.
        minutes: what its student's search may take.
    """

    parent: Parent
    minutes: float

    def pool(self, examples: Examples, bench: Workbench) -> Sequence[str]:
        """The unlabelled texts that there is time for, each once: all, or a sample that is the same for every fit.

        An endpoint is bounded by its money.
        """
        key = ("unlabelled pool", self.parent.folder, self.minutes)
        if key not in bench.memo:
            texts = list(dict.fromkeys(bench.unlabelled))
            read = self._read(texts)
            if texts and self.parent.kind != "endpoint":
                most = self._characters(_POOL_SHARE * self.minutes, examples)
                if read.sum() > most:
                    drawn = np.random.default_rng(bench.seed).permutation(len(texts))
                    within = int(np.searchsorted(np.cumsum(read[drawn]), most, side="right"))
                    texts = [texts[i] for i in np.sort(drawn[:within])]
            bench.memo[key] = texts
        pool: Sequence[str] = bench.memo[key]
        return pool

    def labelled(
        self, rows: Examples, share: float, examples: Examples, n_classes: int, bench: Workbench
    ) -> NDArray[np.int64]:
        """The places of the labelled rows that there is time for in this share of the minutes: all, or a sample.

        A sample is a beginning of the ``stratified_order``, in that order, and has each class at least once. Of an
        endpoint it is all.

        Args:
            rows: those that it may be asked about.
            share: of the student's minutes.
            examples: what the model that is asked has seen.
            n_classes: how many classes there are.
            bench: whose seed draws.
        """
        read = self._read(rows.texts)
        most = np.inf if self.parent.kind == "endpoint" else self._characters(share * self.minutes, examples)
        if read.sum() <= most:
            return np.arange(len(rows))
        order = stratified_order(rows.labels, bench.seed)
        return order[: max(n_classes, int(np.searchsorted(np.cumsum(read[order]), most, side="right")))]

    def said(self, texts: Sequence[str], examples: Examples, n_classes: int, bench: Workbench) -> NDArray[np.float64]:
        """What the model that saw these examples says of these texts; asked once for each in a study."""
        key = ("taught", self.parent.folder, len(examples), n_classes)
        if key not in bench.memo:
            home = self.parent.answers
            bench.memo[key] = Answers(None if home is None else home / f"of-{len(examples)}-rows", n_classes)
        answers: Answers = bench.memo[key]
        if new := answers.missing(texts):
            bench.say(f"asking {self.parent.name} about {len(new):,} texts", None)
            model = self.parent.of(examples)
            if model.n_classes != n_classes:
                raise RungFailed(
                    f"The teacher {self.parent.name} tells {model.n_classes} classes apart, the task has {n_classes}."
                )
            began = time.monotonic()
            probability = model.predict_proba(new)
            answers.put(new, probability, keep=time.monotonic() - began >= _WORTH_KEEPING)
        return answers.of(texts)

    def _characters(self, minutes: float, examples: Examples) -> float:
        """How many it reads in so many minutes: as was measured, or else as its kind and size let expect."""
        most = _FAST * SPOKEN * minutes
        if self.parent.seconds_a_row is not None:
            return min(most, 60 * minutes / self.parent.seconds_a_row * self.parent.characters_a_row)
        fast = self.parent.kind in ("linear", "static")
        return most if fast else SPOKEN * minutes / slowness(self.parent.of(examples))

    def _read(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """What each text counts for, in characters: a short one as any, where little of the time is its own."""
        alone = self.parent.seconds_a_row is None or self.parent.kind in _BY_LENGTH
        return np.maximum(characters_read(texts), 0 if alone else self.parent.characters_a_row)


def slowness(model: Predictor) -> float:
    """How many times as long as a small encoder it takes for a text, by its parameters; 1 where it has fewer."""
    return max(1.0, model.n_parameters / _ENCODER)
