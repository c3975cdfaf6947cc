# SPDX-License-Identifier: Apache-2.0
"""One rung in a tournament: which settings it sent, how far each came, and what a fit of it takes.

Knows nothing of the other rungs and decides nothing about who goes on; that is ``halving``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from bigenough.errors import MissingExtra, OutOfDisk, WeightsNotFound
from bigenough.rungs.fit_memory import FitMemory
from bigenough.rungs.protocol import Predictor, Rung, Settings
from bigenough.rungs.search import CurvePoint, SearchResult
from bigenough.rungs.suggestions import Suggestions
from bigenough.rungs.trials import TrialRecord, Trials, Tried, is_costly, settled
from bigenough.task import Examples

__all__ = ["Contestant", "Entry", "Part", "PartTrial"]


@dataclass(frozen=True)
class PartTrial(TrialRecord):
    """Settings that were tried, perhaps on a part of the rows only.

    Attributes:
        share: the largest share of the fit rows they were fitted on; score and log loss are from there.
        rows: as many rows.
        stopped: why they went no further, None when they came to all rows.
    """

    share: float = 1.0
    rows: int = 0
    stopped: str | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """A share of the fit rows."""

    share: float
    examples: Examples


class Attempt(NamedTuple):
    """A fit that was made, found in memory or broken off by what it raised."""

    part: Part
    seconds: float
    failed: bool


@dataclass(eq=False)
class Entry:
    """One rung's settings on their way up.

    Attributes:
        settings: as they were first or as they were suggested.
        tried: the fits that went well, smallest share first, each with its part.
        attempts: every fit, those that failed too, in the order they were made.
        stopped: why it goes no further.
        failure: what was raised.
    """

    settings: Settings
    tried: list[tuple[Part, Tried]] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    stopped: str | None = None
    failure: str | None = None

    @property
    def seconds(self) -> float:
        """What all its fits took."""
        return sum(attempt.seconds for attempt in self.attempts)

    def at(self, part: Part) -> Tried | None:
        """Its fit on this part; None if there is none."""
        return next((tried for here, tried in self.tried if here is part), None)

    def record(self, whole: int) -> PartTrial:
        """How far it came; ``whole`` is the number of fit rows."""
        if not self.tried:
            return PartTrial(self.settings, None, None, self.seconds, self.failure, 0.0, 0, self.stopped)
        part, tried = self.tried[-1]
        rows = len(part.examples)
        return PartTrial(
            tried.record.settings, tried.score, tried.log_loss, self.seconds, self.failure, rows / whole, rows,
            self.stopped,
        )  # fmt: skip


@dataclass(eq=False)
class _PartsMemory(FitMemory):
    """The same memory, which keeps no models: those of fits on a part are never used again."""

    def keep_model(self, key: str, predictor: Predictor) -> None:
        """Nowhere."""


@dataclass(eq=False)
class Contestant:
    """A rung, its entries, and the seconds that its fits took so far.

    Attributes:
        rung: the recipe.
        work: how its settings are fitted and scored.
        parts: the shares of fit, smallest first; the last one is all of it.
        trials: how many settings it may send.
        entries: those it sent, the first settings first.
        full_minutes: what a fit on all rows may take, for a costly rung.
        reason: why it is out.
    """

    rung: Rung
    work: Trials
    parts: Sequence[Part]
    trials: int
    entries: list[Entry] = field(default_factory=list)
    full_minutes: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        self._suggestions = Suggestions(self.rung, self.parts[-1].examples, self.work.n_classes, self.work.bench.seed)
        self._next = self._suggestions.upto(self.trials)
        self._took: dict[int, float] = {}
        self._parts_memory = _PartsMemory(self.work.memory.folder)

    @property
    def name(self) -> str:
        """The rung's."""
        return self.rung.name

    @property
    def finished(self) -> list[tuple[Entry, Tried]]:
        """The entries that were fitted on all rows."""
        return [(entry, tried) for entry in self.entries if (tried := entry.at(self.parts[-1])) is not None]

    def enter(self) -> Entry | None:
        """The next settings; None when the rung has no more. Each must be ``told`` of before the next is asked for.

        What asking for them raises puts the rung out, except ``OutOfDisk``.
        """
        try:
            settings = next(self._next, None)
        except OutOfDisk:
            raise
        except Exception as error:  # a plugin may raise anything
            self.reason = f"could not be fitted ({type(error).__name__}: {error})"
            return None
        if settings is None:
            return None
        self.entries.append(Entry(settings))
        return self.entries[-1]

    @property
    def seconds(self) -> float:
        """What all its fits took, those that failed or led nowhere too."""
        return sum(entry.seconds for entry in self.entries)

    def told(self, entry: Entry) -> None:
        """Let the sampler know how the entry's first fit went."""
        self._suggestions.tell(entry.tried[0][1].score if entry.tried else None)

    def try_on(self, entry: Entry, part: Part, clock: Callable[[], float], *, again: bool = False) -> float:
        """Fit an entry on a part; the seconds it took. What it raises is written down, except ``OutOfDisk``."""
        whole = part is self.parts[-1]
        bench, memory = self.work.bench, self.work.memory if whole else self._parts_memory
        scratch = self.work.memory.checkpoints
        if again:
            memory = _PartsMemory(None if memory.folder is None else memory.folder / "again")
            memory.drop_checkpoints()  # a training that goes on where it was says nothing of how long one takes
            scratch = memory.checkpoints
        if self.full_minutes is not None:
            bench = replace(bench, fit_minutes=part.share * self.full_minutes, scratch=scratch)
        began, reused, reused_seconds = clock(), memory.reused, memory.reused_seconds
        try:
            tried = replace(self.work, bench=bench, memory=memory).tried(part.examples, entry.settings)
        except OutOfDisk:
            raise
        except Exception as error:  # a plugin may raise anything
            seconds, failed = clock() - began, True
            if entry.at(self.parts[-1]) is None:  # else it has come to all rows, and one more point is what is missing
                entry.failure = f"{type(error).__name__}: {error}"
                entry.stopped = f"failed on {len(part.examples):,} rows"
            if isinstance(error, MissingExtra | WeightsNotFound):  # no other settings would help
                self.reason = f"could not be fitted ({type(error).__name__}: {error})"
        else:
            seconds, failed = tried.record.seconds, False
            entry.tried.append((part, tried))
            entry.tried.sort(key=lambda pair: pair[0].share)
            self._took[len(part.examples)] = seconds
        if memory is not self.work.memory:
            self.work.memory.reused += memory.reused - reused
            self.work.memory.reused_seconds += memory.reused_seconds - reused_seconds
        if again:
            memory.drop_checkpoints()
        entry.attempts.append(Attempt(part, seconds, failed))
        return seconds

    def seconds_on(self, part: Part) -> float | None:
        """What a fit on this part takes: as the last one, else scaled by rows from the largest one made.

        The last and not the mean: a first fit often pays for what the later ones share.
        """
        if not self._took:
            return None
        rows = len(part.examples)
        known = rows if rows in self._took else max(self._took)
        return rows / known * self._took[known]

    @property
    def only_seconds(self) -> float:
        """The seconds of the only fit that was made so far; infinite when there are more, or none."""
        attempts = [attempt for entry in self.entries for attempt in entry.attempts]
        return attempts[0].seconds if len(attempts) == 1 and self._took else float("inf")

    def timed_again(self, clock: Callable[[], float]) -> float:
        """Do the only fit once more, for the seconds that it takes when what later ones share is there."""
        entry = self.entries[0]
        ((part, _),) = entry.tried
        entry.tried.clear()
        return self.try_on(entry, part, clock, again=True)

    def _chosen(self) -> Tried:
        """By the search's own rule among the entries that came to all rows."""
        return settled([tried for _, tried in self.finished], self.entries[0].at(self.parts[-1]), self.work)

    @property
    def chosen(self) -> Entry:
        """The entry whose settings the rung ends with; there is one once an entry came to all rows."""
        chosen = self._chosen()
        return next(entry for entry, tried in self.finished if tried is chosen)

    def points(self) -> tuple[CurvePoint, ...]:
        """The scores of the chosen settings on the parts before all rows."""
        return tuple(CurvePoint(len(part.examples), tried.score) for part, tried in self.chosen.tried[:-1])

    def result(self) -> SearchResult | None:
        """The search's result; None when no entry came to all rows."""
        if not self.finished:
            return None
        chosen = self._chosen()
        whole = len(self.parts[-1].examples)
        return SearchResult(
            chosen.record.settings, chosen.score, chosen.log_loss,
            tuple(entry.record(whole) for entry in self.entries), chosen.fitted.probability,
            self.seconds, chosen.fitted.record, chosen.fitted.model,
        )  # fmt: skip

    def to_json(self, left_out: str | None) -> dict[str, Any]:
        """What was tried, how far it came and what it took, as JSON values; ``left_out``: why it has no result."""
        whole = len(self.parts[-1].examples)
        return {
            "costly": is_costly(self.rung),
            "full_minutes": self.full_minutes,
            "left_out": left_out,
            "trials": sum(bool(entry.attempts) for entry in self.entries),
            "stages": self._stages(),
            "best": self._best(),
            "seconds": self.seconds,
            "entries": [
                {
                    **entry.record(whole).to_json(),
                    "fits": [
                        {"rows": len(part.examples), "share": part.share, "score": tried.score,
                         "log_loss": tried.log_loss, "seconds": tried.record.seconds}
                        for part, tried in entry.tried
                    ],
                }
                for entry in self.entries
            ],
        }  # fmt: skip

    def _stages(self) -> list[dict[str, Any]]:
        """By share of fit, smallest first: how many fits were made, how many of them failed, and their seconds."""
        attempts: dict[Part, list[Attempt]] = {}
        for entry in self.entries:
            for attempt in entry.attempts:
                attempts.setdefault(attempt.part, []).append(attempt)
        return [
            {
                "share": part.share,
                "rows": len(part.examples),
                "fits": len(attempts[part]),
                "failed": sum(attempt.failed for attempt in attempts[part]),
                "seconds": sum(attempt.seconds for attempt in attempts[part]),
            }
            for part in sorted(attempts, key=lambda part: part.share)
        ]

    def _best(self) -> dict[str, Any] | None:
        """The highest score on the largest share that it came to, since a score on fewer rows is another matter."""
        fits = [fit for entry in self.entries for fit in entry.tried]
        if not fits:
            return None
        part, tried = min(fits, key=lambda fit: (-fit[0].share, -fit[1].score, fit[1].log_loss))
        return {
            "share": part.share, "rows": len(part.examples), "score": tried.score, "log_loss": tried.log_loss,
            "settings": dict(tried.record.settings),
        }  # fmt: skip
