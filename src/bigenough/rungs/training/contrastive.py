# SPDX-License-Identifier: Apache-2.0
"""An encoder learns to put texts of one class together and those of different classes apart, from few of them.

SetFit's first half (Tunstall et al. 2022) at a fraction of the work: all pairs within a step count at once, so each
text goes through the encoder once a step and not once a pair, by the supervised contrastive loss (Khosla et al. 2020).
It decides how many steps its time allows, and begins again with fewer when they are too many, so that the learning
rate always comes down to zero; when memory runs out it begins again with fewer rows a
step. It refuses to decide whether the tuned encoder is better: that is for the select rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import Identity, functional

from bigenough.errors import RungFailed
from bigenough.models.encoder import plain_tokenizer
from bigenough.rungs.training.body import arrays_back, torch_body
from bigenough.rungs.training.machine import Machine, borrowed, is_no_memory, this_machine
from bigenough.rungs.training.network import Network, optimiser_of
from bigenough.rungs.training.pairs import FEWEST_STEPS, Contrast, class_batches
from bigenough.rungs.training.recipe import Recipe
from bigenough.rungs.training.rows import Rows, token_ids, used_tokens
from bigenough.rungs.training.schedule import learning_rate_at

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from bigenough.models.bert import BertModel
    from bigenough.rungs.protocol import Workbench

__all__ = ["Contrasted", "contrasted", "supervised_contrastive_loss"]

PACE_STEPS = 3
"""Steps after which the pace is known; the first, which is slower than the rest, does not count."""
SAFETY = 0.8
"""How much of the time that is left is planned for; what remains is for vectors, head and graph."""
FEWEST_ROWS = 4
"""Texts a step below which there are no two of one class beside two of another."""
LONGEST_GRADIENT = 1.0
"""Longer gradients are scaled down to this length (Pascanu et al. 2013)."""


class Contrasted(NamedTuple):
    """A tuned encoder, the recipe as it was carried out, and what happened, in JSON values."""

    body: BertModel
    recipe: Contrast
    record: Mapping[str, Any]


def contrasted(
    body: BertModel,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    labels: NDArray[np.int64],
    recipe: Contrast,
    bench: Workbench,
    clock: Callable[[], float] = time.monotonic,
) -> Contrasted:
    """Tune the encoder on n texts with their (n,) class codes; pooling and normalisation stay as its config says.

    ``clock`` gives seconds from an arbitrary moment.

    Raises:
        RungFailed: the loss is no number any more, ``bench.fit_minutes`` are too short for a few steps, or memory for a
            few rows.
    """
    began, wanted, notes = clock(), recipe.steps, list[str]()
    longest = min(recipe.max_length, body.config.max_length)
    ids = token_ids(plain_tokenizer(tokenizer, longest), texts, longest)
    used = used_tokens(ids)
    lesson = _Lesson(Rows.of(ids, used), labels, bench.seed + recipe.seed_offset)
    ends = None if bench.fit_minutes is None else began + 60 * bench.fit_minutes
    machine = this_machine()
    if machine.precision == "fp16":
        # Its range is too short for gradients; so few steps are not worth finding out by how much to stretch them.
        machine = replace(machine, precision="fp32")
    with borrowed(bench.threads, lesson.seed):
        while True:
            torch.manual_seed(lesson.seed)
            run = _Run(body, used, lesson, recipe, machine)
            steps = run.learn_if_memory_lasts(ends, bench, clock)
            if steps is None:
                del run
                machine.release()
                recipe = _with_fewer_rows(recipe, len(texts))
                notes.append(f"memory ran out: {recipe.rows} texts a step")
                bench.say(notes[-1], None)
                continue
            if steps == recipe.steps:
                break
            recipe = replace(recipe, steps=steps)
            bench.say(_shortened(steps, wanted), None)
        tuned = arrays_back(run.network.body, body, used)
    record = {
        "steps": recipe.steps,
        "loss": run.losses[-1],
        "precision": machine.precision,
        "seconds": clock() - began,
        "notes": [*notes, *([_shortened(recipe.steps, wanted)] if recipe.steps < wanted else [])],
    }
    return Contrasted(tuned, recipe, record)


def supervised_contrastive_loss(vectors: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """The mean over rows of −mean over others of its class of ln softmax of their cosines / temperature.

    Khosla et al. 2020, equation 2 (the sum outside the logarithm); the softmax of a row runs over all other rows. Rows
    without another of their class do not count; 0 if that is all of them.

    Args:
        vectors: (n, d), of any length.
        labels: (n,) class codes.
        temperature: what cosines are divided by.
    """
    unit = functional.normalize(vectors, dim=1)
    itself = torch.eye(len(labels), dtype=torch.bool, device=vectors.device)
    scores = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
    said = functional.log_softmax(scores, dim=1).masked_fill(itself, 0.0)
    pairs = ((labels[:, None] == labels[None, :]) & ~itself).to(said.dtype)
    others = pairs.sum(dim=1)
    of_row = (pairs * said).sum(dim=1) / others.clamp(min=1)
    return -of_row.sum() / (others > 0).sum().clamp(min=1)


def _shortened(steps: int, wanted: int) -> str:
    return f"{steps} steps instead of {wanted}, to end in time"


def _with_fewer_rows(recipe: Contrast, n_rows: int) -> Contrast:
    """Half the rows a step, in which still two classes meet. Raises ``RungFailed`` when they are too few for that."""
    now = min(recipe.rows, n_rows)
    if now < FEWEST_ROWS:
        raise RungFailed(
            f"There is not enough memory to tune this encoder on {now} texts at once. Name a smaller encoder, or "
            "shorter texts (max_length)."
        )
    return replace(recipe, rows=now // 2, per_class=min(recipe.per_class, max(2, now // 4)))


@dataclass(frozen=True, eq=False)
class _Lesson:
    """The rows, their (n,) codes and where chance begins."""

    rows: Rows
    labels: NDArray[np.int64]
    seed: int


class _Run:
    """One training from the encoder's own weights on."""

    def __init__(
        self, body: BertModel, used: NDArray[np.int64], lesson: _Lesson, recipe: Contrast, machine: Machine
    ) -> None:
        self.lesson, self.recipe, self.machine = lesson, recipe, machine
        head: Any = Identity()  # the vector itself is what is learned
        self.network = Network(torch_body(body, used, recipe.dropout), head, body.config.pooling).to(machine.device)
        rates = Recipe(learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay)
        self.optimiser = optimiser_of(self.network, rates, len(body.layers))
        self.learned = list(self.network.learned().values())
        self.losses: list[float] = []

    def learn_if_memory_lasts(self, ends: float | None, bench: Workbench, clock: Callable[[], float]) -> int | None:
        """``learn``, or None when memory ran out."""
        try:
            return self.learn(ends, bench, clock)
        except (MemoryError, RuntimeError) as error:
            if not is_no_memory(error):
                raise
            return None

    def learn(self, ends: float | None, bench: Workbench, clock: Callable[[], float]) -> int:
        """Take the recipe's steps; how many were taken, or, stopped early, how many there is time for."""
        self.network.train()
        marks = []
        for step, batch in zip(range(self.recipe.steps), self._batches(), strict=False):
            bench.say(f"step {step + 1} of {self.recipe.steps}", None)
            # Halves keep the first step from standing still and the last one from doing nothing.
            self._step(batch, learning_rate_at((step + 0.5) / self.recipe.steps, self.recipe.warm_up))
            marks.append(clock())
            if ends is not None and len(marks) == PACE_STEPS:
                pace = (marks[-1] - marks[0]) / (PACE_STEPS - 1)
                if pace * (self.recipe.steps - PACE_STEPS) > SAFETY * (ends - marks[-1]):
                    return self._affordable(pace, SAFETY * (ends - marks[-1]))
        return self.recipe.steps

    def _affordable(self, pace: float, seconds: float) -> int:
        steps = min(int(seconds / pace), self.recipe.steps - 1)
        if steps < FEWEST_STEPS:
            needed = FEWEST_STEPS * pace / SAFETY / 60
            raise RungFailed(
                f"{FEWEST_STEPS} steps of {self.recipe.rows} texts take {needed:.2g} minutes here, and "
                f"{max(0.0, seconds) / 60:.2g} are left of the budget. Raise the budget, or name a smaller encoder."
            )
        return steps

    def _batches(self) -> Iterator[NDArray[np.int64]]:
        rng = np.random.default_rng(self.lesson.seed)
        while True:
            yield from class_batches(self.lesson.labels, self.recipe.rows, self.recipe.per_class, rng)

    def _step(self, places: NDArray[np.int64], rate: float) -> None:
        device = self.machine.device
        with self.machine.autocast():
            vectors = self.network(self.lesson.rows.batch(places, device))
        codes = torch.from_numpy(self.lesson.labels[places]).to(device)
        loss = supervised_contrastive_loss(vectors.float(), codes, self.recipe.temperature)
        self.losses.append(float(loss.detach()))
        if not np.isfinite(self.losses[-1]):
            raise RungFailed(
                f"The loss was no number any more at step {len(self.losses)} of {self.recipe.steps}, with the learning "
                f"rate {self.recipe.learning_rate:g}. Choose a lower one."
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.learned, LONGEST_GRADIENT)
        for group in self.optimiser.param_groups:
            group["lr"] = group["highest"] * rate
        self.optimiser.step()
