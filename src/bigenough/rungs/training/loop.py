# SPDX-License-Identifier: Apache-2.0
"""One training from an encoder's arrays to an encoder's arrays.

It says what is an encoder's own: which tokens and classes come along, the head, the processes that train together.
What to learn, and at which rate, is the recipe's; the pace is ``attempt``'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.models.bert import BertModel
from bigenough.models.encoder import plain_tokenizer
from bigenough.models.tokenizer_file import check_tokenizer
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training.adversary import Adversary
from bigenough.rungs.training.attempt import attempted
from bigenough.rungs.training.budget import SAFETY, Work, fitted_to, units
from bigenough.rungs.training.checkpoint import Checkpoint, training_key
from bigenough.rungs.training.job import Job
from bigenough.rungs.training.machine import borrowed, this_machine
from bigenough.rungs.training.network import Network, built, optimiser_of
from bigenough.rungs.training.recipe import Recipe, Trained, Watch
from bigenough.rungs.training.rows import Rows, token_ids, used_tokens
from bigenough.rungs.training.team import this_team

__all__ = ["train"]

NO_ROWS = -1e4
"""The bias of a class that no target names: its probability is zero."""

Made = tuple[BertModel, NDArray[np.float32], NDArray[np.float64]]
"""The encoder, (d, k) weights and (k,) biases of its head."""


def train(
    body: BertModel,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    targets: NDArray[np.float32],
    recipe: Recipe,
    bench: Workbench,
    watch: Watch | None = None,
    head: DenseHead | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Trained:
    """The encoder, trained with a linear head on the means of its vectors to give each text its target.

    On one machine a pure function of what it is given, unless ``bench.fit_minutes`` does not suffice for the recipe:
    as long as the steps keep the pace that ends them in time, the clock decides nothing.
    With ``bench.scratch``, a training that was killed goes on where it was, to the same result.

    Args:
        body: the encoder to begin with; pooled as its config says, never normalised.
        tokenizer: its tokenizer.
        texts: n texts.
        targets: (n, k) class probabilities: certain ones, or what a teacher said.
        recipe: how.
        bench: seed, threads, minutes, scratch folder, and whom to tell.
        watch: rows to look at once an epoch, to stop when nothing is gained any more.
        head: the head to begin with; None begins with one that says the classes' shares.
        clock: seconds from an arbitrary moment.

    Raises:
        RungFailed: the loss diverged twice, the minutes do not suffice for a few steps, or memory for one row.
        UnsupportedModel: the tokenizer has tokens for which the encoder has no vectors.
    """
    check_tokenizer(tokenizer, body, "this model")
    with borrowed(bench.threads, bench.seed + recipe.seed_offset):
        job = _Job.of(body, tokenizer, texts, targets, recipe, bench, watch, head, clock)
        if len(job.present) == 1:
            return job.trained_on_one_class(recipe)
        outcome = attempted(job, recipe)
    return Trained(*outcome.made, outcome.recipe, outcome.record)


@dataclass(eq=False, kw_only=True)
class _Job(Job[Recipe, Made]):
    """The training of an encoder.

    ``used`` are the tokens that come along, ``present`` the classes that some target names: inside, only these have
    rows and columns.
    """

    trains = "encoder"
    stop = (1 + SAFETY) / 2
    hurried = 0.5

    body: BertModel
    used: NDArray[np.int64]
    rows: Rows
    watched: Rows
    present: NDArray[np.int64]
    n_classes: int
    head: DenseHead | None

    @classmethod
    def of(
        cls,
        body: BertModel,
        tokenizer: Tokenizer,
        texts: Sequence[str],
        targets: NDArray[np.float32],
        recipe: Recipe,
        bench: Workbench,
        watch: Watch | None,
        head: DenseHead | None,
        clock: Callable[[], float],
    ) -> _Job:
        began, team = clock(), this_team()
        machine = this_machine(team.device)
        longest = min(recipe.max_length or body.config.max_length, len(body.positions))
        plain = plain_tokenizer(tokenizer, longest)
        watch = watch or Watch([], np.zeros(0, np.int64))
        ids, watched = (token_ids(plain, some, longest) for some in (texts, watch.texts))
        used = used_tokens(ids, watched)
        present = np.flatnonzero(targets.sum(axis=0) > 0)

        def key() -> str:
            heads, temperature = ([], None) if head is None else ([head.weight, head.bias], head.temperature)
            return training_key(
                body, [*texts, *watch.texts], [targets, watch.labels, *heads], tokenizer.to_str(), len(texts),
                recipe.as_json(), bench.seed, bench.metric, machine.precision, team.size,
                temperature,
            )  # fmt: skip

        return cls(
            body=body, used=used, rows=Rows.of(ids, used), watched=Rows.of(watched, used), targets=targets[:, present],
            # Classes without a place among the present ones are given to none: every answer to them is a miss.
            labels=np.where(np.isin(watch.labels, present), np.searchsorted(present, watch.labels), len(present)),
            present=present, n_classes=targets.shape[1],
            head=None if head is None else replace(head, weight=head.weight[:, present], bias=head.bias[present]),
            bench=bench, machine=machine, team=team, checkpoint=Checkpoint.of(bench.scratch, key),
            clock=clock, began=began,
        )  # fmt: skip

    def cut(self, recipe: Recipe) -> tuple[Rows, Rows]:
        longest = recipe.max_length
        return (self.rows.cut(longest), self.watched.cut(longest)) if longest else (self.rows, self.watched)

    def network(self, recipe: Recipe, weights: NDArray[np.float32]) -> tuple[Network, torch.optim.Optimizer]:
        prior = weights.astype(np.float64) @ self.targets + 1e-6
        network = built(self.body, self.used, recipe, prior / prior.sum(), self.head, self.machine)
        return network, optimiser_of(network, recipe, len(self.body.layers))

    def adversary(self, network: Network, recipe: Recipe) -> Adversary | None:
        learning = recipe.frozen_layers < len(self.body.layers)
        if not recipe.adversarial or not learning:
            return None
        return Adversary(network.body, recipe.adversarial, recipe.frozen_layers)

    def unit_seconds(self, recipe: Recipe) -> float:
        return self.token_seconds(recipe, self.rows.lengths) / units(len(self.body.layers), recipe)

    def fitted(self, recipe: Recipe, unit_seconds: float, seconds: float) -> tuple[Recipe, list[str]]:
        work = Work(self.rows.lengths, self.watched.lengths, len(self.body.layers), unit_seconds)
        return fitted_to(recipe, work, seconds)

    def made(self, network: Network) -> Made:
        body, weight, bias = network.arrays(self.body, self.used)
        return self._whole(body, weight, bias)

    def facts(self) -> dict[str, Any]:
        return {"processes": self.team.size, "rows": len(self.targets)}

    def trained_on_one_class(self, recipe: Recipe) -> Trained:
        """There is nothing to tell apart: the encoder as it is, under a head that always says the same.

        The recipe stays as it was wanted, for rows of which there is more to learn.
        """
        made = self._whole(self.body, np.zeros((self.body.config.width, 1), np.float32), np.zeros(1))
        return Trained(*made, recipe, {"steps": 0, "notes": ["all rows are of one class"]})

    def _whole(self, body: BertModel, weight: NDArray[np.float32], bias: NDArray[np.float64]) -> Made:
        """The encoder without normalisation, under a head with the columns of all classes."""
        columns = np.zeros((len(weight), self.n_classes), np.float32)
        biases = np.full(self.n_classes, NO_ROWS)
        columns[:, self.present], biases[self.present] = weight, bias
        return replace(body, config=replace(body.config, normalise=False)), columns, biases
