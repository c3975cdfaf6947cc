# SPDX-License-Identifier: Apache-2.0
"""Where a model stands by size: by count, and by whether it runs on one accelerator.

The four tiers are those of a 2023 essay on narrow models for firms: specialised below 1B, mini 1 to 5B, enterprise 7
to 40B, mega from 50B. Its gaps are given away openly, 5 to 7B to mini and 40 to 50B to enterprise, and the borders
move with the years, so they are dated and can be set. The other half of the idea, "does inference run on one 80 GB
accelerator?", is always answered beside it, with its precision, context and batch.
"""

from __future__ import annotations

from dataclasses import dataclass

from bigenough.atlas.checks import positive
from bigenough.atlas.fit import Box, Fit, fit, serving_memory
from bigenough.atlas.shape import Shape
from bigenough.errors import BadOption

__all__ = ["BORDERS_2023", "Borders", "Tier", "tier_by_count", "tier_by_fit"]


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


BORDERS_2023 = Borders()


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
