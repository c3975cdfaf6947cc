# SPDX-License-Identifier: Apache-2.0
"""The frame of every page: the report's style and nothing from outside; of one that is no study, its parts too."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files as package_files
from typing import NamedTuple

from bigenough.quantity import Quantity
from bigenough.report.markup import Html, element, raw

__all__ = ["Section", "document", "framed", "quantity_cell", "sourced", "written"]

_MORE = """
.chart.wide.broad { max-width: none; }
td span > small, th span > small { display: block; }
td small { white-space: normal; overflow-wrap: break-word; }
.plain caption { display: none; }
header .next { max-width: 46rem; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Section(NamedTuple):
    """A part of a page: a name for its address, a title, and what stands there."""

    name: str
    title: str
    children: Sequence[Html | str | None]


def framed(kind: str, headline: str, gist: str, sections: Sequence[Section], *, aside: Html | None = None) -> str:
    """A whole page with the report's look.

    Args:
        kind: what the page is, in a word or two.
        headline: what it says, in a sentence.
        gist: the same in two or three.
        sections: in order.
        aside: what stands beside the gist.
    """
    top = element(
        "header",
        element("p", "How big is big enough? ", element("span", kind), class_="over"),
        element("h1", headline),
        element("p", gist, class_="gist"),
        aside,
    )
    made = (
        f"Made by bigenough {version('bigenough')}. Every figure names who published it, or the formula that gave it. "
        "This page asks nothing of the network."
    )
    body = element(
        "body", top, element("main", *(_section(part) for part in sections)), element("footer", element("p", made))
    )
    return document(f"{kind}: {headline}", body, more_style=_MORE)


def document(title: str, body: Html, *, more_style: str = "") -> str:
    """A whole document in the report's style; its policy keeps everything from outside out."""
    style = package_files("bigenough.report").joinpath("style.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", raw(style + more_style)),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _section(part: Section) -> Html:
    name = f"{part.name}-title"
    return element("section", element("h2", part.title, id=name), *part.children, id=part.name, aria_labelledby=name)


def written(figure: Quantity) -> str:
    """A figure without its range, large counts in few signs.

    >>> from bigenough.quantity import published
    >>> written(published(174.6e9, "params", "a paper")), written(published(1.17e24, "FLOP", "a paper"))
    ('174.6B params', '1.17e24 FLOP')
    """
    return "unknown" if figure.value is None else f"{_few(figure.value)} {figure.unit}".strip()


def quantity_cell(figure: Quantity) -> Html:
    """A figure with its range below and its provenance on hover."""
    if figure.value is None:
        return element("span", "unknown", class_="unknown", title=figure.source)
    below = None
    if figure.low is not None and figure.high is not None:
        below = element("small", f"{_few(figure.low)} to {_few(figure.high)}", class_="interval")
    return element("span", written(figure), below, title=f"{figure.provenance}: {figure.source}")


def _few(value: float) -> str:
    if 1e6 <= abs(value) < 1e15:
        size, letter = next(pair for pair in ((1e12, "T"), (1e9, "B"), (1e6, "M")) if abs(value) >= pair[0])
        return f"{value / size:.4g}{letter}"
    if 1000 <= abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:.4g}".replace("e+", "e")


def sourced(figure: Quantity) -> Html:
    """A figure's provenance and source, small; what the user gave is given, not published."""
    if figure.source == "given":
        return element("small", element("span", "given", class_="tag"))
    return element("small", element("span", figure.provenance, class_="tag"), f" {figure.source}")
