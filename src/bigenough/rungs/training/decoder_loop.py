# SPDX-License-Identifier: Apache-2.0
"""One training of a language model on what it is to answer: from a GGUF file's arrays to changed arrays.

It decides the pace: how many steps fit the time, when to look, when to stop, and what to do when the loss diverges.
What to learn, and at which rate, is the recipe's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bigenough.errors import RungFailed
from bigenough.models.gguf_weights import GgufModel
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training.budget import SAFETY
from bigenough.rungs.training.checkpoint import Checkpoint, State
from bigenough.rungs.training.decoder import KEPT_BYTES, built_decoder, decoder_optimiser, folded_updates
from bigenough.rungs.training.decoder_budget import DecoderWork, decoder_fitted_to
from bigenough.rungs.training.decoder_recipe import DecoderRecipe, DecoderTrained
from bigenough.rungs.training.decoder_rows import PromptRows
from bigenough.rungs.training.machine import Machine, borrowed, this_machine
from bigenough.rungs.training.rows import Rows, class_weighted
from bigenough.rungs.training.schedule import epoch_batches, learning_rate_at
from bigenough.rungs.training.steps import Diverged, Lesson, Steps, scores_of
from bigenough.rungs.training.team import Team
from bigenough.rungs.training.watching import Looks
from bigenough.storage import content_hash

__all__ = ["train_decoder"]

TIMED_STEPS = 4
"""Steps that are timed, and thrown away, before a training with a budget; the first of them warms up."""
PACE_STEPS = 10
"""Steps after which the pace is known well enough to tell whether the time suffices."""
SLOWER = 1 / 3
"""What the learning rate is multiplied by after the loss diverged."""
PART_TOKENS = 1024
"""Tokens that go through the model together when it learns: some two megabytes each are kept for the way down."""
STOP = 0.9
"""The share of the minutes after which no step is begun; what is left is for writing the files and comparing them."""


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
        try:
            return job.run(recipe)
        except Diverged:
            slower = replace(recipe, learning_rate=SLOWER * recipe.learning_rate)
            job.note(f"the loss diverged: starting again at a learning rate of {slower.learning_rate:.2g}")
        try:
            return job.run(slower)
        except Diverged:
            job.checkpoint.remove()
            raise RungFailed(
                f"The loss diverged twice, at learning rates of {recipe.learning_rate:.2g} and "
                f"{slower.learning_rate:.2g}. Check the weights of this model, or set a lower learning_rate."
            ) from None


@dataclass(eq=False)
class _Job:
    """All that stays the same over the attempts of one training."""

    source: GgufModel
    rows: PromptRows
    targets: NDArray[np.float32]
    answers: NDArray[np.int64]
    watched: PromptRows
    labels: NDArray[np.int64]
    bench: Workbench
    machine: Machine
    checkpoint: Checkpoint
    clock: Callable[[], float]
    began: float
    notes: list[str] = field(default_factory=list)

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
        clock: Callable[[], float] = time.monotonic,
    ) -> _Job:
        machine = this_machine()
        codes = np.zeros(0, np.int64) if labels is None else labels
        seen = watched or PromptRows(prompts.prefix, [], prompts.ending)
        path = None
        if bench.scratch is not None:
            told = [[row.tolist() for row in (some.prefix, *some.rows)] for some in (prompts, seen)]
            key = content_hash(
                sha256, told, targets.tolist(), list(map(int, answers)), codes.tolist(), recipe.as_json(), bench.seed,
                bench.fit_minutes, bench.metric, machine.precision, length=20,
            )  # fmt: skip
            path = bench.scratch / f"training-{key}.safetensors"
        return cls(
            source,
            prompts,
            targets,
            np.array(answers, np.int64),
            seen,
            codes,
            bench,
            machine,
            Checkpoint(path),
            clock,
            clock(),
        )

    def note(self, sentence: str) -> None:
        """Keep a sentence for the record, and say it."""
        self.notes.append(sentence)
        self.bench.say(sentence, None)

    def run(self, recipe: DecoderRecipe) -> DecoderTrained:
        """One attempt. Raises ``Diverged``."""
        kept = self.checkpoint.read()
        if kept is not None and kept.facts["wanted"] != recipe.as_json():
            kept = None
        planned = self._planned(recipe) if kept is None else DecoderRecipe.of(kept.facts["recipe"])
        attempt = _Attempt(self, planned, recipe)
        if kept is not None:
            attempt.resume(kept)
        attempt.go()
        trained = attempt.trained()
        self.checkpoint.remove()
        return trained

    def _planned(self, recipe: DecoderRecipe) -> DecoderRecipe:
        """What of the recipe fits the budget; said when it is not all."""
        if self.bench.fit_minutes is None:
            return recipe
        work = self.work(self._unit_seconds(recipe))
        left = SAFETY * 60 * self.bench.fit_minutes - (self.clock() - self.began)
        planned, changes = decoder_fitted_to(recipe, work, left)
        if changes:
            self.note(f"to keep within {self.bench.fit_minutes:.3g} minutes: {'; '.join(changes)}")
        return planned

    def work(self, unit_seconds: float) -> DecoderWork:
        """What there is to do, at this pace."""
        kept_tokens = KEPT_BYTES // (4 * int(self.source.fact("embedding_length")))
        return DecoderWork(
            self.rows.lengths, self.watched.lengths, len(self.rows.prefix), self.layers, unit_seconds, kept_tokens
        )

    @property
    def layers(self) -> int:
        """Of the model."""
        return int(self.source.fact("block_count"))

    def _unit_seconds(self, recipe: DecoderRecipe) -> float:
        """Seconds for one token through one layer, from a few steps of a network that is thrown away."""
        whole = replace(recipe, frozen=0.0)
        steps = self.steps(whole)
        some = epoch_batches(steps.lesson.rows.lengths, recipe.batch, (self.bench.seed,))[:TIMED_STEPS]
        seconds, tokens = 0.0, 0
        for i, batch in enumerate(some):
            began = self.clock()
            steps.part = self.part(steps, batch)
            steps.step(batch, 0.0, 0)
            if i or len(some) == 1:
                seconds += self.clock() - began
                tokens += int(steps.lesson.rows.lengths[batch].sum()) + len(self.rows.prefix)
        return seconds / max(1, tokens) / (2 * self.layers)

    def part(self, steps: Steps, batch: NDArray[np.int64]) -> int:
        """How many of these rows go through the model together."""
        return max(1, PART_TOKENS // int(steps.lesson.rows.lengths[batch].max()))

    def steps(self, recipe: DecoderRecipe) -> Steps:
        """A network at its start, ready to learn by this recipe."""
        weights = class_weighted(self.targets) if recipe.balanced else np.ones(len(self.targets), np.float32)
        torch.manual_seed(self.bench.seed + recipe.seed_offset)
        network = built_decoder(self.source, self.answers, self.rows.prefix.tolist(), recipe, self.machine)
        lesson = Lesson(_torch_rows(self.rows, recipe), self.targets, weights, recipe.label_smoothing)
        optimiser = decoder_optimiser(network, recipe)
        return Steps(network, optimiser, lesson, self.machine, Team(), recipe.batch, self.note)


class _Attempt:
    """One way through the steps of a recipe."""

    def __init__(self, job: _Job, recipe: DecoderRecipe, wanted: DecoderRecipe) -> None:
        self.job, self.recipe, self.wanted = job, recipe, wanted
        self.steps = job.steps(recipe)
        self.network: Any = self.steps.network
        self.watched = _torch_rows(job.watched, recipe)
        self.an_epoch = int(np.ceil(len(job.rows.rows) / recipe.batch))
        self.total = max(1, round(recipe.epochs * self.an_epoch))
        self.done, self.tokens, self.before, self.learning = 0, 0, 0.0, 0.0
        self.most = recipe.batch
        """Rows together for which memory has sufficed so far."""
        self.resumed_at: int | None = None
        self.looks = Looks(job.bench.metric)
        self.kept: dict[str, torch.Tensor] = {}
        self.probability = np.zeros((0, len(job.answers)))
        self.losses: list[float] = []

    def go(self) -> None:
        """All steps that are still to be done, in their order, until the time or the patience is over."""
        seed = self.job.bench.seed + self.recipe.seed_offset
        batches: list[NDArray[np.int64]] = []
        spent = self._spent()
        while self.done < self.total and not self.looks.over:
            epoch, place = divmod(self.done, self.an_epoch)
            if not batches or place == 0:
                batches = epoch_batches(self.steps.lesson.rows.lengths, self.recipe.batch, (seed, epoch))
            rate = learning_rate_at(min(1.0, self._progress(spent)), self.recipe.warm_up)
            self._step(batches[place], rate, (seed * 1_000_003 + self.done) % (1 << 62))
            spent = self._spent()
            self._say(epoch)
            if spent >= 1 and self.done < self.total:
                self.job.note(f"the machine got slower: stopped after {self.done:,} of {self.total:,} steps, in time")
                self.total = self.done
            self._look_and_keep()

    def _step(self, batch: NDArray[np.int64], rate: float, seed: int) -> None:
        part = self.steps.part = min(self.most, self.job.part(self.steps, batch))
        began = self.job.clock()
        loss = self.steps.step(batch, rate, seed)
        self.learning += self.job.clock() - began
        if self.steps.part < part:
            self.most = self.steps.part
        self.losses = [*self.losses[-99:], loss]
        self.tokens += int(self.steps.lesson.rows.lengths[batch].sum())
        self.done += 1

    def _progress(self, spent: float) -> float:
        """The share of the training that is behind: counted in steps, unless the rest of them would take too long.

        Only then does the clock have a say, lest every run on a machine that is busy otherwise ended up elsewhere.
        """
        by_steps = (self.done + 0.5) / self.total
        if self.limit is None:
            return by_steps
        used, left = self.learning / self.limit, max(0.0, 1 - spent)
        if self.done >= PACE_STEPS and used * (self.total - self.done) > left * self.done:
            by_steps = max(by_steps, used / (used + left))
        return by_steps

    @property
    def limit(self) -> float | None:
        """Seconds until the last step; None without a limit."""
        minutes = self.job.bench.fit_minutes
        return None if minutes is None else 60 * minutes * STOP

    def _spent(self) -> float:
        """The share of the limit that is gone; 0 without one."""
        return 0.0 if self.limit is None else self.seconds / self.limit

    @property
    def seconds(self) -> float:
        """How long this training has taken by now, the time before a kill included."""
        return self.before + self.job.clock() - self.job.began

    def _say(self, epoch: int) -> None:
        if self.done % max(1, self.total // 100) == 0 or self.done == self.total:
            loss = float(np.mean(self.losses))
            self.job.bench.say(f"epoch {epoch + 1}, step {self.done:,} of {self.total:,}, loss {loss:.3f}", None)

    def _look_and_keep(self) -> None:
        at_end = self.done == self.total
        if len(self.job.labels) and (at_end or self.done % self.an_epoch == 0):
            probability = scores_of(self.network, self.watched, self.job.machine)
            if self.looks.look(probability, self.job.labels, self.done, self.done / self.an_epoch):
                self.probability = probability
                self.kept = {name: value.detach().clone() for name, value in self.network.learned().items()}
        if self.job.checkpoint.due and not at_end:
            self.job.checkpoint.write(self._state())

    def _state(self) -> State:
        kept = {f"kept.{name}": value for name, value in self.kept.items()}
        kept["probability"] = torch.from_numpy(self.probability)
        facts = {
            "wanted": self.wanted.as_json(),
            "recipe": self.recipe.as_json(),
            "done": self.done,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "learning": self.learning,
            "most": self.most,
            "losses": self.losses,
            "notes": self.job.notes,
            "looks": self.looks.to_json(),
        }
        return State({**self.steps.state(), **kept}, facts)

    def resume(self, state: State) -> None:
        """Go on from a checkpoint."""
        facts = state.facts
        self.steps.restore(dict(state.tensors))
        self.most, self.learning = int(facts["most"]), float(facts["learning"])
        self.done, self.tokens, self.before = int(facts["done"]), int(facts["tokens"]), float(facts["seconds"])
        self.losses, self.job.notes[:] = list(facts["losses"]), list(facts["notes"])
        self.looks = Looks.from_json(facts["looks"], len(self.job.labels))
        self.probability = state.tensors["probability"].numpy()
        named = {name.removeprefix("kept."): value for name, value in state.tensors.items() if name.startswith("kept.")}
        self.kept = {name: value.to(self.job.machine.device) for name, value in named.items()}
        self.resumed_at = self.done
        self.job.bench.say(f"going on at step {self.done + 1:,} of {self.total:,}", None)

    def trained(self) -> DecoderTrained:
        """What came of it: the state that was kept, or the last one."""
        steps = self.done
        if len(self.job.labels) and self.looks.kept != self.done:
            steps = self.looks.kept
            self.network.restore(self.kept)
        changed = folded_updates(self.network, self.job.source)
        recipe = replace(self.recipe, epochs=steps / self.an_epoch)
        return DecoderTrained(changed, self.probability, recipe, self._record(steps))

    def _record(self, kept: int) -> dict[str, Any]:
        seconds = self.seconds
        rows = self.done * len(self.job.rows.rows) / self.an_epoch
        return {
            "wanted": self.wanted.as_json(),
            "device": self.job.machine.device.type,
            "precision": self.job.machine.precision,
            "rows": len(self.job.rows.rows),
            "prefix_tokens": len(self.job.rows.prefix),
            "tokens": self.tokens,
            "steps": self.done,
            "kept_after": kept,
            "loss": round(float(np.mean(self.losses)), 6),
            "seconds": round(seconds, 3),
            "rows_per_second": round(rows / seconds, 1),
            "learned_parameters": sum(value.numel() for value in self.network.learned().values()),
            "evaluations": self.looks.seen,
            "resumed_at": self.resumed_at,
            "notes": list(self.job.notes),
        }


def _torch_rows(prompts: PromptRows, recipe: DecoderRecipe) -> Rows:
    cut = prompts.cut(recipe.max_length)
    return Rows(cut.rows, cut.lengths)
