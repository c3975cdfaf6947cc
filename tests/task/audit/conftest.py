# SPDX-License-Identifier: Apache-2.0
"""A clean support desk, into which tests plant one fault at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from bigenough.task import Examples
from bigenough.task.audit import Audit, Finding, OutOfFold, audit

FRAME = "the my with and for was it this that about from please can you when I have not been"
TOPICS = {
    "billing": "invoice charged amount refund twice payment statement fee discount receipt total bank month price tax",
    "delivery": "parcel courier arrived address late tracking box warehouse driver street shipped door neighbour van",
    "login": "password account reset screen locked username browser website code email verify page link session",
    "repair": "broken engine battery replace technician noise warranty spare screw motor leaking part workshop cable",
}
FIRST_ROW = 1


@dataclass
class Desk:
    """Rows to be audited; a test changes them first."""

    texts: list[str]
    labels: list[int]
    classes: list[str]
    part: list[str]
    fit: np.ndarray = field(init=False)
    select: np.ndarray = field(init=False)
    certify: np.ndarray = field(init=False)

    def plant(self, text: str, label: str | None = None, part: str = "fit") -> int:
        """Append a row and return its number in the user's table."""
        self.texts.append(text)
        self.labels.append(0 if label is None else self.classes.index(label))
        self.part.append(part)
        return len(self.texts)

    def rows(self, part: str) -> list[int]:
        """The row numbers of a split."""
        return [i + FIRST_ROW for i, each in enumerate(self.part) if each == part]

    @property
    def examples(self) -> Examples:
        n = len(self.texts)
        return Examples(list(self.texts), np.array(self.labels, np.int64), np.arange(FIRST_ROW, n + FIRST_ROW))

    def split(self) -> Desk:
        for name in ("fit", "select", "certify"):
            setattr(self, name, np.flatnonzero(np.array(self.part) == name))
        return self

    def audit(self, **options: object) -> Audit:
        return audit(self.examples, self.classes, self.split(), **options)

    def find(self, kind: str) -> list[Finding]:
        """Findings of a kind other than label errors, for which no models are fitted."""
        nothing = OutOfFold(np.zeros(0, np.int64), np.zeros((0, len(self.classes))))
        return [each for each in self.audit(guessed=nothing).findings if each.kind == kind]

    def find_one(self, kind: str) -> Finding:
        (found,) = self.find(kind)
        return found


def write(rng: np.random.Generator, topic: str) -> str:
    """Sixteen words on a topic, in the order that chance gives."""
    words = [*rng.choice(TOPICS[topic].split(), 7, replace=False), *rng.choice(FRAME.split(), 9, replace=False)]
    return " ".join(str(word) for word in rng.permutation(words)).capitalize() + "."


@pytest.fixture
def desk() -> Desk:
    """800 rows in four classes, 400 to fit, 200 to select, 200 to certify, without any fault."""
    rng = np.random.default_rng(7)
    classes = list(TOPICS)
    labels = [i % 4 for i in range(800)]
    texts = [write(rng, classes[label]) for label in labels]
    part = [("fit", "fit", "select", "certify")[i // 4 % 4] for i in range(800)]
    return Desk(texts, labels, classes, part)
