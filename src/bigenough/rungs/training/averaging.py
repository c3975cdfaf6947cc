# SPDX-License-Identifier: Apache-2.0
"""The mean of the weights of several trainings that differ by chance: in the order of rows, and in what is dropped out.

Trainings that begin with the same weights mostly end in one valley of the loss, so that the mean of their weights is a
model too, and often a better one than any of them: the uniform soup of Wortsman et al. (2022, "Model soups: averaging
weights of multiple fine-tuned models", arXiv:2203.05482, section 3). It costs time in training and none in service.

It decides how many there is time for, once the first has shown what one takes, and refuses to decide which recipe is
trained. Whether the mean is kept is for rows to say that no training has learned from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bigenough.errors import MissingExtra, OutOfDisk, WeightsNotFound
from bigenough.rungs.training.budget import SAFETY
from bigenough.rungs.training.recipe import Recipe, Trained
from bigenough.rungs.training.trained_file import encoder_arrays, encoder_of, read_trained, write_trained

__all__ = ["RESERVE", "Averaged", "Kept", "affordable", "mean_of_trainings"]

RESERVE = 1.5
"""A number of trainings that select is to judge must leave room for as many on fit and select, a third more rows, and
for a machine that is a little slower then."""
WORTH_KEEPING = 60.0
"""Seconds of work below which nothing is written down: a kill may cost so much."""
SAME = 0.95
"""A training that had to end after a smaller share of the first one's epochs is another training."""

Train = Callable[[Recipe, float | None, int], Trained]
"""Trains by a recipe in at most so many minutes (None: as many as it takes); told its number, from 1 on."""


class Averaged(NamedTuple):
    """What came of it.

    Attributes:
        first: the first training alone.
        mean: the mean of all; its recipe says of how many, and its record is the first one's but for ``trainings``,
            one entry each, and a note.
    """

    first: Trained
    mean: Trained


class Kept(NamedTuple):
    """Where the finished trainings of a fit are kept until they are all done, lest a kill costs more than one."""

    first: Path
    mean: Path

    @classmethod
    def of(cls, folder: Path, key: str) -> Kept:
        """The files of the trainings with this key; those of other keys are deleted, since fits come one by one."""
        kept = cls(*(folder / f"averaged-{key}-{part}.safetensors" for part in ("first", "mean")))
        for path in set(folder.glob("averaged-*")) - set(kept):
            path.unlink(missing_ok=True)
        return kept

    def read(self) -> Averaged | None:
        """What is there; None when the first is not."""
        first, mean = read_trained(self.first), read_trained(self.mean)
        return None if first is None else Averaged(first, mean or first)

    def write(self, done: Averaged) -> None:
        """Keep what is new. Raises ``OutOfDisk``."""
        if done.mean is done.first:
            write_trained(self.first, done.first)
        else:
            write_trained(self.mean, done.mean)


def mean_of_trainings(
    train: Train,
    recipe: Recipe,
    minutes: float | None,
    reserve: float = 1.0,
    kept: Kept | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Averaged:
    """Train ``recipe.averaged`` times, or as often as the minutes allow, and take the mean of the weights.

    Those after the first learn for as many epochs as it did in the end. One that fails, or is cut to its time, is left
    out, and no more are begun; the record says so.

    Args:
        train: makes one of them.
        recipe: of the first; each of the others has the next ``seed_offset``.
        minutes: for all of them together.
        reserve: what the time of a training is multiplied by before it is said how many there is time for.
        kept: where finished ones are kept, if anywhere.
        clock: seconds from an arbitrary moment.

    Raises:
        RungFailed: the first one did.
    """
    done = None if kept is None else kept.read()
    if done is None:
        first = _listed(*_timed(train, replace(recipe, averaged=1), minutes, 1, clock))
        done = Averaged(first, first)
    first = done.first
    if not first.record["steps"]:  # all rows are of one class: the mean of several is the same
        return done._replace(mean=replace(first, recipe=replace(first.recipe, averaged=recipe.averaged)))
    seconds = first.record["trainings"][0]["seconds"]
    most = recipe.averaged if minutes is None else affordable(recipe.averaged, reserve * seconds, 60 * minutes)
    if kept is None or most * seconds < WORTH_KEEPING:
        kept = None
    elif done.mean is first:
        kept.write(done)
    reason = "the minutes suffice for no more"
    while (made := done.mean.recipe.averaged) < most:
        wanted = replace(first.recipe, seed_offset=recipe.seed_offset + made)
        spent = sum(one["seconds"] for one in done.mean.record["trainings"]) / 60
        each = None if minutes is None else (minutes - spent) / (most - made)
        try:
            more, took = _timed(train, wanted, each, made + 1, clock)
        except (OutOfDisk, MissingExtra, WeightsNotFound):
            raise
        except Exception as error:  # a finished model is not to be lost for another's sake
            reason = f"the next one failed ({type(error).__name__}: {error})"
            break
        if not _alike(more.recipe, wanted):
            reason = "the next one could not be carried out as the first was"
            break
        done = Averaged(first, _with_one_more(done.mean, _listed(more, took)))
        if kept is not None:
            kept.write(done)
    return done._replace(mean=_noted(done.mean, recipe.averaged, reason))


def affordable(wanted: int, seconds_each: float, seconds: float) -> int:
    """How many trainings fit into the time, 1 at least, when one takes so many seconds.

    >>> [affordable(3, each, 100.0) for each in (20.0, 40.0, 90.0)]
    [3, 2, 1]
    """
    return max(1, min(wanted, int(SAFETY * seconds / max(1e-9, seconds_each))))


def _timed(
    train: Train, recipe: Recipe, minutes: float | None, number: int, clock: Callable[[], float]
) -> tuple[Trained, float]:
    """A training, and its seconds: those before a kill, which its record knows, and those around it, which we do."""
    began = clock()
    trained = train(recipe, minutes, number)
    return trained, max(clock() - began, float(trained.record.get("seconds", 0.0)))


def _alike(made: Recipe, wanted: Recipe) -> bool:
    return made.epochs >= SAME * wanted.epochs and replace(made, epochs=wanted.epochs) == wanted


def _listed(trained: Trained, seconds: float) -> Trained:
    """The training with itself as the only entry of its record's list."""
    told: Mapping[str, Any] = {
        "seed_offset": trained.recipe.seed_offset, "seconds": round(seconds, 3), "notes": trained.record["notes"]
    }  # fmt: skip
    return replace(trained, record={**trained.record, "trainings": [told]})


def _with_one_more(mean: Trained, more: Trained) -> Trained:
    n = mean.recipe.averaged
    old, new = encoder_arrays(mean.body), encoder_arrays(more.body)
    body = encoder_of(vars(mean.body.config), {name: _moved(old[name], new[name], n) for name in old})
    record = {**mean.record, "trainings": [*mean.record["trainings"], *more.record["trainings"]]}
    return Trained(
        body, _moved(mean.weight, more.weight, n), _moved(mean.bias, more.bias, n),
        replace(mean.recipe, averaged=n + 1), record,
    )  # fmt: skip


def _moved(mean: Any, more: Any, n: int) -> Any:
    """The mean of n + 1 arrays from that of n."""
    return (mean + (more - mean) / (n + 1)).astype(mean.dtype)


def _noted(mean: Trained, wanted: int, reason: str) -> Trained:
    """The mean, with a note where it is of fewer trainings than were wanted."""
    made = mean.recipe.averaged
    if made == wanted:
        return mean
    what = "one training" if made == 1 else f"the mean of {made} trainings"
    note = f"{what} and not the mean of {wanted}: {reason}"
    return replace(mean, record={**mean.record, "notes": [*mean.record["notes"], note]})
