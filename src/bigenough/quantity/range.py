# SPDX-License-Identifier: Apache-2.0
"""Figures that carry a range, a unit and their own derivation through arithmetic.

A ``Range`` is a low, a middle and a high value. Adding and multiplying them is interval arithmetic (Moore 1966): the
result holds every value that the operands allow, taken as independent, so it is an outer bound when one figure enters
twice. The middle is the operation on the middles. Each result remembers what it was made from: a graph of named
formulas, after the impact models of EcoLogits, which ``explain`` prints line by line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from bigenough.quantity.quantity import Provenance, Quantity
from bigenough.quantity.units import UnitMismatch, canonical, unit

__all__ = ["Range", "between", "exact", "hull", "larger", "smaller", "total"]


@dataclass(frozen=True, eq=False)
class Range:
    """A figure between two bounds.

    Attributes:
        low, mid, high: the bounds and the best single value, in ``unit``; low <= mid <= high.
        unit: see ``bigenough.quantity.units``.
        name: what it is, in words; empty for a step in between.
        formula: how it was computed from its inputs, in words or signs.
        source: who says so.
        provenance: measured, modelled or published.
        inputs: what it was computed from.

    Example:
        >>> params = exact(8.03e9, "param", "parameters", "model card")
        >>> weights = (params * exact(16, "bit/param", "bits", "bf16")).to("GB")
        >>> round(weights.mid, 2), weights.unit
        (16.06, 'GB')
    """

    low: float
    mid: float
    high: float
    unit: str
    name: str = ""
    formula: str = ""
    source: str = ""
    provenance: Provenance = "modelled"
    inputs: tuple[Range, ...] = ()

    def __post_init__(self) -> None:
        unit(self.unit)
        if not all(math.isfinite(value) for value in (self.low, self.mid, self.high)):
            raise ValueError(f"A range is finite. Got {self.low!r}, {self.mid!r}, {self.high!r} {self.unit}.")
        if not self.low <= self.mid <= self.high:
            raise ValueError(
                f"A range rises: low, mid, high. Got {self.low!r}, {self.mid!r}, {self.high!r} {self.unit}."
            )

    def to(self, wanted: str) -> Range:
        """The same figure in another unit; raises ``UnitMismatch`` when that measures something else."""
        if wanted == self.unit:
            return self
        ours, theirs = unit(self.unit), unit(wanted)
        if ours.powers != theirs.powers:
            raise UnitMismatch(f"{self.name or 'A figure'} is in {self.unit or 'no unit'!r}, which is no {wanted!r}.")
        factor = ours.size / theirs.size
        return replace(self, low=self.low * factor, mid=self.mid * factor, high=self.high * factor, unit=wanted)

    def named(self, name: str, formula: str = "", source: str = "", *, unit: str | None = None) -> Range:
        """The same figure with its name, formula and source, in ``unit`` when given: a line of the explanation."""
        shown = self if unit is None else self.to(unit)
        return replace(shown, name=name, formula=formula or self.formula, source=source or self.source)

    def clipped(self, low: float, high: float) -> Range:
        """The same figure kept inside bounds given in its own unit."""
        inside = [min(max(value, low), high) for value in (self.low, self.mid, self.high)]
        return replace(self, low=inside[0], mid=inside[1], high=inside[2], inputs=(self,), name="")

    def __add__(self, other: Range) -> Range:
        return self._combined(other.to(self.unit), lambda a, b: a + b, self.unit)

    def __sub__(self, other: Range) -> Range:
        return self._combined(other.to(self.unit), lambda a, b: a - b, self.unit)

    def __mul__(self, other: Range | float) -> Range:
        if not isinstance(other, Range):
            other = exact(other, "", "", "a number")
        ours, theirs = unit(self.unit), unit(other.unit)
        return self._combined(other, lambda a, b: a * ours.size * b * theirs.size, _joined(self.unit, other.unit, 1))

    def __rmul__(self, other: float) -> Range:
        return self * other

    def __truediv__(self, other: Range | float) -> Range:
        if not isinstance(other, Range):
            other = exact(other, "", "", "a number")
        if other.low <= 0 <= other.high:
            raise ZeroDivisionError(
                f"{other.name or 'The divisor'} may be zero: [{other.low!r}, {other.high!r}] {other.unit}."
            )
        ours, theirs = unit(self.unit), unit(other.unit)
        return self._combined(other, lambda a, b: a * ours.size / (b * theirs.size), _joined(self.unit, other.unit, -1))

    def __pow__(self, power: float) -> Range:
        if unit(self.unit).powers:
            raise UnitMismatch(
                f"Only a plain number is raised to a power. Got {self.name or 'a figure'} in {self.unit!r}."
            )
        if self.low < 0:
            raise ValueError(f"Only a range of values >= 0 is raised to a power. Got low={self.low!r}.")
        plain = self.to("")
        ends = sorted((plain.low**power, plain.high**power))
        return Range(ends[0], plain.mid**power, ends[1], "", inputs=_inputs(self))

    def _combined(self, other: Range, operation: Callable[[float, float], float], result: str) -> Range:
        corners = [operation(a, b) for a in (self.low, self.high) for b in (other.low, other.high)]
        mid = operation(self.mid, other.mid)
        # rounding may put the middle of equal corners an ulp outside them
        return Range(min(*corners, mid), mid, max(*corners, mid), result, inputs=_inputs(self, other))

    def explain(self, told: set[str] | None = None) -> list[str]:
        """The derivation, one line a named figure, the result first and what it rests on indented below it.

        A figure that was derived before is not derived again. ``told`` carries what was from one explanation to the
        next, and is added to.
        """
        return list(_lines(self, 0, set() if told is None else told))

    def quantity(self) -> Quantity:
        """The figure as users see it; the bounds are left out when they coincide."""
        source = self.source or self.formula or self.name or "arithmetic"
        exact_value = self.low == self.high
        low, high = (None, None) if exact_value else (self.low, self.high)
        return Quantity(self.mid, self.unit, self.provenance, source, low, high)

    def to_json(self) -> dict[str, Any]:
        """The figure as plain JSON values, with its name and formula."""
        return {"name": self.name, **self.quantity().to_json(), "formula": self.formula}

    def __str__(self) -> str:
        return str(self.quantity())


def exact(value: float, unit: str, name: str, source: str, *, provenance: Provenance = "published") -> Range:
    """A figure without a range."""
    return Range(value, value, value, unit, name=name, source=source, provenance=provenance)


def between(
    low: float,
    high: float,
    unit: str,
    name: str,
    source: str,
    *,
    mid: float | None = None,
    provenance: Provenance = "published",
) -> Range:
    """A figure between bounds; its middle is the geometric mean unless given, since such bounds are usually factors.

    >>> between(1, 64, "", "batch", "an example").mid
    8.0
    """
    if mid is None:
        mid = math.sqrt(low * high) if low > 0 else (low + high) / 2
    return Range(low, mid, high, unit, name=name, source=source, provenance=provenance)


def total(*parts: Range) -> Range:
    """The sum, in the unit of the first."""
    result = parts[0]
    for part in parts[1:]:
        result = result + part
    return replace(result, inputs=_inputs(*parts))


def larger(first: Range, second: Range) -> Range:
    """The larger of two figures, bound by bound: the slower side of a roofline."""
    other = second.to(first.unit)
    return first._combined(other, max, first.unit)


def smaller(first: Range, second: Range) -> Range:
    """The smaller of two figures, bound by bound."""
    other = second.to(first.unit)
    return first._combined(other, min, first.unit)


def hull(*parts: Range) -> Range:
    """The range that holds all parts; its middle is the geometric mean of theirs."""
    same = [part.to(parts[0].unit) for part in parts]
    mids = [part.mid for part in same]
    mid = math.exp(sum(map(math.log, mids)) / len(mids)) if min(mids) > 0 else sum(mids) / len(mids)
    low, high = min(part.low for part in same), max(part.high for part in same)
    return Range(low, min(max(mid, low), high), high, parts[0].unit, inputs=_inputs(*parts))


def _joined(ours: str, theirs: str, sign: int) -> str:
    powers = dict(unit(ours).powers)
    for base, power in unit(theirs).powers:
        powers[base] = powers.get(base, 0) + sign * power
    return canonical(tuple(sorted((base, power) for base, power in powers.items() if power)))


def _inputs(*parts: Range) -> tuple[Range, ...]:
    """The named figures behind some parts: steps without a name are left out of explanations."""
    found: list[Range] = []
    for part in parts:
        found.extend([part] if part.name else part.inputs)
    return tuple(found)


def _lines(figure: Range, depth: int, told: set[str]) -> Iterator[str]:
    how = f" = {figure.formula}" if figure.formula else ""
    known = f"{figure.provenance}: {figure.source}" if figure.source else figure.provenance
    if figure.source == "given":  # by whoever asked: nobody published it
        known = "given"
    line = f"{figure.name or 'figure'}{how} = {figure.quantity()} ({known})"
    parts = [part for part in figure.inputs if part.name]
    if parts and line in told:
        yield f"{'  ' * depth}{line}, as above"
        return
    yield f"{'  ' * depth}{line}"
    told.add(line)
    for part in parts:
        yield from _lines(part, depth + 1, told)
