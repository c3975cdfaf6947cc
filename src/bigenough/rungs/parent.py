# SPDX-License-Identifier: Apache-2.0
"""The candidate that another is made from: a teacher, or the model that is shrunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigenough.rungs.protocol import Predictor
from bigenough.task import Examples

__all__ = ["LONGEST", "Parent", "characters_read"]

LONGEST = 1_000
"""Characters of a text that count: encoders read no more than the first 256 or 512 tokens."""


@dataclass(frozen=True, eq=False)
class Parent:
    """Two models of one candidate: the one that saw fit alone, and the final one that saw fit and select.

    What is made from it is chosen on select, so it must then come from the model that has not seen select.

    Attributes:
        name: the candidate's name.
        folder: the name of its folder, by which it is known to the key of whatever is made from it.
        kind: its predictor's kind.
        fit_rows: how many rows fit has.
        on_fit: loads, or fits again, the model of fit alone.
        final: loads the final model.
        weights: the pre-trained weights that it stands on, with their licence; what is made of it stands on them too.
        seconds_a_row: what a row took it when it was measured, many at once; None where nobody has.
        characters_a_row: how many ``characters_read`` those rows had on average.
        answers: a folder for what it says of texts when it teaches, to be found after a kill; None keeps nothing.
    """

    name: str
    folder: str
    kind: str
    fit_rows: int
    on_fit: Callable[[], Predictor]
    final: Callable[[], Predictor]
    weights: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    seconds_a_row: float | None = field(default=None, kw_only=True)
    characters_a_row: float = field(default=1.0, kw_only=True)
    answers: Path | None = field(default=None, kw_only=True)
    _loaded: dict[str, Predictor] = field(default_factory=dict, init=False, repr=False)

    def of(self, examples: Examples) -> Predictor:
        """The model that saw these rows and no others, fit, or fit and select; it stays loaded until ``release``."""
        which, load = ("on_fit", self.on_fit) if len(examples) <= self.fit_rows else ("final", self.final)
        if which not in self._loaded:
            self._loaded[which] = load()
        return self._loaded[which]

    def release(self) -> None:
        """Let the loaded models go, when all is made of them that was to be made."""
        self._loaded.clear()


def characters_read(texts: Sequence[str]) -> NDArray[np.int64]:
    """The characters of each of n texts that take a model time."""
    return np.minimum(np.array([len(text) for text in texts], np.int64), LONGEST)
