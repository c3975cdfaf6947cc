# SPDX-License-Identifier: Apache-2.0
"""What a training gives up so that it ends in its time: pure arithmetic on a pace that was measured.

A pass through a layer costs one unit a token on the way up and two on the way down, which a frozen layer saves. What
gives way comes in this order: the ends of the longest texts, the second pass with moved vectors, epochs down to one,
the lower half of the layers, all layers but the last, and at last rows of the one epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import RungFailed
from bigenough.rungs.training.recipe import Recipe

__all__ = ["SAFETY", "Work", "fitted_to"]

SAFETY = 0.85
"""How much of the time is planned for: the pace of a few steps is not that of all."""
FEWEST_STEPS = 10
"""Steps below which a fresh head has learned nothing, and the warm-up is all there is."""
WORTH_CUTTING = 0.9
"""Texts are cut only if that leaves less than this share of all tokens."""


@dataclass(frozen=True, eq=False)
class Work:
    """What there is to do.

    Attributes:
        lengths: (n,) tokens of the rows to learn from.
        watched: (m,) tokens of the rows that are looked at once an epoch.
        layers: of the encoder.
        unit_seconds: for one token through one layer, upwards.
    """

    lengths: NDArray[np.int64]
    watched: NDArray[np.int64]
    layers: int
    unit_seconds: float

    def epoch_seconds(self, recipe: Recipe) -> float:
        """One epoch with a look at the watched rows at its end."""
        cap = recipe.max_length or int(self.lengths.max(initial=0))
        learned, seen = (int(np.minimum(some, cap).sum()) for some in (self.lengths, self.watched))
        return self.unit_seconds * (learned * units(self.layers, recipe) + seen * self.layers)


def units(layers: int, recipe: Recipe) -> int:
    """Units of work for one token that is learned from.

    >>> [units(6, Recipe(frozen_layers=frozen)) for frozen in (0, 3, 5)], units(6, Recipe(adversarial=0.1))
    ([18, 12, 8], 36)
    """
    passes = 2 if recipe.adversarial else 1
    return passes * (3 * layers - 2 * min(recipe.frozen_layers, layers))


def fitted_to(recipe: Recipe, work: Work, seconds: float) -> tuple[Recipe, list[str]]:
    """The recipe, or the nearest one that takes no more than these seconds, and what was changed, in sentences.

    Raises:
        RungFailed: not even a few steps of the last layer can be done; the message has the minutes that they take.

    >>> work = Work(np.full(1000, 10), np.full(0, 10), layers=6, unit_seconds=1e-4)
    >>> fitted_to(Recipe(), work, 40.0)[1]
    ['2.2 epochs instead of 3.0']
    """
    for shorter, fewest in _ladder(recipe, work):
        affordable = seconds / work.epoch_seconds(shorter)
        if affordable >= fewest:
            chosen = replace(shorter, epochs=min(recipe.epochs, affordable))
            return chosen, _changes(recipe, chosen)
    cheapest, fewest = _ladder(recipe, work)[-1]
    needed = fewest * work.epoch_seconds(cheapest)
    raise RungFailed(
        f"Training this encoder on {len(work.lengths):,} rows takes {needed / 60:.2g} minutes at least on this machine "
        f"({FEWEST_STEPS} steps of its last layer), and {max(0.0, seconds) / 60:.2g} are left of its budget. "
        "Raise the budget, or name a smaller encoder."
    )


def _ladder(recipe: Recipe, work: Work) -> Sequence[tuple[Recipe, float]]:
    """Recipes from the wanted one down, each with the fewest epochs for which it is taken."""
    steps_an_epoch = int(np.ceil(len(work.lengths) / recipe.batch))
    one = min(1.0, recipe.epochs)
    few = min(recipe.epochs, FEWEST_STEPS / steps_an_epoch)
    cut = _cut(recipe, work)
    once = replace(cut, adversarial=0.0)
    half, most = (max(recipe.frozen_layers, frozen) for frozen in (work.layers // 2, work.layers - 1))
    return [
        (recipe, recipe.epochs),
        (cut, recipe.epochs),
        (once, recipe.epochs),
        (once, one),
        (replace(once, frozen_layers=half), one),
        (replace(once, frozen_layers=most), few),
    ]


def _cut(recipe: Recipe, work: Work) -> Recipe:
    """The recipe with the length that 95 % of the texts keep to, if that saves anything."""
    cap = recipe.max_length or int(work.lengths.max())
    common = max(3, int(np.quantile(work.lengths, 0.95, method="higher")))
    saved = replace(recipe, max_length=min(cap, common))
    return saved if work.epoch_seconds(saved) < WORTH_CUTTING * work.epoch_seconds(recipe) else recipe


def _changes(wanted: Recipe, chosen: Recipe) -> list[str]:
    told = []
    if chosen.max_length != wanted.max_length:
        told.append(f"texts are cut at {chosen.max_length} tokens")
    if chosen.adversarial != wanted.adversarial:
        told.append("no vectors are moved for a second pass")
    if chosen.frozen_layers != wanted.frozen_layers:
        told.append(f"the lowest {chosen.frozen_layers} layers stay as they are")
    if chosen.epochs < wanted.epochs:
        told.append(f"{chosen.epochs:.1f} epochs instead of {wanted.epochs:.1f}")
    return told
