# SPDX-License-Identifier: Apache-2.0
"""The field of models at a glance: who makes them, how large, how open.

Choosing and ordering rows, the share of the few, access by year. The atlas holds what people who write about giants
chose; shares are shares of the atlas, not of the world.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bigenough.atlas.checks import amount
from bigenough.atlas.names import key, nearest
from bigenough.atlas.records import UNITS, Model
from bigenough.atlas.tiers import BORDERS_2023, Borders, tier_by_count
from bigenough.errors import BadOption
from bigenough.quantity import Quantity, modelled

__all__ = ["OPENNESS", "Concentration", "choose", "concentration", "house", "openness", "openness_by_year", "order"]

OPENNESS: tuple[str, ...] = ("open weights", "on request", "code only", "API", "closed")
"""How far one can get hold of a model, from most to least."""

_ACCESS: Mapping[str, str] = {
    "open weights": "open weights",
    "13B weights open": "open weights",
    "on request": "on request",
    "code": "code only",
    "api": "API",
    "hosted": "API",
    "closed": "closed",
}
_HOUSES: Mapping[str, str] = {"Facebook AI": "Meta", "Google DeepMind": "Google", "DeepMind": "Google"}
_TIERS = ("specialised", "mini", "enterprise", "mega")
_SHORT: Mapping[str, str] = {
    "params": "total_params",
    "size": "total_params",
    "tokens": "train_tokens",
    "flops": "train_flops",
}
_COLUMNS = ("name", "year", "developer", "country", *(name for name in UNITS if name in Model.__annotations__))

Test = Callable[[Model], bool]


def openness(row: Model) -> str:
    """How far one can get hold of a model: one of ``OPENNESS``."""
    return _ACCESS[row.access]


def house(row: Model) -> str:
    """The company behind the first developer: a laboratory counts with its owner of 2025."""
    first = row.developer.split(";")[0].strip()
    return _HOUSES.get(first, first)


def choose(
    rows: Iterable[Model],
    *,
    tier: str | None = None,
    year: str | None = None,
    developer: str | None = None,
    country: str | None = None,
    modality: str | None = None,
    access: str | None = None,
    licence: str | None = None,
    params: str | None = None,
    essay: str | None = None,
    borders: Borders = BORDERS_2023,
) -> tuple[Model, ...]:
    """The rows that meet every condition given; words match anywhere, in any case.

    Args:
        rows: what to choose from.
        tier: by parameter count: specialised, mini, enterprise or mega.
        year: a year or a span, open where a side is missing: ``2022``, ``2020..2023``, ``2023..``.
        developer: a part of the name; laboratories are found by their owner too.
        country: a part of the name.
        modality: a part of it, such as text or speech.
        access: one of ``OPENNESS`` or a part of it.
        licence: a part of it.
        params: a size, meant within 5 %, or a span: ``7b``, ``1b..10b``, ``70b..``.
        essay: the key of an essay that names the model.
        borders: where tiers begin.

    Raises:
        BadOption: a span that makes no sense, or a word that fits no row at all: the nearest are offered.
    """
    every = tuple(rows)
    words = {"developer": developer, "country": country, "modality": modality, "licence": licence}
    tests = [_holds(column, wanted, every) for column, wanted in words.items() if wanted is not None]
    others: tuple[tuple[str | None, Callable[[str], Test]], ...] = (
        (access, _is_open),
        (tier, lambda wanted: _in_tier(wanted, borders)),
        (year, _in_years),
        (params, _of_size),
        (essay, lambda wanted: _in_essay(wanted, every)),
    )
    tests += [test(wanted) for wanted, test in others if wanted is not None]
    return tuple(row for row in every if all(test(row) for test in tests))


def order(rows: Iterable[Model], by: str, *, falling: bool | None = None) -> tuple[Model, ...]:
    """Rows by a column; figures fall and words rise unless told otherwise; unknown comes last either way."""
    column = _SHORT.get(by, by.replace("-", "_"))
    if column not in _COLUMNS:
        raise BadOption(f"Rows cannot be ordered by {by!r}. {nearest(by, [*_SHORT, *_COLUMNS])}")
    down = (column in UNITS or column == "year") if falling is None else falling
    every = tuple(rows)
    known = [row for row in every if getattr(row, column) is not None]
    rest = [row for row in every if getattr(row, column) is None]
    return (*sorted(known, key=lambda row: (getattr(row, column), row.name), reverse=down), *rest)


@dataclass(frozen=True)
class Concentration:
    """How few make how much.

    Attributes:
        models: how many rows were counted.
        makers: how many each house made, most first.
        first_four: the share of the four that made most.
        index: Herfindahl and Hirschman's, the sum of squared shares: 1 for a single maker, 1/n for n equals.
    """

    models: int
    makers: tuple[tuple[str, int], ...]
    first_four: Quantity
    index: Quantity

    def to_json(self) -> dict[str, Any]:
        """The counts and shares as plain JSON values."""
        return {"makers": self.makers, "first_four": self.first_four.to_json(), "index": self.index.to_json()}


def concentration(rows: Iterable[Model]) -> Concentration:
    """The share of the few among some rows, by the house of the first developer.

    Raises:
        BadOption: there is no row.
    """
    counted = Counter(house(row) for row in rows).most_common()
    total = sum(number for _, number in counted)
    if not total:
        raise BadOption("No model is left to count. Loosen the conditions.")
    shares = [number / total for _, number in counted]
    among = f"of the {total} rows counted, by the house of the first developer"
    return Concentration(
        total,
        tuple(counted),
        modelled(100 * sum(shares[:4]), "%", f"four largest shares {among}"),
        modelled(sum(share**2 for share in shares), "", f"sum of squared shares {among}"),
    )


def openness_by_year(rows: Iterable[Model]) -> dict[int, dict[str, int]]:
    """How many models of each year are how open."""
    found: dict[int, dict[str, int]] = {}
    for row in sorted(rows, key=lambda row: row.year):
        year = found.setdefault(row.year, dict.fromkeys(OPENNESS, 0))
        year[openness(row)] += 1
    return found


def _holds(column: str, wanted: str, rows: tuple[Model, ...]) -> Test:
    looked_for = key(wanted)
    if not looked_for:
        raise BadOption(f"--{column} is empty. Give a word, or leave the option out.")

    def test(row: Model) -> bool:
        said = {getattr(row, column), *([house(row)] if column == "developer" else [])}
        return any(looked_for in key(text) for text in said)

    if rows and not any(test(row) for row in rows):
        known = sorted(
            {part.strip() for row in rows for part in getattr(row, column).replace("/", ";").split(";") if part.strip()}
        )
        raise BadOption(f"No model has the {column} {wanted!r}. {nearest(wanted, known)}")
    return test


def _is_open(wanted: str) -> Test:
    fitting = [level for level in OPENNESS if key(wanted) and key(wanted) in key(level)]
    if not fitting:
        raise BadOption(f"No model has the access {wanted!r}. Expected one of: {', '.join(OPENNESS)}.")
    return lambda row: openness(row) in fitting


def _in_tier(wanted: str, borders: Borders) -> Test:
    if wanted.lower() not in _TIERS:
        raise BadOption(f"There is no tier {wanted!r}. Expected one of: {', '.join(_TIERS)}.")

    def fits(row: Model) -> bool:  # recommenders are set apart
        if row.total_params is None or row.is_recommender:
            return False
        return tier_by_count(row.total_params, borders).name == wanted.lower()

    return fits


def _in_years(wanted: str) -> Test:
    first, last = _span("year", wanted, _year)
    return lambda row: first <= row.year <= last


def _of_size(wanted: str) -> Test:
    least, most = _span("params", wanted, lambda text: amount("params", text))
    if least == most:
        least, most = 0.95 * least, 1.05 * most
    return lambda row: row.total_params is not None and least <= row.total_params <= most


def _in_essay(wanted: str, rows: Iterable[Model]) -> Test:
    known = sorted({word for row in rows for word in row.essays.split() if word.isdigit()})
    if wanted not in known:
        raise BadOption(f"No model is named by the essay {wanted!r}. Expected one of: {', '.join(known)}.")
    return lambda row: wanted in row.essays.split()


def _span(name: str, text: str, read: Callable[[str], float]) -> tuple[float, float]:
    if ".." not in text:
        value = read(text)
        return value, value
    low, _, high = text.partition("..")
    if not low.strip() and not high.strip():
        raise BadOption(f"--{name} {text!r} has no end. Write a value, low..high, low.. or ..high.")
    least = read(low) if low.strip() else float("-inf")
    most = read(high) if high.strip() else float("inf")
    if least > most:
        raise BadOption(f"--{name} {text!r} runs backwards: {low.strip()} is more than {high.strip()}.")
    return least, most


def _year(text: str) -> float:
    if not text.strip().isdigit() or not 1950 <= int(text) <= 2100:
        raise BadOption(f"year {text!r}: expected a year such as 2022, or a span such as 2020..2023.")
    return int(text)
