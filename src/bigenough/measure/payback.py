# SPDX-License-Identifier: Apache-2.0
"""After how many requests a specialist has paid back what it took to make, in money or in emissions.

The specialist costs something once (training, labels) and something a request; so does the generalist, without the
first. With a mix the escalated requests run on both and are charged for both. Per request is saved

    (1 − escalated) × generalist − specialist

and the fixed cost divided by that is the number of requests. Ranges are carried through end by end, each figure taken
as independent of the others (Moore 1966): where they share a factor, such as one grid's emissions, the true range is
narrower. An unknown figure makes the answer unknown, except that a specialist which saves nothing never pays back
whatever it cost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bigenough.errors import BadOption
from bigenough.quantity import Quantity, unknown
from bigenough.quantity.range import Range, exact, total
from bigenough.quantity.units import UnitMismatch, UnknownUnit, unit

__all__ = ["PER", "Payback", "payback"]

PER = 1000
"""Requests that the prices of serving are for."""

_FORMULA = "fixed cost / ((1 − escalated) × generalist − specialist)"


@dataclass(frozen=True)
class Payback:
    """When a specialist has paid back what it took to make.

    Attributes:
        pays: "after" some requests; "perhaps never", when the ranges hold both; "never"; or "unknown".
        requests: how many. Of "perhaps never" only the lower bound is sure to exist, and the value is unknown if the
            middle of the ranges saves nothing.
        saved_per_1000: what 1,000 requests save; below zero when the specialist costs more to serve.
        fixed: what is to be paid back.
        sentence: the same in words.
    """

    pays: Literal["after", "perhaps never", "never", "unknown"]
    requests: Quantity
    saved_per_1000: Quantity
    fixed: Quantity
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """The answer as plain JSON values."""
        figures = {name: getattr(self, name).to_json() for name in ("requests", "saved_per_1000", "fixed")}
        return {"pays": self.pays, **figures, "sentence": self.sentence}


def payback(
    fixed: Mapping[str, Quantity | Range],
    specialist: Quantity | Range,
    generalist: Quantity | Range,
    *,
    escalated: Quantity | Range | float = 0.0,
) -> Payback:
    """After how many requests the specialist is cheaper than the generalist alone, all that it took to make included.

    Args:
        fixed: what making it took, by name: training, labels; all in one kind of unit.
        specialist: what it costs to serve 1,000 requests.
        generalist: what it costs to have the generalist answer 1,000 requests.
        escalated: the share of requests that go on to the generalist and are charged for both.

    Raises:
        BadOption: a cost below zero, a share above 1, or units that measure different things.

    Example:
        >>> from bigenough.quantity import measured, modelled, published
        >>> training = {"training": measured(1.2, "USD", "20 minutes of a rented machine")}
        >>> local = modelled(0.01, "USD", "electricity", low=0.005, high=0.02)
        >>> found = payback(training, local, published(0.4, "USD", "a price list"), escalated=0.1)
        >>> found.pays, str(found.requests)
        ('after', '3,429 requests [3,380, 3,529]')
        >>> payback(training, published(0.5, "USD", "a server"), published(0.4, "USD", "a price list")).pays
        'never'
    """
    parts = {"specialist": specialist, "generalist": generalist, "escalated": _share(escalated)}
    served = {name: _range(each, name) for name, each in parts.items()}
    made = {name: _range(each, name) for name, each in fixed.items()}
    if not made:
        raise BadOption("Nothing is to be paid back. Name what making the specialist took, if only a training of 0.")
    missing = [name for name, each in {**served, **made}.items() if each is None]
    known = {name: each for name, each in {**served, **made}.items() if each is not None}
    _check(known)
    figure = generalist.unit
    whole = None if any(each is None for each in made.values()) else _fixed([known[name] for name in made], figure)
    if any(each is None for each in served.values()):
        return _unknown(missing, None, whole, figure)
    saved = _saved(known["specialist"], known["generalist"], known["escalated"], figure)
    if saved.high <= 0:
        return _never(saved, whole, missing, figure)
    return _unknown(missing, saved, whole, figure) if whole is None else _after(saved, whole, figure)


def _saved(specialist: Range, generalist: Range, escalated: Range, figure: str) -> Range:
    kept = exact(1.0, "", "", "all requests") - escalated
    return (generalist * kept - specialist).named(
        "saved", "(1 − escalated) × generalist − specialist", f"for {PER:,} requests", unit=_squeezed(figure)
    )


def _fixed(parts: list[Range], figure: str) -> Range:
    return total(*parts).named(
        "fixed cost", " + ".join(each.name for each in parts), "arithmetic", unit=_squeezed(figure)
    )


def _after(saved: Range, whole: Range, figure: str) -> Payback:
    low, middle, high = (
        _count(*ends) for ends in ((whole.low, saved.high), (whole.mid, saved.mid), (whole.high, saved.low))
    )
    if middle is None:
        requests = unknown("requests", f"{_FORMULA}: the middle of the ranges saves nothing")
    else:
        spread = (None, None) if high == low else (low, high)
        requests = Quantity(middle, "requests", "modelled", _FORMULA, *spread)
    if high is not None and middle is not None:
        spread_words = "" if _whole(high) == _whole(low) else f" [{_whole(low)}, {_whole(high)}]"
        many = "request" if _whole(middle) == "1" and not spread_words else "requests"
        sentence = f"The specialist has paid back its {_told(whole)} after {_whole(middle)}{spread_words} {many}."
    else:
        sentence = (
            f"The specialist may never pay back its {_told(whole)}: by these ranges 1,000 requests save "
            f"{_told(saved)}. It takes at least {_whole(low)} requests."
        )
    kind: Literal["after", "perhaps never"] = "after" if high is not None else "perhaps never"
    return Payback(kind, requests, _shown(saved, figure), _shown(whole, figure), sentence)


def _never(saved: Range, whole: Range | None, missing: list[str], figure: str) -> Payback:
    made = unknown(figure, f"unknown: {', '.join(missing)}") if whole is None else _shown(whole, figure)
    sentence = (
        f"The specialist never pays back: it costs as much to serve as the generalist alone or more "
        f"(1,000 requests save {_told(saved)})."
    )
    return Payback("never", unknown("requests", "serving saves nothing"), _shown(saved, figure), made, sentence)


def _unknown(missing: list[str], saved: Range | None, whole: Range | None, figure: str) -> Payback:
    why = f"unknown: {', '.join(missing)}"
    return Payback(
        "unknown",
        unknown("requests", why),
        unknown(figure, why) if saved is None else _shown(saved, figure),
        unknown(figure, why) if whole is None else _shown(whole, figure),
        f"Nobody can tell when the specialist pays back, because of what is unknown: {', '.join(missing)}.",
    )


def _range(value: Quantity | Range, name: str) -> Range | None:
    """A figure with its ends; None if it is unknown."""
    if isinstance(value, Range):
        return value.named(value.name or name)
    if value.value is None or value.provenance == "unknown":
        return None
    low = value.value if value.low is None else min(value.low, value.value)
    high = value.value if value.high is None else max(value.high, value.value)
    try:
        return Range(
            low, value.value, high, _squeezed(value.unit), name=name, source=value.source, provenance=value.provenance
        )
    except UnknownUnit as error:
        raise BadOption(f"{name}: {error}") from error


def _share(value: Quantity | Range | float) -> Quantity | Range:
    if isinstance(value, Quantity | Range):
        return value
    if not 0 <= value <= 1:
        raise BadOption(f"escalated={value!r}: expected a share of the requests, from 0 to 1.")
    return exact(value, "", "escalated", "given")


def _check(known: Mapping[str, Range]) -> None:
    costs = {name: each for name, each in known.items() if name != "escalated"}
    for name, each in known.items():
        if each.low < 0:
            raise BadOption(f"{name}={each.low!r} {each.unit}: a cost or a share is not below zero.")
    if "escalated" in known:
        share = known["escalated"]
        if unit(share.unit).powers or share.to("").high > 1:
            raise BadOption(f"escalated={share}: expected a share of the requests, from 0 to 1.")
    first = next(iter(costs.values()), None)
    for name, each in costs.items():
        try:
            each.to(first.unit if first else each.unit)
        except UnitMismatch as error:
            raise BadOption(f"{name}: costs must be in one kind of unit. {error}") from error


def _squeezed(written: str) -> str:
    return written.replace(" ", "")


def _shown(figure: Range, written: str) -> Quantity:
    quantity = figure.to(_squeezed(written)).quantity()
    return Quantity(quantity.value, written, quantity.provenance, quantity.source, quantity.low, quantity.high)


def _told(figure: Range) -> str:
    return str(figure.quantity())


def _whole(requests: float | None) -> str:
    """So many requests, the last one counted whole."""
    return f"{math.ceil(requests or 0.0):,}"


def _count(fixed: float, saved: float) -> float | None:
    """Requests that pay a fixed cost; None if none do, or more than a float can count."""
    requests = PER * fixed / saved if saved > 0 else math.inf
    return requests if math.isfinite(requests) else None
