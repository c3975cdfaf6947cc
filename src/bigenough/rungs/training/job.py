# SPDX-License-Identifier: Apache-2.0
"""One training, whatever it trains: what stays the same over its attempts, and how much of it the time allows.

What differs between kinds of models, their networks, rows and budgets, a subclass says.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training.adversary import Adversary
from bigenough.rungs.training.budget import SAFETY
from bigenough.rungs.training.checkpoint import Checkpoint
from bigenough.rungs.training.choices import Choices
from bigenough.rungs.training.machine import Machine
from bigenough.rungs.training.network import Network
from bigenough.rungs.training.rows import Rows, class_weighted
from bigenough.rungs.training.schedule import epoch_batches
from bigenough.rungs.training.steps import Lesson, Steps
from bigenough.rungs.training.team import Team

__all__ = ["TIMED_STEPS", "Job", "MadeT", "RecipeT"]

TIMED_STEPS = 4
"""Steps that are timed, and thrown away, before a training with a budget; the first of them warms up."""
TIMED_TOKENS = 2048
"""Tokens of a process in such a step on CPUs: by then the time of one no longer depends on how many there are."""
TIMED_SHARE = 0.1
"""The share of the minutes after which no more steps are timed."""

RecipeT = TypeVar("RecipeT", bound=Choices)
MadeT = TypeVar("MadeT")


@dataclass(eq=False, kw_only=True)
class Job(ABC, Generic[RecipeT, MadeT]):
    """All that stays the same over the attempts of one training.

    Attributes:
        trains: the model, as messages call it.
        stop: the share of the minutes after which no step is begun.
        hurried: the share of that time after which the pace of fewer steps than ten has to do.
        part_tokens: that of ``Steps``.
        targets: (n, k) class probabilities of the rows to learn from.
        labels: (m,) codes of the rows to look at; k where the class is none of those.
        began: what the clock said at the beginning.
        notes: sentences for the record.
    """

    trains: ClassVar[str]
    stop: ClassVar[float]
    hurried: ClassVar[float]
    part_tokens: ClassVar[int | None] = None

    targets: NDArray[np.float32]
    labels: NDArray[np.int64]
    bench: Workbench
    machine: Machine
    team: Team
    checkpoint: Checkpoint
    clock: Callable[[], float]
    began: float
    notes: list[str] = field(default_factory=list)

    @abstractmethod
    def cut(self, recipe: RecipeT) -> tuple[Rows, Rows]:
        """The rows to learn from and those to look at, no longer than the recipe wants them."""

    @abstractmethod
    def network(self, recipe: RecipeT, weights: NDArray[np.float32]) -> tuple[Network, torch.optim.Optimizer]:
        """The network at its start, and what moves it; the (n,) weights are those of the rows."""

    def adversary(self, network: Network, recipe: RecipeT) -> Adversary | None:
        """Who moves what the second pass over a batch begins with; nobody, unless a subclass says so."""
        return None

    @abstractmethod
    def unit_seconds(self, recipe: RecipeT) -> float:
        """Seconds for one token through one layer, from ``token_seconds``."""

    @abstractmethod
    def fitted(self, recipe: RecipeT, unit_seconds: float, seconds: float) -> tuple[RecipeT, list[str]]:
        """What of the recipe these seconds suffice for, and what was changed. Raises ``RungFailed`` if for nothing."""

    @abstractmethod
    def made(self, network: Network) -> MadeT:
        """What a network that has learned comes to."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the record says of the rows and of who learned from them."""

    def note(self, sentence: str) -> None:
        """Keep a sentence for the record, and say it."""
        self.notes.append(sentence)
        self.bench.say(sentence, None)

    def steps(self, recipe: RecipeT) -> Steps:
        """A network at its start, ready to learn by this recipe."""
        weights = class_weighted(self.targets) if recipe.balanced else np.ones(len(self.targets), np.float32)
        torch.manual_seed(self.bench.seed + recipe.seed_offset)
        network, optimiser = self.network(recipe, weights)
        lesson = Lesson(self.cut(recipe)[0], self.targets, weights, recipe.label_smoothing)
        return Steps(
            network, optimiser, lesson, self.machine, self.team, recipe.batch, self.note, self.part_tokens,
            self.adversary(network, recipe),
        )  # fmt: skip

    def planned(self, recipe: RecipeT) -> RecipeT:
        """What of the recipe fits the budget; said when it is not all."""
        if self.bench.fit_minutes is None:
            return recipe
        unit = self.team.first_says(self.unit_seconds(recipe))
        left = SAFETY * 60 * self.bench.fit_minutes - (self.clock() - self.began)
        planned, changes = self.fitted(recipe, unit, self.team.first_says(left))
        if changes:
            self.note(f"to keep within {self.bench.fit_minutes:.3g} minutes: {'; '.join(changes)}")
        return planned

    def token_seconds(self, recipe: RecipeT, lengths: NDArray[np.int64], before: int = 0) -> float:
        """Seconds a token, from a few steps of a network that is thrown away; on CPUs of long texts fewer rows each.

        A slow one that has taken much of the time already is the last: then it counts, be it the first.

        Args:
            recipe: by which it learns.
            lengths: (n,) tokens of the rows.
            before: tokens that each batch has in addition.
        """
        steps = self.steps(recipe)
        most = float("inf") if self.bench.fit_minutes is None else TIMED_SHARE * 60 * self.bench.fit_minutes
        enough = TIMED_TOKENS * self.team.size if self.machine.device.type == "cpu" else sys.maxsize
        paces: list[tuple[float, int]] = []
        for batch in epoch_batches(lengths, recipe.batch, (self.bench.seed,))[:TIMED_STEPS]:
            some = batch[: max(self.team.size, enough // max(1, int(lengths[batch].max())))]
            began = self.clock()
            steps.step(some, 0.0, 0)
            paces.append((self.clock() - began, int(lengths[some].sum()) + before))
            if self.team.first_says(sum(seconds for seconds, _ in paces)) > most:
                break
        seconds, tokens = (sum(each) for each in zip(*(paces[1:] or paces), strict=True))
        return float(seconds / max(1, tokens))
