# SPDX-License-Identifier: Apache-2.0
"""Which settings are tried next: a rung's first ones, then what a seeded estimator draws from what it declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bigenough.rungs.protocol import Rung, Settings
from bigenough.storage import content_hash
from bigenough.task import Examples

__all__ = ["Suggestions"]

_ASKS_PER_TRIAL = 5
"""How often, for each trial, the sampler may suggest what was tried already before a small space counts as searched."""


class Suggestions:
    """Different settings, one after the other, each followed by the score it got."""

    def __init__(self, rung: Rung, fit: Examples, n_classes: int, seed: int) -> None:
        import optuna

        self.rung, self.fit, self.n_classes = rung, fit, n_classes
        with _quiet():
            # A third of a usual budget is drawn blindly; optuna's own ten would leave nothing to the estimator.
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=4)
            self.study = optuna.create_study(direction="maximize", sampler=sampler)
        self.scores: dict[str, float | None] = {}
        self.trial: Any = None
        self.key = ""

    def upto(self, trials: int) -> Iterator[Settings]:
        """So many different settings at most; each must be told of before the next is asked for."""
        first = self.rung.first_settings(self.fit, self.n_classes)
        with _quiet():
            self.study.enqueue_trial(dict(first))
        for ask in range(_ASKS_PER_TRIAL * trials):
            with _quiet():
                self.trial = self.study.ask()
                suggested = self.rung.suggest(self.trial, self.fit, self.n_classes)
            settings: Mapping[str, Any] = first if ask == 0 else suggested
            self.key = content_hash(dict(settings))
            if self.key in self.scores:
                self.tell(self.scores[self.key])
                continue
            yield settings
            if len(self.scores) >= trials or not self.trial.params:
                return

    def tell(self, score: float | None) -> None:
        """The score that the last settings got; None when they failed."""
        import optuna

        self.scores[self.key] = score
        with _quiet():
            if score is None:
                self.study.tell(self.trial, state=optuna.trial.TrialState.FAIL)
            else:
                self.study.tell(self.trial, score)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep optuna's own log lines to itself, and its level as the caller had it."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
