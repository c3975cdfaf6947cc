# SPDX-License-Identifier: Apache-2.0
"""What a study looks like in a terminal: one moving line while it works, quiet when piped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bigenough.progress import Step

__all__ = ["TerminalProgress", "terminal_progress"]


class TerminalProgress:
    """Shows the step at work, what is next and the time that is probably left, on standard error."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("reading", total=1.0, next="", left="")
        self._steps: list[Step] = []
        self._finished = 0.0
        self._within = 0.0
        self._current: Step | None = None
        self._began = time.monotonic()

    def plan(self, steps: Sequence[Step]) -> None:
        """Show a bar over these steps."""
        self._steps = list(steps)
        self._bar.update(self._task, total=sum(step.weight for step in steps))

    def start(self, step: str) -> None:
        """Move on to this step."""
        if self._current is not None:
            self._finished += self._current.weight
        self._within = 0.0
        names = [each.name for each in self._steps]
        place = names.index(step) if step in names else None
        self._current = None if place is None else self._steps[place]
        after = "" if place is None or place + 1 >= len(names) else f"next: {names[place + 1]}"
        self._bar.update(self._task, description=step, next=after, completed=self._finished, left=self._time_left())

    def say(self, what: str, done: float | None = None) -> None:
        """Show what is going on within the step."""
        if self._current is None:
            return
        self._within = max(self._within, self._current.weight * min(max(done or 0.0, 0.0), 1.0))
        self._bar.update(
            self._task,
            description=f"{self._current.name}: {what}",
            completed=self._finished + self._within,
            left=self._time_left(),
        )

    def note(self, sentence: str) -> None:
        """Print a decision above the bar."""
        self._bar.console.print(f"· {sentence}", style="dim", markup=False, highlight=False)

    def _time_left(self) -> str:
        completed = self._finished + self._within
        total = sum(step.weight for step in self._steps)
        elapsed = time.monotonic() - self._began
        if completed < 0.05 * total or elapsed < 2:
            return ""
        return f"about {_duration(elapsed * (total - completed) / completed)} left"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


@contextmanager
def terminal_progress() -> Iterator[TerminalProgress | None]:
    """A progress on standard error when that is a terminal, else None."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        BarColumn(bar_width=20),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[next]}", style="dim", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", style="dim", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield TerminalProgress(bar)
