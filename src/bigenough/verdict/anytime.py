# SPDX-License-Identifier: Apache-2.0
"""Non-inferiority while the rows are still being paid for: tests that may be looked at after every row.

A reference that costs money is asked row by row, in an order drawn beforehand, and asking ends when the question is
settled. Each row gives d in {-1, 0, 1}: the candidate alone right, both or neither, the reference alone. Two hypotheses
about its mean E d are bet against, both at error alpha:

* "worse by the margin m or more", E d <= -m: each row multiplies the stake by 1 + λ (d + m), 0 <= λ < 1 / (1 - m);
* "not worse by as much", E d >= -m: by 1 - λ (d + m), 0 <= λ < 1 / (1 + m).

Under its hypothesis no bet has a mean above 1, so the stake is a nonnegative supermartingale, and the chance that it
*ever* reaches 1 / alpha is at most alpha (Ville 1939), however often one looks and whatever makes one stop. That is
testing by betting (Waudby-Smith & Ramdas 2024, Journal of the Royal Statistical Society B 86:1; Shafer 2021), and for a
mean of bounded values no other form would do better: every e-value of one row lies below one of these (Clerico 2024).

**The bets.** The stake is divided over ``N_BETS`` fixed values of λ before the first row (Robbins 1970; Cover's
universal portfolio 1991; "diversified Kelly betting" in Waudby-Smith & Ramdas's appendix B). The parts lie around
m / discordance, the bet that grows fastest when the two models are equally good. So the stake depends on the *counts*
alone, not on their order, and rises with every row that speaks for the claim. The plug-in bets aGRAPA and ONS have
neither property, and ask for more rows (``benchmarks/sequential.py``; figures in docs/statistics.md).

**With replacement.** Certify rows are taken as independent draws of what the model will meet, and the claim is about
that population. The variant for sampling without replacement would speak of these certify rows only, and would be sure
of them when all are asked; with it, "proved" would mean less than it does with the test of fixed size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bigenough.errors import BadOption
from bigenough.verdict.noninferiority import Bounds
from bigenough.verdict.sequence import Step, walk_down

__all__ = ["N_BETS", "Finding", "SequentialWalk", "Standing", "anytime_bounds", "asking_order", "bets", "log_e_value"]

Finding = Literal["not worse", "worse", "open"]
Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

N_BETS = 15
_SPREAD = 0.7  # of log λ: a discordance that is half or twice the expected one costs few rows
_WIDTH = 2.5
_NEAR_RUIN = 0.99  # of the bet that one row could lose whole
_LEAD = 0.01  # what is bet on when the margin is zero, where equal models prove nothing
_HALVINGS = 50


class Standing(NamedTuple):
    """How far one nominee's case has come.

    Attributes:
        name: the nominee.
        finding: what was decided of it first; "open" while nothing is.
        settled_at: rows asked until then, counted row by row (with groups: to the end of the group).
        e_not_worse, e_worse: the stakes now, for "not worse than the margin" and for "worse than the margin".
        p_not_worse, p_worse: anytime-valid p-values, 1 / the highest stake so far.
    """

    name: str
    finding: Finding
    settled_at: int | None
    e_not_worse: float
    e_worse: float
    p_not_worse: float
    p_worse: float


class SequentialWalk:
    """Nominees tested down in a fixed order while paid rows come in, with one error for all of them.

    Every nominee has its two stakes on the same asked rows. What is found first of a nominee stands: "not worse" when
    the stake against "worse by the margin or more" reaches 1 / alpha, "worse" when the other does. The walk goes down
    the nominees in the given order: one *passes* when it is found not worse and all before it have passed. The walk is
    ``decided`` when the first nominee that has not passed is found worse, when all have passed, or when the rows are
    exhausted. Asking may also end at any other moment for any reason, such as money spent.

    **The promise.** If order, margin and alpha were fixed before the first row was seen and rows (or groups) are
    independent draws, the chance that any unworthy nominee (true difference <= -margin) ever passes is at most alpha,
    however many nominees there are, however correlated, however asking is batched and whenever it ends.

    Proof. Let j be the first unworthy nominee in the order; if there is none, nothing can go wrong. j is a fixed
    place, since neither the order nor the truth depends on the data. For any unworthy nominee to pass, j must pass: an
    unworthy nominee is j or stands behind j, and nobody passes before all who stand before have. For j to pass, its
    stake must have reached 1 / alpha at some row. That stake starts at 1 and is a nonnegative supermartingale under
    E d_j <= -m with respect to all that is seen of all nominees, for the parts and their bets are constants and rows
    are independent. By Ville's inequality P(it ever reaches 1 / alpha) <= alpha; to stop earlier only takes chances
    away. ∎ This is the fixed-sequence procedure (Maurer, Hothorn & Lehmacher 1995) with each test valid at all times.
    Likewise the chance that one given nominee that is not worse is ever found "worse" is at most alpha; that is said of
    each nominee alone, and needs no correction where all must be worse for a claim.

    **Groups.** Rows of a group share their fate, so a whole group is one bet, on the sum of d + m over its rows as a
    share of ``largest_group``: the hypothesis is then E Σ (d + m) <= 0, which speaks of the same accuracy, in which
    rows weigh alike. ``largest_group`` must bound the groups of the population and be fixed beforehand: the largest
    group of the whole table is a fair choice. Groups of very unequal size make small bets and long walks.

    Args:
        margin: the loss that still counts as good enough, a fraction.
        alpha: the promised error.
        nominees: names in the order of testing, the most expensive first.
        rows: certify rows there are; None if more can always be asked.
        discordance: the share of rows that is expected to be right by one of the two alone, as seen on select. A wrong
            guess costs rows, never the promise.
        largest_group: the most rows that a group can have; 1 for independent rows.

    Raises:
        BadOption: numbers, names or shapes that make no sense.

    Example:
        >>> right, small = np.ones(600, dtype=bool), np.ones((600, 1), dtype=bool)
        >>> small[::100] = False                                   # one row in a hundred is lost
        >>> walk = SequentialWalk(0.05, 0.05, ["linear"], rows=600)
        >>> for start in range(0, 600, 50):
        ...     if not walk.decided:
        ...         walk.update(small[start : start + 50], right[start : start + 50])
        >>> walk.passed, walk.stopped_at, walk.rows_saved
        (('linear',), 200, 400)
    """

    def __init__(
        self,
        margin: float,
        alpha: float,
        nominees: Sequence[str],
        *,
        rows: int | None = None,
        discordance: float = 0.1,
        largest_group: int = 1,
    ) -> None:
        _check(margin, discordance)
        if not 0 < alpha < 0.5:
            raise BadOption(f"alpha must lie between 0 and 0.5. Got {alpha!r}.")
        if not nominees or len(set(nominees)) < len(nominees):
            raise BadOption(f"A walk needs nominees with different names. Got {list(nominees)}.")
        if largest_group < 1 or (rows is not None and rows < 1):
            raise BadOption(f"Expected at least one row. Got rows={rows!r}, largest_group={largest_group!r}.")
        self.margin, self.alpha, self.nominees, self.rows = margin, alpha, tuple(nominees), rows
        self.largest_group = largest_group
        self.asked = 0
        self.stopped_at: int | None = None
        shared = (len(nominees), N_BETS)
        self._bets = [bets(margin, discordance, worse=worse, largest_group=largest_group) for worse in (False, True)]
        self._stakes = [np.broadcast_to(np.log(weights), shared) for _, weights in self._bets]
        self._highest = np.zeros((2, len(nominees)))
        self._findings: list[Finding] = ["open"] * len(nominees)
        self._settled_at: list[int | None] = [None] * len(nominees)
        self._groups: set[int] = set()

    def update(
        self, candidate_right: NDArray[np.bool_], reference_right: NDArray[np.bool_], groups: Codes | None = None
    ) -> None:
        """Take in the next rows, in the order that was drawn.

        Args:
            candidate_right: (rows, nominees), whether each nominee is right, in the nominees' order.
            reference_right: (rows,), whether the paid reference is.
            groups: (rows,) codes, whole groups only; needed if and only if ``largest_group`` is above 1.
        """
        fresh = self._checked(candidate_right, reference_right, groups)
        scores = candidate_right.astype(np.float64) - reference_right.astype(np.float64)[:, None] + self.margin
        if groups is not None:
            scores = np.stack([scores[groups == code].sum(axis=0) for code in fresh])
            ends = self.asked + np.cumsum([int(np.sum(groups == code)) for code in fresh])
            self._groups |= set(fresh)
        else:
            ends = self.asked + np.arange(1, len(scores) + 1)
        paths = [self._staked(side, scores) for side in (0, 1)]
        for place in range(len(self.nominees)):
            self._settle(place, [path[:, place] for path in paths], ends)
        self.asked += len(reference_right)
        if self.stopped_at is None and self.decided:
            self.stopped_at = self.asked

    def _checked(
        self, candidate_right: NDArray[np.bool_], reference_right: NDArray[np.bool_], groups: Codes | None
    ) -> list[int]:
        """Refuse rows that do not fit; the groups in the order in which they come."""
        n, k = len(reference_right), len(self.nominees)
        if candidate_right.shape != (n, k) or reference_right.shape != (n,):
            raise BadOption(
                f"Expected ({n}, {k}) rights of {k} nominees beside {n} of the reference. Got "
                f"{candidate_right.shape} and {reference_right.shape}."
            )
        if candidate_right.dtype != np.bool_ or reference_right.dtype != np.bool_:
            raise BadOption("A row is right or wrong: expected arrays of booleans.")
        if self.rows is not None and self.asked + n > self.rows:
            raise BadOption(f"{self.asked + n} rows were asked of {self.rows}. Give each certify row once.")
        if (groups is None) != (self.largest_group == 1):
            raise BadOption(
                "Rows in groups are bet on by whole groups, whose largest size must be known before the first row: "
                f"give largest_group and groups, or neither. Got largest_group={self.largest_group}."
            )
        if groups is None:
            return []
        if groups.shape != (n,):
            raise BadOption(f"Expected one group code for each of {n} rows. Got the shape {groups.shape}.")
        codes, first, sizes = np.unique(groups, return_index=True, return_counts=True)
        split = self._groups.intersection(codes.tolist())
        if split or (n and int(sizes.max()) > self.largest_group):
            fault = f"the group {min(split)} came in an earlier batch" if split else f"a group has {sizes.max()} rows"
            raise BadOption(f"Whole groups of at most {self.largest_group} rows are expected; {fault}.")
        return [int(code) for code in codes[np.argsort(first)]]

    def _staked(self, side: int, scores: Floats) -> Floats:
        """(rounds, nominees) logs of the stakes after each round; the parts' stakes are carried on."""
        signed = -scores if side else scores
        parts = self._stakes[side] + np.cumsum(np.log1p(self._bets[side][0] * signed[:, :, None]), axis=0)
        if len(parts):
            self._stakes[side] = parts[-1]
        return _log_sum(parts)

    def _settle(self, place: int, paths: list[Floats], ends: Codes) -> None:
        goal = -math.log(self.alpha)
        reached = [np.flatnonzero(path >= goal) for path in paths]
        firsts = [int(found[0]) if len(found) else len(ends) for found in reached]
        if self._findings[place] == "open" and min(firsts) < len(ends):
            # The two stakes cannot rise on the same row, so they cannot arrive together.
            self._findings[place] = "not worse" if firsts[0] < firsts[1] else "worse"
            self._settled_at[place] = int(ends[min(firsts)])
        for side, path in enumerate(paths):
            self._highest[side, place] = path.max(initial=self._highest[side, place])

    @property
    def standings(self) -> tuple[Standing, ...]:
        """Each nominee's case, in the order of testing."""
        now = [np.exp(np.minimum(_log_sum(stakes), 700.0)) for stakes in self._stakes]
        p = np.exp(-self._highest)
        return tuple(
            Standing(name, self._findings[i], self._settled_at[i], *(float(each[i]) for each in (*now, *p)))
            for i, name in enumerate(self.nominees)
        )

    @property
    def steps(self) -> list[Step]:
        """The walk as ``walk_down`` tells it; of an undecided walk, how it would end if asking ended now."""
        return walk_down(len(self.nominees), lambda place, _: self._findings[place] == "not worse", self.alpha)

    @property
    def passed(self) -> tuple[str, ...]:
        """The nominees that have passed in their turn; the last of them is the smallest proved good enough."""
        return tuple(self.nominees[step.place] for step in self.steps if step.passed)

    @property
    def decided(self) -> bool:
        """Whether the walk has ended, so that asking more rows can change neither who passed nor who did not."""
        turn = len(self.passed)
        ended = turn == len(self.nominees) or self._findings[turn] == "worse"
        return ended or (self.rows is not None and self.asked >= self.rows)

    @property
    def settled(self) -> bool:
        """Whether asking more can change nothing in a verdict: decided, and somebody passed or all are found worse.

        When the first nominee is found worse the walk is decided, but that the reference is the choice is proved only
        by showing the nominees behind it to be worse too. An edge that wants to know goes on asking until this.
        """
        exhausted = self.rows is not None and self.asked >= self.rows
        all_worse = all(finding == "worse" for finding in self._findings)
        return self.decided and (bool(self.passed) or all_worse or exhausted)

    @property
    def rows_saved(self) -> int | None:
        """Certify rows that were not asked; None if it is not known how many there are."""
        return None if self.rows is None else self.rows - self.asked


def log_e_value(
    only_candidate: ArrayLike,
    only_reference: ArrayLike,
    rows: ArrayLike,
    margin: float,
    *,
    discordance: float = 0.1,
    worse: bool = False,
) -> Floats:
    """The log of the stake of ``SequentialWalk`` after some independent rows, from their counts; arrays broadcast.

    It is the stake for the claim "not worse than the margin", or with ``worse`` for "worse than the margin".

    >>> round(float(np.exp(log_e_value(50, 50, 2000, 0.02))), 1)
    520.5
    """
    _check(margin, discordance)
    return _log_stake(only_candidate, only_reference, rows, margin, bets(margin, discordance, worse=worse), worse)


def anytime_bounds(
    only_candidate: int, only_reference: int, rows: int, margin: float, alpha: float, *, discordance: float = 0.1
) -> Bounds:
    """One-sided bounds of the difference, each at error ``alpha`` at all times together: a confidence sequence.

    A difference is outside when the same bets, laid against it in place of -margin, have reached 1 / alpha on these
    counts (Waudby-Smith & Ramdas 2024, theorem 1). So the lower bound is above -margin exactly when the stake of "not
    worse" is at its goal now.

    >>> [round(each, 3) for each in anytime_bounds(50, 50, 2000, 0.02, 0.05)]
    [-0.014, 0.014]
    """
    _check(margin, discordance)
    ends = []
    for worse in (False, True):
        inside, outside = (only_candidate - only_reference) / max(rows, 1), 1.0 if worse else -1.0
        parts = bets(margin, discordance, worse=worse)
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            stake = _log_stake(only_candidate, only_reference, rows, -middle, parts, worse)
            inside, outside = (inside, middle) if stake >= -math.log(alpha) else (middle, outside)
        ends.append(outside)
    return Bounds(*ends)


def bets(margin: float, discordance: float, *, worse: bool = False, largest_group: int = 1) -> tuple[Floats, Floats]:
    """The bets λ on d + m and the share of the stake that each starts with, log-normal around the fastest-growing one.

    >>> bet, share = bets(0.02, 0.1)
    >>> len(bet) == N_BETS, bet[N_BETS // 2].round(3), share.sum().round(9)
    (True, np.float64(0.2), np.float64(1.0))
    """
    steps = np.linspace(-_WIDTH, _WIDTH, N_BETS)
    # Rows of a group may be independent or copies: the best bet on their sum is between one and 1 / size of a row's.
    centre = (margin or _LEAD) / discordance / math.sqrt(largest_group)
    weights = np.exp(-(steps**2) / 2)
    return np.minimum(centre * np.exp(_SPREAD * steps), _most(margin, worse) / largest_group), weights / weights.sum()


def asking_order(n: int, seed: int, groups: Codes | None = None) -> Codes:
    """A random order of n rows, drawn before anything is asked, in which the rows of a group stand together.

    >>> asking_order(4, 0, np.array([7, 5, 7, 5])).tolist()
    [1, 3, 0, 2]
    """
    rng = np.random.default_rng(seed)
    if groups is None:
        return rng.permutation(n)
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    return np.argsort(rng.permutation(int(codes.max(initial=-1)) + 1)[codes], kind="stable")


def _check(margin: float, discordance: float) -> None:
    if not 0 <= margin < 1:
        raise BadOption(f"The margin must be a fraction from 0 to below 1 (0.02 is 2 points). Got {margin!r}.")
    if not 0 < discordance <= 1:
        raise BadOption(f"The discordance must be a fraction above 0 (0.1 is 10 % of rows). Got {discordance!r}.")


def _most(margin: float, worse: bool) -> float:
    return _NEAR_RUIN / max(1 + margin if worse else 1 - margin, 1e-9)


def _log_stake(
    b: ArrayLike, c: ArrayLike, n: ArrayLike, margin: float, parts: tuple[Floats, Floats], worse: bool
) -> Floats:
    b_, c_, n_ = (np.asarray(x, dtype=np.float64)[..., None] for x in (b, c, n))
    step = np.minimum(parts[0], _most(margin, worse)) * (-1.0 if worse else 1.0)
    won, tied, lost = np.log1p(step * (1 + margin)), np.log1p(step * margin), np.log1p(step * (margin - 1))
    return _log_sum(np.log(parts[1]) + b_ * won + (n_ - b_ - c_) * tied + c_ * lost)


def _log_sum(logs: Floats) -> Floats:
    """The log of the sum over the last axis; scipy's takes five times as long on the few numbers of a batch."""
    highest = logs.max(axis=-1)
    return np.asarray(highest + np.log(np.exp(logs - highest[..., None]).sum(axis=-1)))
