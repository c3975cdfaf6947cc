# SPDX-License-Identifier: Apache-2.0
"""How fast models grow: doubling times fitted to the atlas, beside those that were published.

A straight line through the logarithm by least squares. Rows of one house come in families (eight sizes of one paper,
on one day), so the interval is a bootstrap that draws whole houses (Field and Welsh 2007), not rows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bigenough.atlas.landscape import house
from bigenough.atlas.records import Model
from bigenough.errors import BadOption
from bigenough.quantity import Quantity, modelled

__all__ = ["Growth", "doubling_time", "growths", "largest_of_each_year"]

_DRAWS = 1000


@dataclass(frozen=True)
class Growth:
    """A fitted doubling.

    Attributes:
        what: the quantity and the rows it was fitted to.
        models, houses: how many rows, from how many makers.
        since, until: first and last year of the rows.
        doubling_months: with a 95 % interval; the upper end is missing when no growth at all is among the draws.
        spread: by what factor a usual row lies off the line: 10 to the residuals' standard deviation.
        line: year and value at both ends of the fitted line.
    """

    what: str
    models: int
    houses: int
    since: int
    until: int
    doubling_months: Quantity
    spread: float
    line: tuple[tuple[float, float], tuple[float, float]]

    def to_json(self) -> dict[str, Any]:
        """The trend as plain JSON values."""
        told = {"what": self.what, "models": self.models, "houses": self.houses}
        span = {"since": self.since, "until": self.until}
        return {**told, **span, "spread": self.spread, "doubling": self.doubling_months.to_json()}


def doubling_time(what: str, points: Sequence[tuple[str, int, float]], *, seed: int = 0) -> Growth:
    """The doubling time of (house, year, value) points.

    Raises:
        BadOption: fewer than five points or than three years, or a fall instead of a growth.
    """
    years = {year for _, year, _ in points}
    if len(points) < 5 or len(years) < 3:
        raise BadOption(
            f"{what}: {len(points)} rows of {len(years)} years are too few for a trend; five rows of three "
            "years are the least."
        )
    slope, start = _line([(year, math.log2(value)) for _, year, value in points])
    if slope <= 0:
        raise BadOption(f"{what} does not grow between {min(years)} and {max(years)}: there is no doubling time.")
    slopes = _slopes(points, random.Random(seed))
    flat, steep = _quantile(slopes, 0.025), _quantile(slopes, 0.975)
    residuals = [math.log10(value) - (slope * year + start) * math.log10(2) for _, year, value in points]
    spread = 10 ** math.sqrt(sum(one**2 for one in residuals) / (len(points) - 2))
    houses = len({maker for maker, _, _ in points})
    source = f"least squares on the logarithm, {len(points)} rows of {houses} houses, 95 % by drawing houses"
    months = modelled(12 / slope, "months", source, low=12 / steep, high=12 / flat if flat > 0 else None)
    first, last = min(years), max(years)
    ends = ((float(first), 2 ** (slope * first + start)), (float(last), 2 ** (slope * last + start)))
    return Growth(what, len(points), houses, first, last, months, spread, ends)


def growths(rows: Iterable[Model]) -> tuple[Growth, ...]:
    """The trends that the essays speak of, recommenders set apart: those that the rows are enough for."""
    every = [row for row in rows if not row.is_recommender]
    wanted: list[tuple[str, Callable[[Model], float | None], list[Model]]] = [
        ("parameters, all models", _params, every),
        ("parameters, the largest three of each year", _params, largest_of_each_year(every, 3)),
        (
            "parameters, the largest three of each year to 2021",
            _params,
            largest_of_each_year([row for row in every if row.year <= 2021], 3),
        ),
        ("training compute, all models", _compute, every),
        ("training tokens, all models", _tokens, every),
    ]
    found = []
    for what, value, chosen in wanted:
        points = [(house(row), row.year, float(known)) for row in chosen if (known := value(row))]
        try:
            found.append(doubling_time(what, points))
        except BadOption:
            continue
    return tuple(found)


def largest_of_each_year(rows: Iterable[Model], how_many: int) -> list[Model]:
    """The rows with most parameters in each year; recommenders are left out."""
    known = [row for row in rows if row.total_params and not row.is_recommender]
    years = sorted({row.year for row in known})
    return [
        row
        for year in years
        for row in sorted((one for one in known if one.year == year), key=lambda one: -(one.total_params or 0))[
            :how_many
        ]
    ]


def _params(row: Model) -> float | None:
    return row.total_params


def _compute(row: Model) -> float | None:
    return row.train_flops


def _tokens(row: Model) -> float | None:
    return row.train_tokens


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    across = sum((x - middle_x) ** 2 for x, _ in points)
    slope = sum((x - middle_x) * (y - middle_y) for x, y in points) / across if across else 0.0
    return slope, middle_y - slope * middle_x


def _slopes(points: Sequence[tuple[str, int, float]], rng: random.Random) -> list[float]:
    families: dict[str, list[tuple[float, float]]] = {}
    for maker, year, value in sorted(points):  # the order of the rows must not change the draws
        families.setdefault(maker, []).append((year, math.log2(value)))
    groups = list(families.values())
    found = []
    for _ in range(_DRAWS):
        drawn = [point for group in rng.choices(groups, k=len(groups)) for point in group]
        found.append(_line(drawn)[0])
    return sorted(found)


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
