# SPDX-License-Identifier: Apache-2.0
"""Fit, select and certify: made once, from the rows' content and a seed alone.

Fit trains, select chooses, certify is opened once by the verdict. Copies of a text stand on one side, and so do the
rows of a group; the order of the rows in the table makes no difference. With an official test set or a time column
certify is given by it, and what its copies or groups share with the other side is counted and stated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption, NotEnoughLabels
from bigenough.task.strata import share_out
from bigenough.task.table import count, few, verb
from bigenough.task.task import Examples
from bigenough.task.units import Units, content_keys, find_units, normalised

__all__ = ["MIN_CERTIFY", "MIN_ROWS", "Shares", "Splits", "normalised", "split_examples"]

Ints = NDArray[np.int64]

MIN_ROWS = 20
"""Fewer labelled rows, or fewer different texts, than this are refused."""
MIN_CERTIFY = 5
"""With fewer certify rows than this no verdict but "cannot tell" is possible at any margin."""
_SMALL = 300
_NEGLIGIBLE_EFFECT = 1.02
"""A variance off by 2 % moves a 5 % error to 5.1 %."""


class Shares(NamedTuple):
    """Each split's share of the rows."""

    fit: float = 0.55
    select: float = 0.15
    certify: float = 0.30


_USUAL = Shares()
_FEW_ROWS = Shares(0.45, 0.15, 0.40)
_OFFICIAL = Shares(0.85, 0.15, 0.0)


@dataclass(frozen=True, eq=False)
class Splits:
    """Positions into the examples, each sorted; disjoint, and together all of them.

    Attributes:
        fit, select, certify: positions.
        decisions: sentences that say how the split was made and what it could not keep.
        units: (n,) codes of what was drawn as one, when that matters: certify is then a sample of units, not of rows,
            and statistics must treat the rows of a unit as one draw. None when rows count as independent.
    """

    fit: Ints
    select: Ints
    certify: Ints
    decisions: tuple[str, ...]
    units: Ints | None = None


def split_examples(
    examples: Examples,
    *,
    seed: int,
    times: NDArray[np.float64] | None = None,
    n_classes: int,
    official_test: Ints | None = None,
    shares: Shares = _USUAL,
) -> Splits:
    """The splits of some examples.

    Promises: the same content and seed give the same splits in any order of rows; copies (case and blanks aside) and
    groups never straddle, save across the border of an official test set or of time, where they are counted; with times
    and no groups, nothing in fit or select is later than anything in certify; a class of three or more different
    texts (or groups) is in all three where that is possible, a class of one is in fit.

    Args:
        examples: n examples; their groups are honoured.
        seed: which of the equally good splits.
        times: (n,) larger is later; the latest rows certify.
        n_classes: the number of classes.
        official_test: positions of the rows that certify; the others are split 85 to 15.
        shares: used where neither is given; below 300 rows certify gets more unless shares are named.

    Raises:
        NotEnoughLabels: nothing could ever be proved with so few rows, groups or classes.
        BadOption: shares are not positive, or both times and an official test set are given.

    >>> texts = [f"row number {i}" for i in range(100)]
    >>> labels = np.arange(100) % 2
    >>> splits = split_examples(Examples(texts, labels, np.arange(1, 101)), seed=0, n_classes=2)
    >>> len(splits.fit), len(splits.select), len(splits.certify)
    (44, 16, 40)
    """
    if times is not None and official_test is not None:
        raise BadOption("A time column and an official test set both fix what certifies. Give one of them.")
    if min(shares) <= 0:
        raise BadOption(f"Each share must be above zero. Got {tuple(shares)}.")
    keys = content_keys(examples.texts, seed)
    _check_size(examples, keys)
    if official_test is not None:
        certify = np.zeros(len(examples), bool)
        certify[official_test] = True
        return _border_given(examples, keys, certify, seed, n_classes, _OFFICIAL, "the official test set")
    if times is not None:
        certify = _latest(examples, keys, times, shares)
        splits = _border_given(examples, keys, certify, seed, n_classes, shares, "the latest rows")
        return replace(splits, decisions=(*splits.decisions, *_too_early(times, certify)))
    return _shared_out(examples, keys, seed, n_classes, shares)


def _border_given(
    examples: Examples,
    keys: NDArray[np.uint64],
    certify: NDArray[np.bool_],
    seed: int,
    n_classes: int,
    shares: Shares,
    what: str,
) -> Splits:
    """Certify is fixed; the other rows are shared out between fit and select."""
    rest = np.flatnonzero(~certify)
    _check_parts(examples.labels[rest], rest, np.flatnonzero(certify))
    units = find_units(keys[rest], None if examples.groups is None else examples.groups[rest])
    _check_units(units, 2, examples)
    part = share_out(units, examples.labels[rest], n_classes, (shares.select, shares.fit))
    splits = (rest[part == 1], rest[part == 0], np.flatnonzero(certify))
    percent = 100 * shares.fit / (shares.fit + shares.select)
    said = [
        f"Certify is {what}; the other rows are split {percent:.0f} to {100 - percent:.0f} into fit and select, by "
        f"label, by their content and seed {seed}: {_sizes(splits)} rows."
    ]
    said += _across(examples, keys, certify)
    return _finished(examples, keys, units, splits, said, n_classes)


def _shared_out(examples: Examples, keys: NDArray[np.uint64], seed: int, n_classes: int, shares: Shares) -> Splits:
    units = find_units(keys, examples.groups)
    _check_units(units, 3, examples)
    said = []
    if len(examples) < _SMALL and shares is _USUAL:
        shares = _FEW_ROWS
        said.append(
            f"With fewer than {_SMALL} rows certify gets {100 * shares.certify:.0f} %: what can be proved hangs on it."
        )
    part = share_out(units, examples.labels, n_classes, (shares.certify, shares.select, shares.fit))
    splits = (np.flatnonzero(part == 2), np.flatnonzero(part == 1), np.flatnonzero(part == 0))
    by = "by label" if examples.groups is None else "by label and whole groups"
    said.insert(
        0,
        f"Split {by}, by the rows' content and seed {seed}, into fit, select and certify: {_sizes(splits)} rows.",
    )
    _check_parts(examples.labels[splits[0]], splits[0], splits[2])
    finished = _finished(examples, keys, units, splits, said, n_classes)
    drawn = _drawn_units(units, splits[2], examples.groups is not None)
    return replace(finished, units=drawn[0], decisions=(*finished.decisions, *drawn[1]))


def _drawn_units(units: Units, certify: Ints, grouped: bool) -> tuple[Ints | None, list[str]]:
    """The units that certify is a sample of, when treating its rows as independent draws would flatter it.

    Copies are split as one. If all rows of a unit share their fate, the variance of a mean over n rows in units of m is
    Σ m² / n times that of n independent rows (Kish 1965, the design effect).
    """
    if grouped:
        return units.of, []
    sizes = np.bincount(units.of[certify])
    effect = float((sizes**2).sum() / max(len(certify), 1))
    if effect <= _NEGLIGIBLE_EFFECT:
        return None, []
    return units.of, [
        f"Certify is a sample of {int((sizes > 0).sum()):,} different texts, not of {len(certify):,} independent rows,"
        f" because copies stay together (design effect up to {effect:.2f}): statistics draw texts, all copies of each."
    ]


def _sizes(splits: tuple[Ints, Ints, Ints]) -> str:
    return ", ".join(f"{len(one):,}" for one in splits)


def _latest(
    examples: Examples, keys: NDArray[np.uint64], times: NDArray[np.float64], shares: Shares
) -> NDArray[np.bool_]:
    """The latest rows; where rows share the time of the border, whole units are taken in hashed order.

    With groups a group counts as late as its latest row.
    """
    n = len(examples)
    units = find_units(keys, examples.groups)
    when = times
    if examples.groups is not None:
        latest = np.full(len(units), -np.inf)
        np.maximum.at(latest, units.of, times)
        when = latest[units.of]
    place = units.order[units.of]
    along = np.lexsort((place, when))
    new = np.ones(n, bool)
    new[1:] = (when[along][1:] != when[along][:-1]) | (place[along][1:] != place[along][:-1])
    starts = np.flatnonzero(new)[1:]
    if not len(starts):
        raise NotEnoughLabels("All rows are tied into one group or text, so none can be set apart for certify.")
    border = starts[np.abs(starts - n * (1 - shares.certify / sum(shares))).argmin()]
    certify = np.zeros(n, bool)
    certify[along[border:]] = True
    return certify


def _check_size(examples: Examples, keys: NDArray[np.uint64]) -> None:
    n, n_texts = len(examples), len(np.unique(keys))
    if min(n, n_texts) < MIN_ROWS:
        raise NotEnoughLabels(
            f"There are {count(n, 'labelled row')} with {count(n_texts, 'different text')}. At least {MIN_ROWS} are "
            "needed to fit, choose and prove anything, and some hundreds to prove a small margin. Label more rows."
        )


def _check_units(units: Units, at_least: int, examples: Examples) -> None:
    if len(units) < at_least:
        what = "texts" if examples.groups is None else "groups (with the copies that tie them together)"
        raise NotEnoughLabels(
            f"There are {len(units)} {what} to share out and at least {at_least} are needed, better 30 or more. "
            "Choose a finer group column, or split without groups."
        )


def _check_parts(fit_labels: Ints, fit: Ints, certify: Ints) -> None:
    if len(certify) < MIN_CERTIFY:
        raise NotEnoughLabels(
            f"Certify has {count(len(certify), 'row')}; with fewer than {MIN_CERTIFY} nothing can be proved. "
            "Label more rows."
        )
    n_classes = len(np.unique(fit_labels))
    if len(fit) < MIN_CERTIFY or n_classes < 2:
        raise NotEnoughLabels(
            f"Outside certify there are {count(len(fit), 'row')} of {count(n_classes, 'class')}: nothing can be "
            "learned from that. Label more rows, or choose another time or group column or test set."
        )


def _across(examples: Examples, keys: NDArray[np.uint64], certify: NDArray[np.bool_]) -> list[str]:
    """What stands on both sides of a given border."""
    said = []
    copies = certify & np.isin(keys, keys[~certify])
    if copies.any():
        said.append(
            f"{count(int(copies.sum()), 'certify row')} ({few(examples.rows[copies])}) also "
            f"{verb(int(copies.sum()), 'stand')}, capitals and blanks aside, in fit or select: kept, though a copy "
            "makes the task look easier than it is."
        )
    if examples.groups is not None:
        shared = np.intersect1d(examples.groups[certify], examples.groups[~certify])
        if len(shared):
            said.append(f"{count(len(shared), 'group')} {verb(len(shared), 'have')} rows in certify and outside it.")
    return said


def _too_early(times: NDArray[np.float64], certify: NDArray[np.bool_]) -> list[str]:
    n_early = int((times[certify] < times[~certify].max()).sum())
    if not n_early:
        return []
    return [
        f"{count(n_early, 'certify row')} {verb(n_early, 'are')} older than the newest row outside, because groups "
        "stay together: a group stands where its latest row falls."
    ]


def _finished(
    examples: Examples,
    keys: NDArray[np.uint64],
    units: Units,
    splits: tuple[Ints, Ints, Ints],
    said: list[str],
    n_classes: int,
) -> Splits:
    """The splits, with what must be said of copies and small classes."""
    given = len(units.of) < len(keys)
    inside = np.concatenate(splits[:2]) if given else np.arange(len(keys))
    n_copies = len(inside) - len(np.unique(keys[inside]))
    if n_copies and units.ties_texts:
        where = " outside certify" if given else ""
        said.append(
            f"{count(n_copies, 'row')}{where} {verb(n_copies, 'repeat')} another row's text, capitals and blanks "
            "aside: copies stay together."
        )
    elif n_copies:
        sides = [np.unique(keys[one]) for one in splits]
        n_shared = int(np.isin(keys, np.intersect1d(sides[2], np.concatenate(sides[:2]))).sum())
        said.append(
            f"Copies of texts tie most groups together, so only groups are kept whole: {count(n_shared, 'row')} "
            f"{verb(n_shared, 'have')} a copy across the border of certify."
        )
    counts = [np.bincount(examples.labels[one], minlength=n_classes) for one in splits]
    present = np.sum(counts, axis=0) > 0
    for name, found in zip(("fit", "select", "certify"), counts, strict=True):
        missing = np.flatnonzero(present & (found == 0))
        if len(missing):
            rows = examples.rows[np.isin(examples.labels, missing)]
            said.append(
                f"{count(len(missing), 'class')} {verb(len(missing), 'have')} no row in {name} "
                f"(rows {few(rows)}){_so(name)}."
            )
    fit, select, certify = (np.sort(one).astype(np.int64) for one in splits)
    return Splits(fit, select, certify, tuple(said))


def _so(name: str) -> str:
    return {
        "fit": ": they cannot be learned",
        "select": "",
        "certify": ": they are learned, and the verdict says nothing of them",
    }[name]
