# SPDX-License-Identifier: Apache-2.0
"""What a plan is made of: figures with their labels, in sections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bigenough.quantity.range import Range

__all__ = ["Line", "Plan", "Section"]


@dataclass(frozen=True)
class Line:
    """One figure, or one answer in words, and what to know about it."""

    label: str
    figure: Range | str
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The line as plain JSON values."""
        told = self.figure if isinstance(self.figure, str) else self.figure.to_json()
        return {"label": self.label, "figure": told, "note": self.note}


@dataclass(frozen=True)
class Section:
    """Lines that belong together."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Plan:
    """What a model takes.

    Attributes:
        title: what was asked.
        sections: the figures.
        assumptions: what was taken for granted, to be read.
    """

    title: str
    sections: tuple[Section, ...]
    assumptions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        sections = [{"title": one.title, "lines": [line.to_json() for line in one.lines]} for one in self.sections]
        return {"format": 1, "title": self.title, "sections": sections, "assumptions": list(self.assumptions)}
