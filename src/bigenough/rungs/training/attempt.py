# SPDX-License-Identifier: Apache-2.0
"""The way through the steps of a training: in which order, when to look, when to stop, and how it goes on after a kill.

A loss that diverges gets a second attempt, at a lower learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import torch
from numpy.typing import NDArray

from bigenough.errors import RungFailed
from bigenough.rungs.training.checkpoint import State
from bigenough.rungs.training.job import Job, MadeT, RecipeT
from bigenough.rungs.training.schedule import epoch_batches, learning_rate_at, strength_at
from bigenough.rungs.training.steps import Diverged, scores_of
from bigenough.rungs.training.watching import Looks

__all__ = ["Outcome", "attempted"]

PACE_STEPS = 10
"""Steps after which the pace is known well enough to tell whether the time suffices; the first ones are slow."""
SLOWER = 1 / 3
"""What the learning rate is multiplied by after the loss diverged."""


@dataclass(frozen=True, eq=False)
class Outcome(Generic[RecipeT, MadeT]):
    """What came of a training.

    Attributes:
        made: of the network, in the state that was kept.
        probability: (m, k) of the watched rows in that state; of no rows when none were watched.
        recipe: as it was carried out.
        record: what happened, JSON values.
    """

    made: MadeT
    probability: NDArray[np.float64]
    recipe: RecipeT
    record: Mapping[str, Any]


def attempted(job: Job[RecipeT, MadeT], recipe: RecipeT) -> Outcome[RecipeT, MadeT]:
    """Train by this recipe; slower, once the loss has diverged. Raises ``RungFailed`` if it does so again.

    A training that was killed goes on with the attempt that it was at.
    """
    slower = recipe.changed(learning_rate=SLOWER * recipe.learning_rate)
    kept = job.checkpoint.read()
    if kept is None or kept.facts["wanted"] != slower.as_json():
        try:
            return _attempted_once(job, recipe)
        except Diverged:
            job.note(f"the loss diverged: starting again at a learning rate of {slower.learning_rate:.2g}")
    try:
        return _attempted_once(job, slower)
    except Diverged:
        job.checkpoint.remove()
        raise RungFailed(
            f"The loss diverged twice, at learning rates of {recipe.learning_rate:.2g} and "
            f"{slower.learning_rate:.2g}. Check the weights of this {job.trains}, or set a lower learning_rate."
        ) from None


def _attempted_once(job: Job[RecipeT, MadeT], wanted: RecipeT) -> Outcome[RecipeT, MadeT]:
    """One attempt, begun anew or where it was killed. Raises ``Diverged``."""
    kept = job.checkpoint.read()
    if kept is not None and kept.facts["wanted"] != wanted.as_json():
        kept = None
    planned = job.planned(wanted) if kept is None else type(wanted).of(kept.facts["recipe"])
    attempt = _Attempt(job, planned, wanted)
    if kept is not None:
        attempt.resume(kept)
    attempt.go()
    outcome = attempt.outcome()
    job.checkpoint.remove()
    return outcome


class _Attempt(Generic[RecipeT, MadeT]):
    """One way through the steps of a recipe."""

    def __init__(self, job: Job[RecipeT, MadeT], recipe: RecipeT, wanted: RecipeT) -> None:
        self.job, self.recipe, self.wanted = job, recipe, wanted
        self.steps = job.steps(recipe)
        self.network = self.steps.network
        self.watched = job.cut(recipe)[1]
        self.an_epoch = int(np.ceil(len(job.targets) / recipe.batch))
        self.total = max(1, round(recipe.epochs * self.an_epoch))
        self.done = 0
        self.tokens = 0
        self.learning = 0.0
        """Seconds inside steps, those before a kill included."""
        self.before = 0.0
        """Seconds that this training took before it was killed."""
        self.resumed_at: int | None = None
        self.looks = Looks(job.bench.metric)
        self.over = False
        """Whether the looks have ended it, in all processes alike: each alone might see borders otherwise."""
        self.kept: dict[str, torch.Tensor] = {}
        self.probability = np.zeros((0, job.targets.shape[1]))
        self.losses: list[float] = []

    def go(self) -> None:
        """All steps that are still to be done, in their order, until the time or the patience is over."""
        seed = self.job.bench.seed + self.recipe.seed_offset
        batches: list[NDArray[np.int64]] = []
        spent = self._spent()
        while self.done < self.total and not self.over:
            epoch, place = divmod(self.done, self.an_epoch)
            if not batches or place == 0:
                batches = epoch_batches(self.steps.lesson.rows.lengths, self.recipe.batch, (seed, epoch))
            self._step(batches[place], min(1.0, self._progress(spent)), _step_seed(seed, self.done, self.job.team.size))
            spent = self._spent()
            self._say(epoch)
            if spent >= 1 and self.done < self.total:
                self.job.note(f"the machine got slower: stopped after {self.done:,} of {self.total:,} steps, in time")
                self.total = self.done
            self._look_and_keep()

    def _step(self, batch: NDArray[np.int64], progress: float, seed: int) -> None:
        began = self.job.clock()
        rate = learning_rate_at(progress, self.recipe.warm_up)
        loss = self.steps.step(batch, rate, seed, strength_at(progress))
        self.learning += self.job.clock() - began
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
        known = self.done >= PACE_STEPS or spent > self.job.hurried
        if known and used * (self.total - self.done) > left * self.done:
            by_steps = max(by_steps, used / (used + left))
        return self.job.team.first_says(by_steps)

    @property
    def limit(self) -> float | None:
        """Seconds until the last step; None without a limit.

        What comes after it, looking at the watched rows and writing the files, has the rest of the minutes.
        """
        minutes = self.job.bench.fit_minutes
        return None if minutes is None else 60 * minutes * self.job.stop

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
            if self.looks.look(probability, self.job.labels, self.done, self.done / self.an_epoch):
                self.probability = probability
                if not at_end:
                    self.kept = {name: value.detach().clone() for name, value in self.network.learned().items()}
            self.over = bool(self.job.team.first_says(float(self.looks.over)))
        if self.job.checkpoint.due and not at_end and self.job.team.rank == 0:
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
        self.steps.part, self.learning = int(facts["part"]), float(facts["learning"])
        self.done, self.tokens, self.before = int(facts["done"]), int(facts["tokens"]), float(facts["seconds"])
        self.losses, self.job.notes[:] = list(facts["losses"]), list(facts["notes"])
        self.looks = Looks.from_json(facts["looks"], len(self.job.labels))
        self.over = self.looks.over
        self.probability = state.tensors["probability"].numpy()
        named = {name.removeprefix("kept."): value for name, value in state.tensors.items() if name.startswith("kept.")}
        self.kept = {name: value.to(self.job.machine.device) for name, value in named.items()}
        self.resumed_at = self.done
        self.job.bench.say(f"going on at step {self.done + 1:,} of {self.total:,}", None)

    def outcome(self) -> Outcome[RecipeT, MadeT]:
        """What came of it: the state that was kept, or the last one."""
        steps = self.done
        if len(self.job.labels) and self.looks.kept != self.done:
            steps = self.looks.kept
            self.network.restore(self.kept)
        learned = sum(value.numel() for value in self.network.learned().values())
        made = self.job.made(self.network)
        recipe = self.recipe.changed(epochs=steps / self.an_epoch)
        return Outcome(made, self.probability, recipe, self._record(steps, learned))

    def _record(self, kept: int, learned: int) -> dict[str, Any]:
        seconds = self.seconds
        rows = self.done * len(self.job.targets) / self.an_epoch
        return {
            "wanted": self.wanted.as_json(),
            "device": self.job.machine.device.type,
            "precision": self.job.machine.precision,
            **self.job.facts(),
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
