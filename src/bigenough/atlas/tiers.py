# SPDX-License-Identifier: Apache-2.0
"""Where a model stands by size: by count, and by whether it runs on one accelerator.

The four tiers are those of a 2023 essay on narrow models for firms: specialised below 1B, mini 1 to 5B, enterprise 7
to 40B, mega from 50B. Its gaps are given away openly, 5 to 7B to mini and 40 to 50B to enterprise, and the borders
move with the years, so they are dated and can be set. The other half of the idea, "does inference run on one 80 GB
accelerator?", is always answered beside it, with its precision, context and batch.
"""

from __future__ import annotations

from dataclasses import dataclass

from bigenough.atlas.checks import amount, positive
from bigenough.atlas.fit import Box, Fit, fit, serving_memory
from bigenough.atlas.shape import Shape
from bigenough.errors import BadOption

__all__ = ["BORDERS_2023", "Borders", "Tier", "borders_of", "tier_by_count", "tier_by_fit"]

_LETTERS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Borders:
    """The sizes at which tiers begin, in parameters, and when that was thought.

    Attributes:
        mini, enterprise, mega: the first size of each.
        gaps: sizes that the source leaves between tiers, and that are given to the lower one here.
        dated: when.
        source: by whom.
    """

    mini: float = 1e9
    enterprise: float = 7e9
    mega: float = 50e9
    gaps: tuple[tuple[float, float], ...] = ((5e9, 7e9), (40e9, 50e9))
    dated: str = "2023"
    source: str = "four tiers of a 2023 essay; gaps of 5 to 7B and 40 to 50B given to the tier below"

    def __post_init__(self) -> None:
        if not 0 < self.mini < self.enterprise < self.mega:
            raise BadOption(f"Borders rise: mini {self.mini:g} < enterprise {self.enterprise:g} < mega {self.mega:g}.")

    def named(self) -> tuple[tuple[float, str], ...]:
        """Where each tier begins, in parameters and in words."""
        begun = {"mini": self.mini, "enterprise": self.enterprise, "mega": self.mega}
        return tuple((size, f"{name} from {_size(size)}") for name, size in begun.items())

    def __str__(self) -> str:
        steps = ", ".join(words for _, words in self.named())
        return f"adjusted: {steps}" if self.dated == "adjusted" else f"{steps}, of {self.dated}"


BORDERS_2023 = Borders()


def borders_of(text: str) -> Borders:
    """The three borders that a user gives in place of those of 2023, smallest first; they leave no gaps.

    Raises:
        BadOption: not three sizes, or not rising.

    >>> tier_by_count(6e9, borders_of("500m,5b,30b")).name
    'enterprise'
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(parts):
        raise BadOption(
            f"--tier-borders {text!r}: expected three sizes, where mini, enterprise and mega begin, such as 1b,7b,50b."
        )
    mini, enterprise, mega = (amount("--tier-borders", part, most=1e15) for part in parts)
    if not mini < enterprise < mega:
        raise BadOption(f"--tier-borders {text!r}: the sizes must rise, such as 1b,7b,50b.")
    return Borders(mini, enterprise, mega, gaps=(), dated="adjusted", source="given")


def _size(params: float) -> str:
    scale, letter = next(((scale, letter) for scale, letter in _LETTERS if params >= scale), (1.0, ""))
    return f"{params / scale:g}{letter}"


@dataclass(frozen=True)
class Tier:
    """A tier by count.

    Attributes:
        name: specialised, mini, enterprise or mega.
        in_gap: whether the source names no tier for this size.
        borders: where they stood.
    """

    name: str
    in_gap: bool
    borders: Borders

    def __str__(self) -> str:
        if self.borders.dated == "adjusted":
            return f"{self.name} (borders {self.borders})"
        return f"{self.name} (borders of {self.borders.dated}{', in a gap of them' if self.in_gap else ''})"


def tier_by_count(params: float, borders: Borders = BORDERS_2023) -> Tier:
    """The tier of a number of parameters.

    >>> [tier_by_count(size).name for size in (135e6, 6e9, 45e9, 50e9)]
    ['specialised', 'mini', 'enterprise', 'mega']
    """
    positive("parameters", params)
    steps = ((borders.mini, "specialised"), (borders.enterprise, "mini"), (borders.mega, "enterprise"))
    name = next((name for border, name in steps if params < border), "mega")
    return Tier(name, any(low < params < high for low, high in borders.gaps), borders)


def tier_by_fit(
    params: float,
    shape: Shape | None = None,
    *,
    how: str = "bf16",
    context: int = 2048,
    sequences: int = 1,
    memory_gb: float = 80.0,
) -> Fit:
    """Whether inference runs on one accelerator, by default of 80 GB at 16 bits, 2,048 tokens and one sequence."""
    parts = serving_memory(params, how, shape, context=context, sequences=sequences)
    return fit(parts, Box(f"one {memory_gb:g} GB accelerator", memory_gb))
