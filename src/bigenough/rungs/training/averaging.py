# SPDX-License-Identifier: Apache-2.0
"""The mean of the weights of several trainings that differ in the order of their rows.

Trainings that begin with the same weights end in one valley of the loss, so that the mean of their weights is a model
too, and mostly a better one than any of them: the uniform soup of Wortsman et al. (2022, "Model soups: averaging
weights of multiple fine-tuned models", arXiv:2203.05482, section 3). It costs time in training and nothing in service.

It decides how many there is time for, once the first has shown what one takes, and refuses to decide which recipe is
trained. Whether the mean is worth it is for rows to say that no training has learned from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bigenough.errors import RungFailed
from bigenough.rungs.training.budget import SAFETY
from bigenough.rungs.training.recipe import Recipe, Trained
from bigenough.rungs.training.trained_file import encoder_arrays, encoder_of, read_trained, write_trained

__all__ = ["Averaged", "Kept", "affordable", "averaged"]

Train = Callable[[Recipe, float | None, int], Trained]
"""Trains by a recipe in at most so many minutes (None: as many as it takes); told which one it is, from 0 on."""


class Averaged(NamedTuple):
    """What came of it.

    Attributes:
        first: the first training alone; its recipe has ``averaged`` 1.
        mean: the mean of all, with the first one's record; its recipe says of how many.
    """

    first: Trained
    mean: Trained


class Kept(NamedTuple):
    """Where the finished trainings are kept until all are done, lest a kill costs more than one of them."""

    first: Path
    mean: Path

    @classmethod
    def of(cls, folder: Path, key: str) -> Kept:
        """The files of the trainings with this key."""
        return cls(*(folder / f"averaged-{key}-{part}.safetensors" for part in ("first", "mean")))

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

    def remove(self) -> None:
        """Forget them: the model is made."""
        for path in self:
            path.unlink(missing_ok=True)


def averaged(
    train: Train, recipe: Recipe, minutes: float | None, later_rows: float = 1.0, kept: Kept | None = None
) -> Averaged:
    """Train ``recipe.averaged`` times, or as often as the minutes allow, and take the mean of the weights.

    Those after the first are trained as the first was in the end: for as many epochs, at the same rate. One that fails
    is left out, and no more are begun.

    Args:
        train: makes one of them.
        recipe: of the first; each of the others has the next ``seed_offset``.
        minutes: for all of them together.
        later_rows: how many times as many rows the same number of trainings will have to learn from in the same
            minutes, later on.
        kept: where finished ones are kept, if anywhere.

    Raises:
        RungFailed: the first one did.
    """
    done = None if kept is None else kept.read()
    if done is None:
        first = train(recipe, minutes, 0)
        first = replace(first, recipe=replace(first.recipe, averaged=1))
        done = Averaged(first, first)
        if kept is not None and recipe.averaged > 1 and first.record["steps"]:
            kept.write(done)
    first = done.first
    if not first.record["steps"]:  # all rows are of one class
        return done
    wanted = recipe.averaged
    most = wanted if minutes is None else affordable(wanted, later_rows * first.record["seconds"], 60 * minutes)
    share = None if minutes is None else minutes / most
    failure = ""
    while done.mean.recipe.averaged < most and not failure:
        made = done.mean.recipe.averaged
        try:
            more = train(replace(first.recipe, seed_offset=recipe.seed_offset + made), share, made)
        except RungFailed as error:
            failure = str(error)
        else:
            done = Averaged(first, _with_one_more(done.mean, more))
            if kept is not None:
                kept.write(done)
    return done._replace(mean=_told(done.mean, wanted, failure))


def affordable(wanted: int, seconds_each: float, seconds: float) -> int:
    """How many trainings fit into the time, 1 at least, when one takes so many seconds.

    >>> [affordable(3, each, 100.0) for each in (20.0, 40.0, 90.0)]
    [3, 2, 1]
    """
    return max(1, min(wanted, int(SAFETY * seconds / max(1e-9, seconds_each))))


def _with_one_more(mean: Trained, more: Trained) -> Trained:
    n = mean.recipe.averaged
    old, new = encoder_arrays(mean.body), encoder_arrays(more.body)
    body = encoder_of(vars(mean.body.config), {name: _moved(old[name], new[name], n) for name in old})
    return Trained(
        body, _moved(mean.weight, more.weight, n), _moved(mean.bias, more.bias, n),
        replace(mean.recipe, averaged=n + 1), mean.record,
    )  # fmt: skip


def _moved(mean: Any, more: Any, n: int) -> Any:
    """The mean of n + 1 arrays from that of n."""
    return (mean + (more - mean) / (n + 1)).astype(mean.dtype)


def _told(mean: Trained, wanted: int, failure: str) -> Trained:
    """The mean, with a note where it is of fewer trainings than were wanted."""
    made = mean.recipe.averaged
    if made == wanted:
        return mean
    reason = f"the next one failed ({failure})" if failure else "the minutes suffice for no more"
    what = "one training" if made == 1 else f"the mean of {made} trainings"
    note = f"{what} and not the mean of {wanted}: {reason}"
    return replace(mean, record={**mean.record, "notes": [*mean.record["notes"], note]})
