# SPDX-License-Identifier: Apache-2.0
"""One training from an encoder's arrays to an encoder's arrays.

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
from tokenizers import Tokenizer

from bigenough.errors import RungFailed
from bigenough.models.bert import BertModel
from bigenough.models.encoder import plain_tokenizer
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training.body import check_tokenizer
from bigenough.rungs.training.budget import SAFETY, Work, fitted_to, units
from bigenough.rungs.training.checkpoint import Checkpoint, State, training_key
from bigenough.rungs.training.machine import Machine, borrowed, this_machine
from bigenough.rungs.training.network import Network, built, optimiser_of
from bigenough.rungs.training.recipe import Recipe, Trained, Watch
from bigenough.rungs.training.rows import Rows, class_weighted, token_ids, used_tokens
from bigenough.rungs.training.schedule import epoch_batches, learning_rate_at
from bigenough.rungs.training.steps import Diverged, Lesson, Steps, scores_of
from bigenough.rungs.training.team import Team, this_team
from bigenough.rungs.training.watching import Looks

__all__ = ["train"]

TIMED_STEPS = 4
"""Steps that are timed, and thrown away, before a training with a budget; the first of them warms up."""
PACE_STEPS = 10
"""Steps after which the pace is known well enough to tell whether the time suffices; the first ones are slow."""
HALF = 0.5
"""The share of the time after which the pace of fewer steps has to do."""
SLOWER = 1 / 3
"""What the learning rate is multiplied by after the loss diverged."""
NO_ROWS = -1e4
"""The bias of a class that no target names: its probability is zero."""


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
            return job.trained_on_one_class()
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
                f"{slower.learning_rate:.2g}. Check the weights of this encoder, or set a lower learning_rate."
            ) from None


@dataclass(eq=False)
class _Job:
    """All that stays the same over the attempts of one training.

    ``present`` are the classes that some target names; inside, only these have columns.
    """

    body: BertModel
    used: NDArray[np.int64]
    rows: Rows
    targets: NDArray[np.float32]
    present: NDArray[np.int64]
    watched: Rows
    labels: NDArray[np.int64]
    head: DenseHead | None
    bench: Workbench
    machine: Machine
    team: Team
    checkpoint: Checkpoint
    clock: Callable[[], float]
    began: float
    n_classes: int
    notes: list[str] = field(default_factory=list)

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
        began = clock()
        team = this_team()
        machine = this_machine(team.device)
        longest = min(recipe.max_length or body.config.max_length, len(body.positions))
        plain = plain_tokenizer(tokenizer, longest)
        watch = watch or Watch([], np.zeros(0, np.int64))
        ids, watched = (token_ids(plain, some, longest) for some in (texts, watch.texts))
        used = used_tokens(ids, watched)
        present = np.flatnonzero(targets.sum(axis=0) > 0)
        path = None
        if bench.scratch is not None:
            arrays: list[NDArray[Any]] = [targets, watch.labels]
            arrays += [] if head is None else [head.weight, head.bias]
            key = training_key(
                body, [*texts, *watch.texts], arrays, tokenizer.to_str(), len(texts), recipe.as_json(), bench.seed,
                bench.fit_minutes, bench.metric, machine.precision, team.size,
                None if head is None else head.temperature,
            )  # fmt: skip
            path = bench.scratch / f"training-{key}.safetensors"
        # Classes without a place among the present ones are given to none: every answer to them is a miss.
        labels = np.where(np.isin(watch.labels, present), np.searchsorted(present, watch.labels), len(present))
        return cls(
            body, used, Rows.of(ids, used), targets[:, present], present, Rows.of(watched, used), labels,
            None if head is None else replace(head, weight=head.weight[:, present], bias=head.bias[present]),
            bench, machine, team, Checkpoint(path), clock, began, targets.shape[1],
        )  # fmt: skip

    def note(self, sentence: str) -> None:
        """Keep a sentence for the record, and say it."""
        self.notes.append(sentence)
        self.bench.say(sentence, None)

    def run(self, recipe: Recipe) -> Trained:
        """One attempt. Raises ``Diverged``."""
        kept = self.checkpoint.read()
        if kept is not None and kept.facts["wanted"] != recipe.as_json():
            kept = None
        planned = self._planned(recipe) if kept is None else Recipe.of(kept.facts["recipe"])
        attempt = _Attempt(self, planned, recipe)
        if kept is not None:
            attempt.resume(kept)
        attempt.go()
        trained = attempt.trained()
        self.checkpoint.remove()
        return trained

    def _planned(self, recipe: Recipe) -> Recipe:
        """What of the recipe fits the budget; said when it is not all."""
        if self.bench.fit_minutes is None:
            return recipe
        unit = self._unit_seconds(recipe)
        work = Work(self.rows.lengths, self.watched.lengths, len(self.body.layers), unit)
        left = SAFETY * 60 * self.bench.fit_minutes - (self.clock() - self.began)
        planned, changes = fitted_to(recipe, work, self.team.first_says(left))
        if changes:
            self.note(f"to keep within {self.bench.fit_minutes:.3g} minutes: {'; '.join(changes)}")
        return planned

    def _unit_seconds(self, recipe: Recipe) -> float:
        """Seconds for one token through one layer, from a few steps of a network that is thrown away."""
        steps = self.steps(recipe)
        some = epoch_batches(self.rows.lengths, recipe.batch, (self.bench.seed,))[:TIMED_STEPS]
        seconds, tokens = 0.0, 0
        for i, batch in enumerate(some):
            began = self.clock()
            steps.step(batch, 0.0, 0)
            if i or len(some) == 1:
                seconds += self.clock() - began
                tokens += int(self.rows.lengths[batch].sum())
        unit = seconds / max(1, tokens) / units(len(self.body.layers), recipe.frozen_layers)
        return self.team.first_says(unit)

    def steps(self, recipe: Recipe) -> Steps:
        """A network at its start, ready to learn by this recipe."""
        weights = class_weighted(self.targets) if recipe.balanced else np.ones(len(self.targets), np.float32)
        prior = weights.astype(np.float64) @ self.targets + 1e-6
        torch.manual_seed(self.bench.seed + recipe.seed_offset)
        network = built(self.body, self.used, recipe, prior / prior.sum(), self.head, self.machine)
        rows = self.rows.cut(recipe.max_length) if recipe.max_length else self.rows
        lesson = Lesson(rows, self.targets, weights, recipe.label_smoothing)
        optimiser = optimiser_of(network, recipe, len(self.body.layers))
        return Steps(network, optimiser, lesson, self.machine, self.team, recipe.batch, self.note)

    def whole_head(
        self, weight: NDArray[np.float32], bias: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """(d, k) and (k,) with the columns of all classes."""
        columns = np.zeros((len(weight), self.n_classes), np.float32)
        biases = np.full(self.n_classes, NO_ROWS)
        columns[:, self.present], biases[self.present] = weight, bias
        return columns, biases

    def trained_on_one_class(self) -> Trained:
        """There is nothing to tell apart: the encoder as it is, under a head that always says the same."""
        weight, bias = self.whole_head(np.zeros((self.body.config.width, 1), np.float32), np.zeros(1))
        body = replace(self.body, config=replace(self.body.config, normalise=False))
        return Trained(body, weight, bias, Recipe(), {"steps": 0, "notes": ["all rows are of one class"]})


class _Attempt:
    """One way through the steps of a recipe."""

    def __init__(self, job: _Job, recipe: Recipe, wanted: Recipe) -> None:
        self.job, self.recipe, self.wanted = job, recipe, wanted
        self.steps: Steps = job.steps(recipe)
        self.network: Network = self.steps.network
        self.watched = job.watched.cut(recipe.max_length) if recipe.max_length else job.watched
        self.an_epoch = int(np.ceil(len(job.rows.ids) / recipe.batch))
        self.total = max(1, round(recipe.epochs * self.an_epoch))
        self.done = 0
        self.tokens = 0
        self.learning = 0.0
        """Seconds inside steps, those before a kill included."""
        self.before = 0.0
        """Seconds that this training took before it was killed."""
        self.resumed_at: int | None = None
        self.looks = Looks(job.bench.metric)
        self.kept: dict[str, torch.Tensor] = {}
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
            began = self.job.clock()
            loss = self.steps.step(batches[place], rate, _step_seed(seed, self.done, self.job.team.size))
            self.learning += self.job.clock() - began
            self.losses = [*self.losses[-99:], loss]
            self.tokens += int(self.steps.lesson.rows.lengths[batches[place]].sum())
            self.done += 1
            spent = self._spent()
            self._say(epoch)
            if spent >= 1 and self.done < self.total:
                self.job.note(f"the machine got slower: stopped after {self.done:,} of {self.total:,} steps, in time")
                self.total = self.done
            self._look_and_keep()

    def _progress(self, spent: float) -> float:
        """The share of the training that is behind: counted in steps, unless the rest of them would take too long.

        Only then does the clock have a say, lest every run on a machine that is busy otherwise ended up elsewhere.
        """
        by_steps = (self.done + 0.5) / self.total
        if self.limit is None:
            return by_steps
        used, left = self.learning / self.limit, max(0.0, 1 - spent)
        known = self.done >= PACE_STEPS or spent > HALF
        if known and used * (self.total - self.done) > left * self.done:
            by_steps = max(by_steps, used / (used + left))
        return self.job.team.first_says(by_steps)

    @property
    def limit(self) -> float | None:
        """Seconds until the last step; None without a limit.

        What comes after it, looking at the watched rows and writing the graph, has the rest of the minutes.
        """
        minutes = self.job.bench.fit_minutes
        return None if minutes is None else 60 * minutes * (1 + SAFETY) / 2

    def _spent(self) -> float:
        """The share of the limit that is gone, in all processes alike; 0 without one."""
        return 0.0 if self.limit is None else self.job.team.first_says(self.seconds / self.limit)

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
            # A column for the classes that no target names.
            probability = np.pad(probability, ((0, 0), (0, 1)))
            epochs = self.done / self.an_epoch
            if self.looks.look(probability, self.job.labels, self.done, epochs) and not at_end:
                self.kept = {name: value.detach().clone() for name, value in self.network.learned().items()}
        if self.job.checkpoint.due and not at_end and self.job.team.rank == 0:
            self.job.checkpoint.write(self._state())

    def _state(self) -> State:
        kept = {f"kept.{name}": value for name, value in self.kept.items()}
        facts = {
            "wanted": self.wanted.as_json(),
            "recipe": self.recipe.as_json(),
            "done": self.done,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "learning": self.learning,
            "part": self.steps.part,
            "losses": self.losses,
            "notes": self.job.notes,
            "looks": self.looks.to_json(),
        }
        return State({**self.steps.state(), **kept}, facts)

    def resume(self, state: State) -> None:
        """Go on from a checkpoint."""
        facts = state.facts
        self.steps.restore(dict(state.tensors))
        self.steps.part = int(facts["part"])
        self.done, self.tokens, self.before = int(facts["done"]), int(facts["tokens"]), float(facts["seconds"])
        self.learning = float(facts["learning"])
        self.losses, self.job.notes[:] = list(facts["losses"]), list(facts["notes"])
        self.looks = Looks.from_json(facts["looks"], len(self.job.labels))
        named = {name.removeprefix("kept."): value for name, value in state.tensors.items() if name.startswith("kept.")}
        self.kept = {name: value.to(self.job.machine.device) for name, value in named.items()}
        self.resumed_at = self.done
        self.job.bench.say(f"going on at step {self.done + 1:,} of {self.total:,}", None)

    def trained(self) -> Trained:
        """What came of it: the state that was kept, or the last one."""
        steps = self.done
        if len(self.job.labels) and self.looks.kept != self.done:
            steps = self.looks.kept
            self.network.restore(self.kept)
        learned = sum(value.numel() for value in self.network.learned().values())
        body, weight, bias = self.network.arrays(self.job.body, self.job.used)
        weight, bias = self.job.whole_head(weight, bias)
        body = replace(body, config=replace(body.config, normalise=False))
        recipe = replace(self.recipe, epochs=steps / self.an_epoch)
        return Trained(body, weight, bias, recipe, self._record(steps, learned))

    def _record(self, kept: int, learned: int) -> dict[str, Any]:
        seconds = self.seconds
        rows = self.done * len(self.job.rows.ids) / self.an_epoch
        return {
            "wanted": self.wanted.as_json(),
            "device": self.job.machine.device.type,
            "precision": self.job.machine.precision,
            "processes": self.job.team.size,
            "rows": len(self.job.rows.ids),
            "tokens": self.tokens,
            "steps": self.done,
            "kept_after": kept,
            "loss": round(float(np.mean(self.losses)), 6),
            "seconds": round(seconds, 3),
            "rows_per_second": round(rows / seconds, 1),
            "learned_parameters": learned,
            "evaluations": self.looks.seen,
            "resumed_at": self.resumed_at,
            "notes": list(self.job.notes),
        }


def _step_seed(seed: int, step: int, processes: int) -> int:
    """A seed for each step and, by its rank added to it, each process."""
    return (seed * 1_000_003 + step * processes) % (1 << 62)
