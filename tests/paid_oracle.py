# SPDX-License-Identifier: Apache-2.0
"""A rung whose model runs elsewhere and costs money, for tests: it knows the gold labels and errs on some texts.

It keeps its replies as an endpoint's store does, counts what is paid, and can be made to die or to run out of money.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from bigenough.chat.observed import determinism_of, observed_performance
from bigenough.chat.replies import Reply
from bigenough.chat.tariff import own_prices
from bigenough.errors import BudgetSpent
from bigenough.rungs.predictors.artefact import read_facts, write_predictor


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Elsewhere:
    """The endpoint and its store."""

    truth: Mapping[str, int] = field(default_factory=dict)
    wrong_percent: int = 5
    replies: dict[str, int] = field(default_factory=dict)
    paid: list[str] = field(default_factory=list)
    budget: int | None = None
    dies_at: int | None = None

    def answer(self, text: str, n_classes: int) -> int:
        if text not in self.replies:
            if self.budget is not None and len(self.paid) >= self.budget:
                raise BudgetSpent("The budget for the generalist stops here.")
            if self.dies_at is not None and len(self.paid) >= self.dies_at:
                raise Killed
            self.paid.append(text)
            wrong = zlib.crc32(text.encode()) % 100 < self.wrong_percent
            self.replies[text] = (self.truth[text] + wrong) % n_classes
        return self.replies[text]


HERE = Elsewhere()


@dataclass(frozen=True, eq=False)
class PaidPredictor:
    kind: ClassVar[str] = "paid"
    remote: ClassVar[bool] = True
    n_classes: int
    temperature: float = 1.0
    n_parameters: ClassVar[int] = 0

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        said = [HERE.answer(text, self.n_classes) for text in texts]
        return 0.1 / self.n_classes + 0.9 * np.eye(self.n_classes)[said].reshape(len(said), self.n_classes)

    def observed(self, texts: Sequence[str], *, country: str | None = None) -> dict[str, Any]:
        replies = [Reply("a", "stop", tokens_in=1000, tokens_out=3, latency_s=0.1, at=float(n)) for n in range(40)]
        figures = observed_performance(
            replies, url="http://127.0.0.1/v1", model="paid", tariff=own_prices(0.3, 1.2), concurrency=1
        )
        return {**{name: each.to_json() for name, each in figures.items()}, "determinism": determinism_of(0, [])}

    def with_temperature(self, temperature: float) -> Self:
        return replace(self, temperature=self.temperature * temperature)

    def save(self, folder: Path) -> None:
        write_predictor(folder, self.kind, {"n_classes": self.n_classes, "temperature": self.temperature})

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None) -> Self:
        facts = read_facts(folder)
        return cls(facts["n_classes"], facts["temperature"])


class PaidRung:
    name = "generalist"
    version = 1
    summary = "asked elsewhere, for money"
    place = 1000
    curve = False
    remote = True

    def weights(self, bench: Any) -> dict[str, str]:
        return {}

    def first_settings(self, examples: Any, n_classes: int) -> dict[str, Any]:
        return {}

    def suggest(self, trial: Any, examples: Any, n_classes: int) -> dict[str, Any]:
        return {}

    def fit(self, examples: Any, n_classes: int, settings: Any, bench: Any) -> PaidPredictor:
        return PaidPredictor(n_classes)
