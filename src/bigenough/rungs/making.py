# SPDX-License-Identifier: Apache-2.0
"""The making of a candidate, as far as it takes time: searched, calibrated, put on a learning curve, refitted.

The order matters and is the first rule of a verdict. Settings are chosen by fitting on fit and scoring on select; the
temperature is fitted on those same select predictions; then the model is fitted once more on fit and select together,
unless its rung says that more rows would teach it nothing.
The certify split is not an argument of anything in this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bigenough.rungs.calibration import fit_temperature
from bigenough.rungs.fit_memory import FitMemory
from bigenough.rungs.protocol import Rung, Settings, Watched, Workbench
from bigenough.rungs.search import REFIT_ROOM, CurvePoint, SearchResult, learning_curve, search, slowest
from bigenough.rungs.shared_energy import SharedEnergy
from bigenough.rungs.trials import is_costly, recorded_seconds
from bigenough.task import Examples, Task

__all__ = ["Budget", "Found", "Made", "Making"]

COSTLY_SHARE = 0.45
"""How much of a costly rung's minutes one trial may take; the refit on fit and select has what they all leave."""


@dataclass(frozen=True)
class Budget:
    """How much searching one rung gets."""

    trials: int
    minutes: float


@dataclass(frozen=True, eq=False)
class Found:
    """What a search over all rungs found for one of them.

    Attributes:
        result: settings, trials and what was said of select.
        points: its learning curve, from the fits on parts of fit that led there.
        fit_minutes: what a costly rung's fit was allowed.
        energy: its share of the energy of the search.
    """

    result: SearchResult
    points: Sequence[CurvePoint]
    fit_minutes: float | None
    energy: SharedEnergy


@dataclass(frozen=True, eq=False)
class Made:
    """What came of the making.

    Attributes:
        found: settings, trials and what was said of select by the model of fit alone.
        temperature: what calibrates it, and the refit too.
        curve: the scores on parts of fit.
        curve_seconds: what the curve took.
        refit: what is shipped, calibrated, with what the rung told of its fit.
        fit_rows: how many rows it was fitted on.
        fit_seconds: what that took.
    """

    found: SearchResult
    temperature: float
    curve: Sequence[CurvePoint]
    curve_seconds: float
    refit: Watched
    fit_rows: int
    fit_seconds: float


@dataclass(frozen=True, eq=False)
class Making:
    """One rung on its way to a candidate.

    Attributes:
        rung: the recipe.
        fit, select: the rows; no others are seen.
        task: its classes and its metric.
        budget: how much is searched.
        bench: where it happens.
        memory: where finished fits are kept and found.
        searched: what a search over all rungs found for this one; None searches here.
    """

    rung: Rung
    fit: Examples
    select: Examples
    task: Task
    budget: Budget
    bench: Workbench
    memory: FitMemory
    searched: Found | None = None

    def allowed(self) -> Making:
        """The same, with a costly rung told how long one fit may take and where it keeps its checkpoints."""
        if not is_costly(self.rung):
            return self
        minutes = COSTLY_SHARE * self.budget.minutes if self.searched is None else self.searched.fit_minutes
        return replace(self, bench=replace(self.bench, fit_minutes=minutes, scratch=self.memory.checkpoints))

    def made(self) -> Made:
        """Search, calibrate, draw the learning curve, refit."""
        found = self._found()
        temperature = fit_temperature(found.select_probability, self.select.labels)
        self.bench.say("learning curve", None)
        began = time.monotonic()
        curve = self._curve(found)
        curve_seconds = time.monotonic() - began
        began = time.monotonic()
        rows, told = self._last_rows()
        self.bench.say(f"fitting on {told}", None)
        refit = self._with_what_is_left(found, curve_seconds)._refit(rows, found.settings)
        refit = refit._replace(predictor=refit.predictor.with_temperature(temperature))
        seconds = max(time.monotonic() - began, recorded_seconds(refit.record))
        return Made(found, temperature, curve, curve_seconds, refit, len(rows), seconds)

    def _last_rows(self) -> tuple[Examples, str]:
        """What the shipped model is fitted on, and its name."""
        if getattr(self.rung, "refits", True):
            return _joined(self.fit, self.select), "fit and select"
        return self.fit, "fit"

    def _found(self) -> SearchResult:
        """The settings, searched here unless a search over all rungs has found them."""
        if self.searched is not None:
            return self.searched.result
        return search(
            self.rung, self.fit, self.select, len(self.task.classes), self.task.metric,
            trials=self.budget.trials, minutes=self.budget.minutes, bench=self.bench, memory=self.memory,
        )  # fmt: skip

    def _curve(self, found: SearchResult) -> Sequence[CurvePoint]:
        """From the search over all rungs, which was on parts of fit before; else drawn now."""
        if self.searched is not None:
            return *self.searched.points, CurvePoint(len(self.fit), found.score)
        return learning_curve(
            self.rung, found.settings, self.fit, self.select, len(self.task.classes), self.task.metric,
            bench=self.bench, full_score=found.score, memory=self.memory, **self._left_for_curve(found),
        )  # fmt: skip

    def _left_for_curve(self, found: SearchResult) -> dict[str, Any]:
        """What a costly rung's budget leaves for the curve once the refit is paid."""
        if not is_costly(self.rung):
            return {}
        left = 60 * self.budget.minutes - found.seconds - self._refit_seconds(found)
        return {"seconds_left": left, "full_seconds": slowest(found.trials)}

    def _refit_seconds(self, found: SearchResult) -> float:
        """What is kept for the refit, by the slowest trial."""
        return REFIT_ROOM * len(self._last_rows()[0]) / max(1, len(self.fit)) * slowest(found.trials)

    def _with_what_is_left(self, found: SearchResult, curve_seconds: float) -> Making:
        """The same, with a costly rung told that its refit may take all that is left of the minutes.

        That is at least what it needs, unless a fit has kept its own minutes badly: then as much as a fit may take.
        """
        if not is_costly(self.rung) or self.searched is not None or self.bench.fit_minutes is None:
            return self
        left = 60 * self.budget.minutes - found.seconds - curve_seconds
        least = min(self._refit_seconds(found), 60 * self.bench.fit_minutes)
        return replace(self, bench=replace(self.bench, fit_minutes=max(left, least) / 60))

    def _refit(self, examples: Examples, settings: Settings) -> Watched:
        """The fit of what is shipped, with whatever the rung tells of it."""
        recorded: Callable[..., Watched] | None = getattr(self.rung, "fit_recorded", None)
        if recorded is not None:
            return recorded(examples, len(self.task.classes), settings, self.bench)
        return Watched(self.rung.fit(examples, len(self.task.classes), settings, self.bench), settings, {})


def _joined(fit: Examples, select: Examples) -> Examples:
    groups = None
    if fit.groups is not None and select.groups is not None:
        groups = np.concatenate([fit.groups, select.groups])
    return Examples(
        [*fit.texts, *select.texts],
        np.concatenate([fit.labels, select.labels]),
        np.concatenate([fit.rows, select.rows]),
        groups,
    )
