# SPDX-License-Identifier: Apache-2.0
"""What the generalist said of each row: a label with its confidence, a failure of a named kind, or not asked yet.

Rows are asked in the order in which people check them, a random one. So whenever the asking ends, the rows asked so far
are a random sample of all, and those of them that were checked are a random sample of these.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.chat.parse import FAILURES
from bigenough.chat.terms import Terms
from bigenough.errors import RungFailed, TamperedArtefact
from bigenough.generalist import Generalist
from bigenough.labelling.assignment import Assignment
from bigenough.progress import Progress
from bigenough.rungs.generalist import GeneralistRung
from bigenough.rungs.predictors.endpoint import EndpointPredictor
from bigenough.rungs.protocol import Workbench
from bigenough.storage import write_text
from bigenough.task import Examples

__all__ = ["NOT_ASKED", "NO_ANSWER", "Answers", "Asked", "ask_rows", "zero_shot"]

NO_ANSWER = -1
"""The code of a row whose reply names no label."""
NOT_ASKED = -2
"""The code of a row that was not asked yet."""
_ROWS_AT_ONCE = 256
_COLUMNS = ("row", "label", "confidence", "failure")


@dataclass(frozen=True, eq=False)
class Answers:
    """Of n rows of an assignment.

    Attributes:
        codes: (n,) the label's code, ``NO_ANSWER`` or ``NOT_ASKED``.
        confidence: (n,) the generalist's own, from 0 to 1; nan without a label.
        failures: why a row has none, by its place.
    """

    codes: NDArray[np.int64]
    confidence: NDArray[np.float64]
    failures: Mapping[int, str]

    @classmethod
    def none(cls, n: int) -> Answers:
        """Before anything was asked."""
        return cls(np.full(n, NOT_ASKED, np.int64), np.full(n, np.nan), {})

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(n,) whether a row has a label."""
        return np.asarray(self.codes >= 0)

    @property
    def asked(self) -> NDArray[np.bool_]:
        """(n,) whether a row was asked, with whatever outcome."""
        return np.asarray(self.codes != NOT_ASKED)

    @property
    def tally(self) -> dict[str, int]:
        """How many rows were refused, empty, ...: every kind of failure, those that never happened as 0.

        >>> Answers(np.array([0, -1]), np.array([0.9, np.nan]), {1: "refusal"}).tally["refusal"]
        1
        """
        seen = Counter(self.failures.values())
        return {kind: seen[kind] for kind in FAILURES}

    def write(self, path: Path, work: Assignment) -> None:
        """Keep them as a table: a line for each row that was asked."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for place in np.flatnonzero(self.asked).tolist():
            code = int(self.codes[place])
            label = work.classes[code] if code >= 0 else ""
            sure = repr(float(self.confidence[place])) if code >= 0 else ""
            writer.writerow((int(work.rows[place]), label, sure, self.failures.get(place, "")))
        write_text(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path, work: Assignment) -> Answers:
        """What ``write`` kept; nothing asked where there is no file. Raises ``TamperedArtefact`` for anything else."""
        answers = cls.none(len(work))
        if not path.exists():
            return answers
        place_of = {row: place for place, row in enumerate(work.rows.tolist())}
        code_of = {name: code for code, name in enumerate(work.classes)}
        failures: dict[int, str] = {}
        try:
            with path.open(encoding="utf-8", newline="") as file:
                for line in csv.DictReader(file):
                    place = place_of[int(line["row"])]
                    if line["label"]:
                        answers.codes[place] = code_of[line["label"]]
                        answers.confidence[place] = float(line["confidence"])
                    else:
                        answers.codes[place] = NO_ANSWER
                        failures[place] = line["failure"]
        except (KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
            raise TamperedArtefact(
                f"{path} is not as it was written ({type(error).__name__}: {error}). Put it back, or remove it: it "
                "is written anew from the replies, which are kept elsewhere."
            ) from None
        return replace(answers, failures=failures)


class Asked(NamedTuple):
    """The answers there are, and what ended the asking early, if anything did."""

    answers: Answers
    ended_by: RungFailed | None


def zero_shot(work: Assignment, generalist: Generalist, terms: Terms, *, offline: bool, seed: int) -> EndpointPredictor:
    """The generalist with the labels and what they mean, and no examples: there are none.

    Raises:
        RungFailed: the endpoint cannot be asked what it can do.
        MissingExtra: the package ``openai`` is missing.
    """
    rung = GeneralistRung(generalist.url, generalist.model, terms=terms, described=bool(work.descriptions))
    rung.reply_tokens = generalist.reply_tokens or rung.reply_tokens
    nothing = Examples([], np.array([], np.int64), np.array([], np.int64))
    bench = Workbench(
        seed=seed, threads=1, cache=terms.store.parent, offline=offline, class_names=work.classes,
        descriptions=work.descriptions,
    )  # fmt: skip
    settings = {**rung.first_settings(nothing, len(work.classes)), "shots": 0}
    return rung.fit(nothing, len(work.classes), settings, bench).on_terms(terms)


def ask_rows(
    predictor: EndpointPredictor,
    terms: Terms,
    texts: Sequence[str],
    order: NDArray[np.int64],
    known: Answers,
    progress: Progress,
) -> Asked:
    """Ask about every row that was not asked before, in this order; rows that were keep their answer.

    An endpoint that stops answering, or a budget that is spent, ends it: what came before is returned, and kept.

    Args:
        predictor: whom.
        terms: on which.
        texts: (n) the rows' texts.
        order: (n,) places.
        known: the answers of earlier runs.
        progress: told how far it is.
    """
    codes, confidence, failures = known.codes.copy(), known.confidence.copy(), dict(known.failures)

    def take(asked: EndpointPredictor, places: Sequence[int]) -> None:
        some = [texts[place] for place in places]
        answers = asked.answers(some)
        probability = asked.probabilities(some, answers)
        for place, answer, row in zip(places, answers, probability, strict=True):
            code = answer.parsed.code
            codes[place] = NO_ANSWER if code is None else code
            confidence[place] = np.nan if code is None else row[code]
            if answer.parsed.failure:
                failures[place] = answer.parsed.failure

    left = [place for place in order.tolist() if codes[place] == NOT_ASKED]
    ended: RungFailed | None = None
    for start in range(0, len(left), _ROWS_AT_ONCE):
        some = left[start : start + _ROWS_AT_ONCE]
        progress.say(f"{len(order) - len(left) + start:,} of {len(order):,} rows labelled", start / len(left))
        try:
            take(predictor, some)
        except RungFailed as error:
            ended = error
            kept = predictor.on_terms(replace(terms, budget_usd=None, budget_tokens=1))
            misses = 0
            for place in some:
                try:
                    take(kept, [place])  # a budget of one token sends nothing: only what is in the store is found
                except RungFailed:
                    misses += 1
                    if misses > terms.concurrency:  # no more were under way when it ended
                        break
            break
    return Asked(Answers(codes, confidence, failures), ended)
