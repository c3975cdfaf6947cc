# SPDX-License-Identifier: Apache-2.0
"""How figures are written: few digits, a unit, and where they come from."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from bigenough.report.markup import Html, element, join

__all__ = [
    "bound",
    "carbon",
    "clocked",
    "count",
    "dollars",
    "duration",
    "energy",
    "keep_together",
    "megabytes",
    "milliseconds",
    "percent",
    "points",
    "probability_gap",
    "quantity",
    "rate",
    "size",
    "tag",
    "times",
    "with_interval",
]

_UNIT = re.compile(r"(?<=\d) (?=%|(?:[kMG]?B|ms|s|points?|rows)\b)")

Show = Callable[[float], str]


def percent(share: float, digits: int = 1) -> str:
    """A fraction in percent.

    >>> percent(0.9123), percent(1.0), percent(0.05, 0)
    ('91.2 %', '100.0 %', '5 %')
    """
    return f"{100 * share:.{digits}f} %"


def points(difference: float, digits: int = 1) -> str:
    """A signed difference of fractions in percentage points.

    >>> points(-0.0084), points(0.02)
    ('−0.8', '+2.0')
    """
    written = f"{100 * difference:+.{digits}f}"
    return (f"{0:.{digits}f}" if float(written) == 0 else written).replace("-", "−")


def bound(margin: float) -> str:
    """A margin in points, with no more digits than it needs.

    >>> bound(0.015), bound(0.02), bound(0.01)
    ('1.5 points', '2 points', '1 point')
    """
    written = f"{100 * margin:.4g}"
    return f"{written} point" if written == "1" else f"{written} points"


def count(number: float) -> str:
    """A whole number with thousands marked.

    >>> count(3080), count(22_713_216)
    ('3,080', '22,713,216')
    """
    return f"{round(number):,}"


def rate(number: float) -> str:
    """How many a second; of few, with digits behind the point.

    >>> rate(20_548), rate(0.1402)
    ('20,548', '0.14')
    """
    return count(number) if number >= 10 else _digits(number)


def size(n_bytes: float) -> str:
    """Bytes in decimal units.

    >>> size(812), size(31_400_000), size(2_000)
    ('812 B', '31 MB', '2.0 kB')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{_digits(n_bytes / scale)} {unit}"
    return f"{n_bytes:.0f} B"


def megabytes(number: float) -> str:
    """A size given in MB (10^6 bytes)."""
    return size(number * 1e6)


def milliseconds(number: float) -> str:
    """A latency in ms.

    >>> milliseconds(0.4321), milliseconds(12.34), milliseconds(1250)
    ('0.43 ms', '12 ms', '1.2 s')
    """
    return duration(number / 1000)


def duration(seconds: float) -> str:
    """A time in the unit that suits it.

    >>> duration(4e-6), duration(0.00043), duration(42), duration(200)
    ('4.0 µs', '0.43 ms', '42 s', '3 min 20 s')
    """
    if seconds < 1e-4:
        return f"{_digits(1e6 * seconds)} µs"
    if seconds < 1:
        return f"{_digits(1000 * seconds)} ms"
    if seconds < 59.5:
        return f"{_digits(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def energy(watt_hours: float) -> str:
    """Energy in the unit that suits it.

    >>> energy(0.0021), energy(1.5), energy(0.00086)
    ('2.1 mWh', '1.5 Wh', '0.86 mWh')
    """
    return _metric(watt_hours, "Wh")


def carbon(grams: float) -> str:
    """Emissions in the unit that suits them.

    >>> carbon(0.12)
    '0.12 g'
    """
    return _metric(grams, "g")


def dollars(usd: float) -> str:
    """An amount of money with few digits.

    >>> dollars(1.5e-7), dollars(0.000412), dollars(0.41), dollars(12.5), dollars(4200.0)
    ('below 0.0001 USD', '0.00041 USD', '0.41 USD', '12.50 USD', '4,200 USD')
    """
    if 0 < usd < 1e-4:
        return "below 0.0001 USD"
    if usd >= 1000:
        return f"{usd:,.0f} USD"
    return f"{usd:.2f} USD" if usd >= 1 else f"{usd:.2g} USD"


def times(ratio: float) -> str:
    """How many times something fits.

    >>> times(21.3), times(1.42)
    ('21×', '1.4×')
    """
    return f"{_digits(ratio)}×"


def probability_gap(gap: float) -> str:
    """A tiny difference of probabilities.

    >>> probability_gap(0.0), probability_gap(3.2e-9)
    ('0', '3e−09')
    """
    return "0" if gap == 0 else f"{gap:.0e}".replace("-", "−")


def quantity(data: Mapping[str, Any] | None, show: Show) -> Html:
    """One figure with its provenance: told in its title, and beside it unless it was measured here."""
    if data is None or data["value"] is None:
        return element("span", "unknown", class_="unknown", title=f"unknown: {(data or {}).get('source', 'no record')}")
    figure = element("span", show(data["value"]), title=f"{data['provenance']}: {data['source']}")
    return figure if data["provenance"] == "measured" else join([figure, " ", tag(data["provenance"])])


def clocked(seconds: float | None) -> Html:
    """A time that this study's own clock told, unknown where it told none."""
    if seconds is None:
        return quantity(None, duration)
    return quantity({"value": seconds, "provenance": "measured", "source": "clock of this study"}, duration)


def with_interval(data: Mapping[str, Any] | None, show: Show = percent) -> Html:
    """One figure, and its interval in smaller type; none where its ends look like the figure."""
    figure = quantity(data, show)
    if data is None or data["value"] is None or data.get("low") is None or data.get("high") is None:
        return figure
    low, high = show(data["low"]), show(data["high"])
    if low == high == show(data["value"]):
        return figure
    return join([figure, " ", element("small", f"{low.removesuffix(' %')}–{high}", class_="interval")])


def keep_together(text: str) -> str:
    r"""A sentence whose figures are not parted from their units at the end of a line.

    >>> keep_together("92.0 % on 2,400 rows")
    '92.0\xa0% on 2,400\xa0rows'
    """
    return _UNIT.sub("\u00a0", text)


def tag(provenance: str) -> Html:
    """The small mark that says where a figure comes from."""
    return element("span", provenance, class_=f"tag {provenance}")


def _digits(value: float, significant: int = 2) -> str:
    if value <= 0:
        return "0"
    decimals = max(0, significant - 1 - math.floor(math.log10(value)))
    return f"{value:,.{decimals}f}"


def _metric(value: float, unit: str) -> str:
    for prefix, scale in (("k", 1e3), ("", 1.0), ("m", 1e-3)):
        if value >= 0.1 * scale:
            return f"{_digits(value / scale)} {prefix}{unit}"
    return f"{_digits(value / 1e-6)} µ{unit}" if value > 0 else f"0 {unit}"
