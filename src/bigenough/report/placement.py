# SPDX-License-Identifier: Apache-2.0
"""Where a chart's names go, so that they hit neither the edge nor each other nor what they name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

__all__ = ["Board", "Box", "Side", "spread"]


class Box(NamedTuple):
    """A rectangle on the drawing, in pixels from its upper left corner."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether two rectangles overlap."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


class Side(NamedTuple):
    """Where words stand, seen from what they name, in pixels."""

    align: Literal["left", "right"]
    dx: int
    dy: int

    def box(self, x: float, y: float, length: float, half: float) -> Box:
        """The room that words of this length and half height take."""
        left = x + self.dx - (length if self.align == "right" else 0)
        return Box(left, y + self.dy - half, left + length, y + self.dy + half)


_NEAR = (
    Side("left", 11, 0),
    Side("right", -11, 0),
    Side("left", 9, -13),
    Side("left", 9, 14),
    Side("right", -9, -13),
    Side("right", -9, 14),
)
_AROUND = (
    *_NEAR,
    Side("left", 9, -28),
    Side("right", -9, -28),
    Side("left", 9, 28),
    Side("right", -9, 28),
)
_ALONG = (0.015, 0.62, 0.45, 0.3, 0.15, 0.75)
"""Where along a line its words may begin, as shares of the width."""


class Board:
    """A drawing's room, and what stands on it already."""

    def __init__(self, width: float, height: float, font: int) -> None:
        self._whole = Box(0.0, 0.0, width, height)
        self._half = font / 2 + 1
        self._letter = 0.6 * font
        self._taken: list[Box] = []
        self._thin: list[Box] = []

    def take(self, box: Box) -> None:
        """Keep names away from here."""
        self._taken.append(box)

    def take_if_room(self, box: Box) -> None:
        """Keep names away from here too, but for those that must stand somewhere and find no other place."""
        self._thin.append(box)

    def beside(self, x: float, y: float, words: str) -> Side:
        """The first free side of a dot; the right one if none is free."""
        return self._choose(_AROUND, x, y, words)

    def if_free(self, x: float, y: float, words: str) -> Side | None:
        """The first free side right beside a dot; None if none is free, and then nothing is taken.

        >>> board = Board(200, 40, 12)
        >>> [board.if_free(100, 20, "some name") is not None for _ in range(4)]
        [True, True, False, False]
        """
        side = self._first_free(_NEAR, x, y, words, self._thin)
        if side is not None:
            self.take(side.box(x, y, self._letter * len(words), self._half))
        return side

    def along(self, y: float, words: str) -> Side:
        """The first free place below or above a line that crosses the whole width."""
        sides = [Side("left", round(share * self._whole.right), dy) for share in _ALONG for dy in (11, -9)]
        return self._choose(sides, 0.0, y, words)

    def _choose(self, sides: Sequence[Side], x: float, y: float, words: str) -> Side:
        side = self._first_free(sides, x, y, words, self._thin) or self._first_free(sides, x, y, words) or sides[0]
        self.take(side.box(x, y, self._letter * len(words), self._half))
        return side

    def _first_free(
        self, sides: Sequence[Side], x: float, y: float, words: str, more: Sequence[Box] = ()
    ) -> Side | None:
        length, boxes = self._letter * len(words), [*self._taken, *more]
        return next((one for one in sides if self._free(one.box(x, y, length, self._half), boxes)), None)

    def _free(self, box: Box, boxes: Sequence[Box]) -> bool:
        whole = self._whole
        inside = box.left >= 0 and box.right <= whole.right and box.top >= 0 and box.bottom <= whole.bottom
        return inside and not any(box.meets(other) for other in boxes)


def spread(heights: Sequence[float], gap: float, top: float) -> list[float]:
    """Heights pushed apart to at least ``gap``, in the order they stand, with none above ``top``.

    >>> spread([1.0, 1.25, 5.0], 1.0, 9.0)
    [1.0, 2.0, 5.0]
    """
    order = sorted(range(len(heights)), key=lambda place: heights[place])
    moved = list(heights)
    for place, below in enumerate(order[:-1]):
        above = order[place + 1]
        moved[above] = max(moved[above], moved[below] + gap)
    over = max(0.0, max(moved) - top)
    return [height - over for height in moved]
