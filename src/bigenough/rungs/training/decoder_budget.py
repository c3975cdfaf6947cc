# SPDX-License-Identifier: Apache-2.0
"""What the training of a language model gives up so that it ends in its time: pure arithmetic on a measured pace.

A pass through a layer costs one unit a token on the way up and, since the matrices themselves do not learn, one on the
way down. A frozen layer is passed once, upwards, and never again while its results fit into memory. What gives way
comes in this order: the ends of the longest texts, epochs down to two, the lower half of the layers with epochs down to
one, three quarters of the layers, and at last rows of the one epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import RungFailed
from bigenough.rungs.training.budget import FEWEST_STEPS, WORTH_CUTTING
from bigenough.rungs.training.decoder_recipe import DecoderRecipe

__all__ = ["DecoderWork", "decoder_fitted_to"]


@dataclass(frozen=True, eq=False)
class DecoderWork:
    """What there is to do.

    Attributes:
        lengths: (n,) tokens of the rows to learn from, without what all prompts begin with.
        watched: (m,) tokens of the rows that are looked at once an epoch.
        prefix: tokens with which all prompts begin; read once a batch.
        layers: of the model.
        unit_seconds: for one token through one layer, upwards.
        kept_tokens: so many rows' tokens can be kept as the frozen layers leave them.
    """

    lengths: NDArray[np.int64]
    watched: NDArray[np.int64]
    prefix: int
    layers: int
    unit_seconds: float
    kept_tokens: int

    def epoch_seconds(self, recipe: DecoderRecipe, *, first: bool) -> float:
        """One epoch with a look at the watched rows at its end; the first passes the frozen layers as well."""
        cut = [np.minimum(some, recipe.max_length) for some in (self.lengths, self.watched)]
        learned, seen = (int(some.sum()) for some in cut)
        batches = np.ceil(len(self.lengths) / recipe.batch)
        frozen = recipe.frozen_layers(self.layers)
        learning = self.layers - frozen
        again = first or learned + seen > self.kept_tokens
        units = learning * (2 * (learned + batches * self.prefix) + seen) + frozen * again * (learned + seen)
        return self.unit_seconds * float(units)

    def epochs_in(self, recipe: DecoderRecipe, seconds: float) -> float:
        """How many epochs these seconds suffice for."""
        first, later = (self.epoch_seconds(recipe, first=which) for which in (True, False))
        return seconds / first if seconds <= first else 1 + (seconds - first) / later


def decoder_fitted_to(recipe: DecoderRecipe, work: DecoderWork, seconds: float) -> tuple[DecoderRecipe, list[str]]:
    """The recipe, or the nearest one that takes no more than these seconds, and what was changed, in sentences.

    Raises:
        RungFailed: not even a few steps of the upper quarter of the layers can be done; the message has their minutes.

    >>> work = DecoderWork(np.full(1000, 10), np.full(0, 10), 0, layers=8, unit_seconds=1e-4, kept_tokens=10**6)
    >>> decoder_fitted_to(DecoderRecipe(), work, 40.0)[1]
    ['2.5 epochs instead of 4.0']
    >>> decoder_fitted_to(DecoderRecipe(), work, 20.0)[1]
    ['the lowest 4 layers stay as they are', '2.0 epochs instead of 4.0']
    """
    for shorter, fewest in _ladder(recipe, work):
        affordable = work.epochs_in(shorter, seconds)
        if affordable >= fewest:
            chosen = replace(shorter, epochs=min(recipe.epochs, affordable))
            return chosen, _changes(recipe, chosen, work.layers)
    cheapest, fewest = _ladder(recipe, work)[-1]
    needed = fewest * work.epoch_seconds(cheapest, first=True)
    raise RungFailed(
        f"Training this language model on {len(work.lengths):,} rows takes {needed / 60:.2g} minutes at least on this "
        f"machine ({FEWEST_STEPS} steps of the upper quarter of its layers), and {max(0.0, seconds) / 60:.2g} are left "
        "of its budget. Raise the budget, or name a smaller model."
    )


def _ladder(recipe: DecoderRecipe, work: DecoderWork) -> list[tuple[DecoderRecipe, float]]:
    """Recipes from the wanted one down, each with the fewest epochs for which it is taken."""
    cut = _cut(recipe, work)
    half, most = (max(recipe.frozen, share) for share in (0.5, 0.75))
    few = min(recipe.epochs, FEWEST_STEPS / np.ceil(len(work.lengths) / recipe.batch))
    return [
        (recipe, recipe.epochs),
        (cut, min(2.0, recipe.epochs)),
        (replace(cut, frozen=half), min(1.0, recipe.epochs)),
        (replace(cut, frozen=most), float(few)),
    ]


def _cut(recipe: DecoderRecipe, work: DecoderWork) -> DecoderRecipe:
    """The recipe with the length that 95 % of the texts keep to, if that saves anything."""
    cap = min(recipe.max_length, int(work.lengths.max()))
    common = max(16, int(np.quantile(work.lengths, 0.95, method="higher")))
    saved = replace(recipe, max_length=min(cap, common)) if cap > 16 else recipe
    before, after = (work.epoch_seconds(which, first=True) for which in (recipe, saved))
    return saved if after < WORTH_CUTTING * before else recipe


def _changes(wanted: DecoderRecipe, chosen: DecoderRecipe, layers: int) -> list[str]:
    told = []
    if chosen.max_length != wanted.max_length:
        told.append(f"texts are cut at {chosen.max_length} tokens")
    if chosen.frozen != wanted.frozen:
        told.append(f"the lowest {chosen.frozen_layers(layers)} layers stay as they are")
    if chosen.epochs < wanted.epochs:
        told.append(f"{chosen.epochs:.1f} epochs instead of {wanted.epochs:.1f}")
    return told
