# SPDX-License-Identifier: Apache-2.0
"""The search over all rungs at once, within the minutes of one study: successive halving on the frontier.

Settings are first fitted on a ninth of the fit rows, the better third of them on a third, the better third of those
on all rows (Jamieson & Talwalkar 2016, AISTATS, algorithm 1, with factor 3 as in Li et al. 2018, JMLR 18:185). Three
things differ, because a study wants the smallest model that is good enough and not the best of all:

* Settings are ranked by how far they stand below the *frontier*, the highest score of any rung that costs no more to
  serve. A small rung is thus never measured against a larger one, and a larger one has to be better than all smaller.
* The first settings of every rung, good on most tasks, go all the way before anything else is tried, and the best
  challenger of each rung goes on beside the better third of all, as long as the minutes last.
* A costly rung is tried only while the time left suffices for its fit and its refit, foretold by its smaller rounds.

What is suggested comes from optuna's tree-structured Parzen estimator, told the scores of the first round, where all
settings were fitted on the same rows. optuna's own pruners rank the raw values of one study, so they cannot do the
above. This module decides who is fitted on how much; which settings a rung ends with is the search's rule.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bigenough.errors import BadOption
from bigenough.rungs.contest import Contestant, Entry, Part, PartTrial
from bigenough.rungs.fit_memory import FitMemory
from bigenough.rungs.protocol import Rung, Workbench
from bigenough.rungs.sample import stratified_order
from bigenough.rungs.search import CurvePoint, SearchResult
from bigenough.rungs.trials import Trials, is_costly
from bigenough.task import Examples
from bigenough.task.task import MetricName

__all__ = ["PartTrial", "Tournament", "tournament"]

SHARES = (1 / 9, 1 / 3)
"""The parts of fit before all of it, which are the learning curve's too."""
KEPT = 3
"""One of so many goes on."""
FEWEST_ROWS, FEWEST_A_CLASS = 90, 3
"""A part with fewer rows ranks by luck and is left out."""
BEGUN = 3
"""Settings that a cheap rung begins with before it is out, where each fails at once: a rate may be too high."""
AGAIN_SHARE = 1 / 5
"""The share of the time left that a rung's only fit may take to be made once more, before the rung is left out."""
CHALLENGERS_SHARE = 1 / 4
"""How much of what the cheap rungs leave the costly ones must leave for their challengers, if they need it."""
CURVE_SHARE = 1 / 4
"""How much of the time left one more point of a costly rung's learning curve may take, and one of all cheap ones'."""
_CURVES = "learning curves"
"""The name under which their time is held back, beside those of rungs."""
HALF = 1 / 2
"""The share of fit that every rung's chosen settings are fitted on at the end: so a learning curve has three points up
to its half, from which the score on all rows can be foretold and held against what came true."""


@dataclass(frozen=True, eq=False)
class Tournament:
    """What each rung ended with.

    Attributes:
        results: by rung, the same as ``search`` gives; its trials are ``PartTrial``.
        points: by rung, how the settings that it ended with did on parts of fit.
        left_out: why a rung has no result.
        fit_minutes: what a costly rung's fit was allowed, which its refit should be too.
        record: all that was tried, by rung: at which share, its score and seconds, and why it stopped; JSON values.
    """

    results: Mapping[str, SearchResult]
    points: Mapping[str, Sequence[CurvePoint]]
    left_out: Mapping[str, str]
    fit_minutes: Mapping[str, float]
    record: Mapping[str, Any]


@dataclass
class _Purse:
    """Seconds: all there are, those spent, and those held back for the refits, by rung."""

    whole: float
    spent: float = 0.0
    held: dict[str, float] = field(default_factory=dict)

    @property
    def left(self) -> float:
        return self.whole - self.spent - sum(self.held.values())


@dataclass(eq=False)
class _Field:
    """The tournament while it goes on."""

    contestants: Sequence[Contestant]
    purse: _Purse
    refit: float
    """How many times longer the fit on fit and select is than that on fit."""
    clock: Callable[[], float]
    rounds: list[dict[str, Any]] = field(default_factory=list)

    def fit(self, one: Contestant, entry: Entry, part: Part) -> bool:
        """Fit an entry and pay for it; whether it went well."""
        one.work.bench.say(f"{one.name} on {len(part.examples):,} rows", self.purse.spent / self.purse.whole)
        self.purse.spent += one.try_on(entry, part, self.clock)
        if part is one.parts[-1] and one.finished:
            self.purse.held[one.name] = self.refit * self._longest(one, part)
        return entry.failure is None

    @staticmethod
    def _longest(one: Contestant, whole: Part) -> float:
        """What a fit on all rows takes at most: any of a costly rung's settings may be chosen, and take as long again.

        A cheap rung's take about the same, but that its first one pays for what the others share.
        """
        if is_costly(one.rung):
            return max(tried.record.seconds for _, tried in one.finished)
        return one.seconds_on(whole) or 0.0

    def first_settings(self, one: Contestant, parts: Sequence[Part], ahead: float) -> None:
        """Take a rung's first settings through these parts; of a cheap rung, where they fail at once, the next ones.

        ``ahead``: how many times the fit on all rows must still be paid, refit included.
        """
        for _ in range(1 if is_costly(one.rung) else BEGUN):
            entry = one.enter()
            if entry is None:
                one.reason = one.reason or (None if one.entries else "suggested no settings")
                return
            self._through(one, entry, parts, ahead)
            one.told(entry)
            if entry.tried or entry.failure is None or one.reason is not None:
                return

    def _through(self, one: Contestant, entry: Entry, parts: Sequence[Part], ahead: float) -> None:
        """Fit settings on these parts, each only if the time foretold for it is there."""
        for part in parts:
            whole = part is one.parts[-1]
            # A first fit pays for what later ones share (a token table, embeddings), so only the last step is foretold,
            # and not to be too long from that one alone.
            foretold = one.seconds_on(part) or 0.0
            if whole and foretold * ahead > self.purse.left and one.only_seconds < AGAIN_SHARE * self.purse.left:
                self.purse.spent += one.timed_again(self.clock)
                if entry.failure is not None:
                    break
                foretold = one.seconds_on(part) or 0.0
            if self.purse.left <= 0 or (whole and foretold * ahead > self.purse.left):
                entry.stopped = _no_time(foretold * ahead if whole else None, self.purse.left)
                one.reason = one.reason or entry.stopped
                break
            if not self.fit(one, entry, part):
                break

    def foretold_challenger(self, one: Contestant) -> float:
        """The seconds that one more entry costs: its first round, and its chance of each further one."""
        return math.fsum((one.seconds_on(part) or 0.0) / KEPT**step for step, part in enumerate(one.parts))

    def invited(self) -> dict[str, int]:
        """How many challengers each rung may send: all it wants, or its part of the time left; cheap ones first."""
        able = [one for one in self.contestants if one.finished and len(one.entries) < one.trials]
        able.sort(key=lambda one: (self.foretold_challenger(one), one.name))
        left, numbers = max(0.0, self.purse.left), {}
        for place, one in enumerate(able):
            each = max(self.foretold_challenger(one), 1e-9)
            wanted = one.trials - len(one.entries)
            numbers[one.name] = min(wanted, math.floor(left / (len(able) - place) / each))
            left -= numbers[one.name] * each
        return numbers

    def open_round(self) -> list[tuple[Contestant, Entry]]:
        """Every challenger's first fit."""
        numbers, entered = self.invited(), []
        for one in self.contestants:
            for _ in range(numbers.get(one.name, 0)):
                if (one.seconds_on(one.parts[0]) or 0.0) > self.purse.left or one.reason is not None:
                    break
                entry = one.enter()
                if entry is None:
                    break
                if self.fit(one, entry, one.parts[0]):
                    entered.append((one, entry))
                one.told(entry)
        return entered

    def climb(self, entered: Sequence[tuple[Contestant, Entry]], bracket: int) -> None:
        """Halve until the survivors are fitted on all rows."""
        steps = max((len(one.parts) for one in self.contestants), default=1)
        for step in range(1, steps):
            here = [(one, entry) for one, entry in entered if step < len(one.parts)]
            going = self._going_on(here, step - 1)
            self.rounds.append({"bracket": bracket, "step": step, "entered": len(here), "went_on": len(going)})
            survived = []
            for one, entry in going:
                part = one.parts[step]
                foretold = one.seconds_on(part) or 0.0
                if foretold > self.purse.left:
                    entry.stopped = _no_time(foretold, self.purse.left)
                elif self.fit(one, entry, part):
                    survived.append((one, entry))
            entered = survived

    def hold_back_for(self, part: Part | None) -> None:
        """Keep challengers from taking all the time that one more point of the cheap rungs' curves costs."""
        if part is not None:
            cheap = (one.seconds_on(part) or 0.0 for one in self._with_curves() if not is_costly(one.rung))
            self.purse.held[_CURVES] = min(sum(cheap), CURVE_SHARE * max(0.0, self.purse.left))

    def last_points(self, part: Part | None) -> None:
        """The settings that each rung ends with on this part, as far as the time goes."""
        if part is None:
            return
        del self.purse.held[_CURVES]
        for one in self._with_curves():
            share, foretold = 1.0, one.seconds_on(part) or 0.0
            whole = one.chosen.at(one.parts[-1])
            if is_costly(one.rung) and whole is not None:  # its settings differ in what they take
                share, foretold = CURVE_SHARE, part.share * whole.record.seconds
            if foretold <= share * self.purse.left:
                self.fit(one, one.chosen, part)

    def _with_curves(self) -> list[Contestant]:
        return [one for one in self.contestants if one.finished and len(one.parts) > 1]

    def _going_on(self, entered: Sequence[tuple[Contestant, Entry]], step: int) -> list[tuple[Contestant, Entry]]:
        """The better third by distance from the frontier, and the best of each rung; the rest is told why not."""
        frontier = self._frontier(step)
        ranked = []
        for order, (one, entry) in enumerate(entered):
            tried = entry.at(one.parts[step])
            if tried is not None:
                ranked.append((frontier(one) - tried.score, tried.log_loss, order, one, entry))
        ranked.sort(key=lambda each: each[:3])
        places, going, best = math.ceil(len(ranked) / KEPT), [], set()
        for rank, (short, _, _, one, entry) in enumerate(ranked):
            if rank < places or one.name not in best:
                going.append((one, entry))
            else:
                rows = len(one.parts[step].examples)
                entry.stopped = f"{100 * short:.1f} points below the frontier on {rows:,} rows, and others were nearer"
            best.add(one.name)
        return going

    def _frontier(self, step: int) -> Callable[[Contestant], float]:
        """For a rung, the highest score of this round among rungs that stand no higher on the ladder."""
        scores = [
            (one.rung.place, tried.score)
            for one in self.contestants
            for entry in one.entries
            if step < len(one.parts) and (tried := entry.at(one.parts[step])) is not None
        ]
        return lambda one: max(score for place, score in scores if place <= one.rung.place)


def tournament(
    rungs: Iterable[Rung],
    fit: Examples,
    select: Examples,
    n_classes: int,
    metric: MetricName,
    *,
    minutes: float,
    trials: int,
    bench: Workbench,
    memory_of: Callable[[Rung], FitMemory] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Tournament:
    """Search all rungs within one budget of minutes.

    The minutes cover every fit and the refits on fit and select that are to follow, which are held back. Time is what
    the fits took, so that a tournament that was killed goes the same way when it is repeated with the same memories.
    Deterministic given ``bench.seed`` as long as the minutes last: when they run short, fewer settings are tried, then
    costly rungs are left out, and the cheapest rungs go last of all.

    A rung that is not to be fitted on parts (``curve`` is False) is fitted on all rows only, and so is every rung when
    the parts would be too few rows. Whatever one rung raises, the others go on; a rung that came to no fit on all rows
    has no result, and it may be that none has one.

    Args:
        rungs: the recipes.
        fit: what they are fitted on.
        select: what they are scored on.
        n_classes: how many classes the task has.
        metric: what is to be high.
        minutes: for everything here and the refits.
        trials: how many settings each rung may try at most.
        bench: its seed is the tournament's too.
        memory_of: each rung's finished fits on these splits; None keeps nothing.
        clock: seconds from an arbitrary moment.

    Raises:
        BadOption: no time, or no trial.
        OutOfDisk: finished fits are kept.
    """
    if trials < 1 or not 0 < minutes < math.inf:
        raise BadOption(f"A tournament needs at least one trial and some time. Got {trials} and {minutes:g} minutes.")
    bench = replace(bench, metric=metric)
    remember = memory_of or (lambda rung: FitMemory())
    parts = _parts(fit, n_classes, bench.seed)
    contestants = [
        Contestant(
            rung, Trials(rung, select, n_classes, metric, bench, remember(rung), clock),
            parts if getattr(rung, "curve", True) else parts[-1:], trials,
        )
        for rung in sorted(rungs, key=lambda rung: (rung.place, rung.name))
    ]  # fmt: skip
    ground = _Field(contestants, _Purse(60 * minutes), 1 + len(select) / max(1, len(fit)), clock)
    for one in contestants:
        if not is_costly(one.rung):
            ground.first_settings(one, one.parts, ahead=1 + ground.refit)
    _costly_rungs(ground)
    half = _part(fit, HALF, n_classes, bench.seed)
    ground.hold_back_for(half)
    bracket = 0
    # What the minutes seemed too short for may enter later: once a rung has embedded its texts, fits take less.
    while entered := ground.open_round():
        bracket += 1
        ground.climb(entered, bracket)
    ground.last_points(half)
    return _ended(ground, minutes)


def _parts(fit: Examples, n_classes: int, seed: int) -> list[Part]:
    """Nested, stratified parts of fit, all of it last; the parts that the learning curve would take."""
    parts = (_part(fit, share, n_classes, seed) for share in SHARES)
    return [*(part for part in parts if part is not None), Part(1.0, fit)]


def _part(fit: Examples, share: float, n_classes: int, seed: int) -> Part | None:
    """A share of fit; None when that would be too few rows."""
    rows = round(share * len(fit))
    if rows < max(FEWEST_ROWS, FEWEST_A_CLASS * n_classes):
        return None
    return Part(share, fit.take(np.sort(stratified_order(fit.labels, seed)[:rows])))


def _costly_rungs(ground: _Field) -> None:
    """First settings of the costly rungs: a small round to learn what they take, then all rows; to each as much."""
    costly = [one for one in ground.contestants if is_costly(one.rung)]
    wanted = sum(
        (one.trials - 1) * ground.foretold_challenger(one) for one in ground.contestants if not is_costly(one.rung)
    )
    kept_free = min(wanted, CHALLENGERS_SHARE * max(0.0, ground.purse.left))
    for place, one in enumerate(costly):
        steps = [one.parts[0], one.parts[-1]] if len(one.parts) > 1 else list(one.parts)
        mine = (ground.purse.left - kept_free) / (len(costly) - place)
        one.full_minutes = max(0.0, mine) / 60 / (sum(part.share for part in steps) + ground.refit)
        ground.first_settings(one, steps, ahead=1 + ground.refit)
    for one in costly:
        _middle_parts(ground, one)


def _middle_parts(ground: _Field, one: Contestant) -> None:
    """The parts that a costly rung's first settings passed over: without them its learning curve foretells nothing."""
    for entry, _ in one.finished:
        for part in one.parts:
            if entry.at(part) is None and (one.seconds_on(part) or 0.0) <= CURVE_SHARE * max(0.0, ground.purse.left):
                ground.fit(one, entry, part)


def _no_time(foretold: float | None, left: float) -> str:
    if foretold is None:
        return "no time was left"
    return f"would have taken about {foretold:,.0f} s of the {max(0.0, left):,.0f} s that were left"


def _ended(ground: _Field, minutes: float) -> Tournament:
    results: dict[str, SearchResult] = {}
    left_out: dict[str, str] = {}
    for one in ground.contestants:
        found = one.result()
        if found is not None:
            results[one.name] = found
            continue
        failures = [entry.failure for entry in one.entries if entry.failure is not None]
        left_out[one.name] = one.reason or f"could not be fitted ({'; '.join(failures) or 'no reason'})"
    record = {
        "minutes": minutes,
        "seconds": {"fits": ground.purse.spent, "held for refits": sum(ground.purse.held.values())},
        "rounds": ground.rounds,
        "rungs": {one.name: one.to_json(left_out.get(one.name)) for one in ground.contestants},
    }
    allowed = {one.name: one.full_minutes for one in ground.contestants if one.full_minutes is not None}
    points = {one.name: one.points() for one in ground.contestants if one.name in results}
    return Tournament(results, points, left_out, allowed, record)
