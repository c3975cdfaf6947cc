# SPDX-License-Identifier: Apache-2.0
"""How a long run tells what is done, what is next and how long it may take; who shows it is the caller's choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

__all__ = ["Progress", "Silence", "Step"]


class Step(NamedTuple):
    """One part of a run, with its rough share of the time; the shares are a plan, not a measurement."""

    name: str
    weight: float


class Progress(Protocol):
    """Where a study reports to while it works."""

    def plan(self, steps: Sequence[Step]) -> None:
        """Say what will be done, in order."""
        ...

    def start(self, step: str) -> None:
        """Begin a step; the one before it is finished."""
        ...

    def say(self, what: str, done: float | None = None) -> None:
        """Say what is going on within the step, and how much of it is done (0 to 1) where that is known."""
        ...

    def note(self, sentence: str) -> None:
        """Tell the user a decision that was taken about the data or the run."""
        ...


class Silence:
    """A progress that tells nobody."""

    def plan(self, steps: Sequence[Step]) -> None:
        """Ignore the plan."""

    def start(self, step: str) -> None:
        """Ignore the step."""

    def say(self, what: str, done: float | None = None) -> None:
        """Ignore the news."""

    def note(self, sentence: str) -> None:
        """Ignore the decision."""
