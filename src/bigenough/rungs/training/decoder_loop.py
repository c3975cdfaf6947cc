# SPDX-License-Identifier: Apache-2.0
"""One training of a language model on what it is to answer: from a GGUF file's arrays to changed arrays.

It says what is a language model's own: the prefix that all prompts share, the answers, how much goes through at once.
What to learn, and at which rate, is the recipe's; the pace is ``attempt``'s.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bigenough.models.gguf_weights import GgufModel
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training.attempt import attempted
from bigenough.rungs.training.checkpoint import Checkpoint
from bigenough.rungs.training.decoder import KEPT_BYTES, built_decoder, decoder_optimiser, folded_updates
from bigenough.rungs.training.decoder_budget import DecoderWork, decoder_fitted_to
from bigenough.rungs.training.decoder_recipe import DecoderRecipe, DecoderTrained
from bigenough.rungs.training.decoder_rows import PromptRows
from bigenough.rungs.training.job import Job
from bigenough.rungs.training.machine import borrowed, this_machine
from bigenough.rungs.training.network import Network
from bigenough.rungs.training.rows import Rows
from bigenough.rungs.training.team import Team
from bigenough.storage import content_hash

__all__ = ["train_decoder"]

PART_TOKENS = 1024
"""Tokens that go through the model together when it learns: some two megabytes each are kept for the way down."""
STOP = 0.9
"""The share of the minutes after which no step is begun; what is left is for writing the files and comparing them."""

Made = Mapping[str, NDArray[np.float32]]
"""The matrices that learned, by name."""


def train_decoder(
    source: GgufModel,
    sha256: str,
    prompts: PromptRows,
    targets: NDArray[np.float32],
    answers: Sequence[int],
    recipe: DecoderRecipe,
    bench: Workbench,
    watched: PromptRows | None = None,
    labels: NDArray[np.int64] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> DecoderTrained:
    """Teach the model to answer each prompt with its class's one token.

    The loss is the cross-entropy of the answers' softmax at the prompt's last token: the probabilities that serving
    reads. With ``bench.scratch``, a training that was killed goes on where it was.

    Args:
        source: the model.
        sha256: of its file.
        prompts: n of them, up to where the answer begins.
        targets: (n, k) class probabilities.
        answers: (k) the token that stands for each class.
        recipe: how.
        bench: seed, threads, minutes, scratch folder, and whom to tell.
        watched: m prompts to look at once an epoch, to stop when nothing is gained any more; of the same prefix.
        labels: (m,) their codes.
        clock: gives seconds from an arbitrary moment.

    Raises:
        RungFailed: the loss diverged twice, the minutes do not suffice for a few steps, or memory for one row.
        UnsupportedModel: the model is of a kind that cannot be trained here.
    """
    with borrowed(bench.threads, bench.seed + recipe.seed_offset):
        job = _Job.of(source, sha256, prompts, targets, answers, recipe, bench, watched, labels, clock)
        outcome = attempted(job, recipe)
    return DecoderTrained(outcome.made, outcome.probability, outcome.recipe, outcome.record)


@dataclass(eq=False, kw_only=True)
class _Job(Job[DecoderRecipe, Made]):
    """The training of a language model, in one process."""

    trains = "model"
    stop = STOP
    hurried = math.inf
    part_tokens = PART_TOKENS

    source: GgufModel
    rows: PromptRows
    watched: PromptRows
    answers: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        source: GgufModel,
        sha256: str,
        prompts: PromptRows,
        targets: NDArray[np.float32],
        answers: Sequence[int],
        recipe: DecoderRecipe,
        bench: Workbench,
        watched: PromptRows | None,
        labels: NDArray[np.int64] | None,
        clock: Callable[[], float],
    ) -> _Job:
        machine = this_machine()
        codes = np.zeros(0, np.int64) if labels is None else labels
        seen = watched or PromptRows(prompts.prefix, [], prompts.ending)

        def key() -> str:
            told = [[row.tolist() for row in (some.prefix, *some.rows)] for some in (prompts, seen)]
            return content_hash(
                sha256, told, targets.tolist(), list(map(int, answers)), codes.tolist(), recipe.as_json(), bench.seed,
                bench.metric, machine.precision, length=20,
            )  # fmt: skip

        return cls(
            source=source, rows=prompts, watched=seen, targets=targets, labels=codes,
            answers=np.array(answers, np.int64), bench=bench, machine=machine, team=Team(),
            checkpoint=Checkpoint.of(bench.scratch, key), clock=clock, began=clock(),
        )  # fmt: skip

    @property
    def layers(self) -> int:
        """Of the model."""
        return int(self.source.fact("block_count"))

    def cut(self, recipe: DecoderRecipe) -> tuple[Rows, Rows]:
        learned, watched = (some.cut(recipe.max_length) for some in (self.rows, self.watched))
        return Rows(learned.rows, learned.lengths), Rows(watched.rows, watched.lengths)

    def network(self, recipe: DecoderRecipe, weights: NDArray[np.float32]) -> tuple[Network, torch.optim.Optimizer]:
        network = built_decoder(self.source, self.answers, self.rows.prefix.tolist(), recipe, self.machine)
        return network, decoder_optimiser(network, recipe)

    def unit_seconds(self, recipe: DecoderRecipe) -> float:
        lengths = self.cut(recipe)[0].lengths
        return self.token_seconds(recipe.changed(frozen=0.0), lengths, len(self.rows.prefix)) / (2 * self.layers)

    def fitted(self, recipe: DecoderRecipe, unit_seconds: float, seconds: float) -> tuple[DecoderRecipe, list[str]]:
        kept_tokens = KEPT_BYTES // (4 * int(self.source.fact("embedding_length")))
        work = DecoderWork(
            self.rows.lengths, self.watched.lengths, len(self.rows.prefix), self.layers, unit_seconds, kept_tokens
        )
        return decoder_fitted_to(recipe, work, seconds)

    def made(self, network: Network) -> Made:
        return folded_updates(network, self.source)

    def facts(self) -> dict[str, Any]:
        return {"rows": len(self.targets), "prefix_tokens": len(self.rows.prefix)}
