# SPDX-License-Identifier: Apache-2.0
"""Sharing out units so that each part gets its share of every class.

Units whose rows have one label are drawn class by class in the units' own (hashed, hence random) order. Units of
several labels are placed before them, large ones first and in hashed order among units of like size, each where its
classes are most needed. At the end a class that a part lacks is brought there if it has enough units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigenough.task.units import Units

__all__ = ["share_out"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """How many rows of each class each unit has, without the zeros; sorted by unit."""

    unit: Ints
    label: Ints
    n: Ints

    def starts(self, n_units: int) -> Ints:
        return np.searchsorted(self.unit, np.arange(n_units + 1))


def share_out(units: Units, labels: Ints, n_classes: int, shares: Sequence[float]) -> Ints:
    """Each row's part.

    Args:
        units: what stays together.
        labels: (n,) codes.
        n_classes: the number of classes.
        shares: each part's share of the rows; the last part is fit, which every class must have; a class of two units
            goes to the last and the first part.

    Returns:
        (n,) places in ``shares``.
    """
    portion = np.asarray(shares, np.float64) / sum(shares)
    pair, n = np.unique(units.of * n_classes + labels, return_counts=True)
    pairs = _Pairs(pair // n_classes, pair % n_classes, n.astype(np.int64))
    need = np.outer(portion, np.bincount(labels, minlength=n_classes))
    part = np.full(len(units), -1, np.int64)
    is_pure = np.bincount(pairs.unit, minlength=len(units)) == 1
    _place_mixed(part, ~is_pure, units, pairs, need)
    _place_pure(part, is_pure[pairs.unit], units, pairs, need)
    _bring_classes(part, units, pairs, len(portion), n_classes)
    return part[units.of]


def _place_mixed(part: Ints, mixed: NDArray[np.bool_], units: Units, pairs: _Pairs, need: NDArray[np.float64]) -> None:
    """Place units of several labels and take what they bring off ``need``."""
    if not mixed.any():
        return
    starts = pairs.starts(len(units))
    size = np.bincount(pairs.unit, weights=pairs.n, minlength=len(units))
    bucket = np.floor(np.log2(np.maximum(size, 1)))
    target = np.maximum(need, 1e-9)
    remaining = need.copy()
    for unit in np.lexsort((units.order, -bucket)):
        if not mixed[unit]:
            continue
        there = slice(starts[unit], starts[unit + 1])
        label, n = pairs.label[there], pairs.n[there]
        # half of the unit counts as placed, so that large units favour the part with the most room
        wanted = ((remaining[:, label] - n / 2) / target[:, label]) @ n
        part[unit] = int(wanted.argmax())
        remaining[part[unit], label] -= n
    need[:] = remaining


def _place_pure(part: Ints, which: NDArray[np.bool_], units: Units, pairs: _Pairs, need: NDArray[np.float64]) -> None:
    """Place units of one label: along the class's units in order, each goes where its middle row falls."""
    unit, label, n = pairs.unit[which], pairs.label[which], pairs.n[which]
    along = np.lexsort((units.order[unit], label))
    unit, label, n = unit[along], label[along], n[along]
    rows = np.bincount(label, weights=n, minlength=need.shape[1])
    middle = np.cumsum(n) - n / 2 - (np.cumsum(rows) - rows)[label]
    room = np.maximum(need, 0.0)
    borders = np.cumsum(room, axis=0) / np.maximum(room.sum(axis=0), 1e-9) * rows
    part[unit] = np.minimum((middle[None, :] >= borders[:, label]).sum(axis=0), len(need) - 1)


def _bring_classes(part: Ints, units: Units, pairs: _Pairs, n_parts: int, n_classes: int) -> None:
    """Move single units so that a class of enough units is in every part, and in the last one first."""
    here = np.zeros((n_parts, n_classes), np.int64)
    np.add.at(here, (part[pairs.unit], pairs.label), 1)
    n_units = here.sum(axis=0)
    size = np.bincount(pairs.unit, weights=pairs.n, minlength=len(units))
    starts = pairs.starts(len(units))
    by_label = np.argsort(pairs.label, kind="stable")
    label_starts = np.searchsorted(pairs.label[by_label], np.arange(n_classes + 1))
    priority = [n_parts - 1, *range(n_parts - 1)]
    lacking = (here == 0).any(axis=0) & (n_units > 0)
    for label in np.flatnonzero(lacking):
        wanted = priority[: n_units[label]]
        members = pairs.unit[by_label[label_starts[label] : label_starts[label + 1]]]
        members = members[np.lexsort((units.order[members], size[members]))]
        for target in wanted:
            if here[target, label]:
                continue
            for unit in members:
                carried = pairs.label[starts[unit] : starts[unit + 1]]
                source = part[unit]
                spare = here[source, carried] > 1
                spare[carried == label] |= source not in wanted
                if spare.all():
                    here[source, carried] -= 1
                    here[target, carried] += 1
                    part[unit] = target
                    break
