# SPDX-License-Identifier: Apache-2.0
"""HTML that is escaped unless it was built here.

Labels, texts, file names and messages of a study can hold anything. Every page is therefore built with ``element``,
which escapes each plain string it is given; only what ``element`` itself returned goes in as it is.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Sequence

__all__ = ["Html", "element", "facts", "join", "raw", "shorten", "table"]

_VOID = frozenset({"meta", "br", "hr", "col"})
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")


class Html(str):
    """Markup that is safe to put into a page."""

    __slots__ = ()


Child = str | Html | None


def raw(markup: str) -> Html:
    """Declare markup as safe: for the style sheet and the charts, which this package writes itself."""
    return Html(markup)


def _escape(text: str) -> str:
    return html.escape(_CONTROL.sub("\ufffd", text), quote=True)


def join(children: Iterable[Child], separator: str = "") -> Html:
    """Several pieces as one, plain strings escaped.

    >>> join(["a < b", element("b", "c")])
    'a &lt; b<b>c</b>'
    """
    pieces = [child if isinstance(child, Html) else _escape(child) for child in children if child is not None]
    return Html(_escape(separator).join(pieces))


def element(name: str, /, *children: Child, **attributes: str | None) -> Html:
    """One element. Plain strings are escaped; ``class_`` stands for class, ``aria_label`` for aria-label.

    >>> element("p", "1 < 2", class_="note")
    '<p class="note">1 &lt; 2</p>'
    >>> element("td", "x", title='"quoted"')
    '<td title="&quot;quoted&quot;">x</td>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def shorten(text: str, width: int = 160) -> str:
    r"""A text in one line of at most ``width`` characters, cut with an ellipsis.

    >>> shorten("a  long\\n text", 7)
    'a long…'
    """
    # Cut before splitting: a row may hold megabytes, and no more than the first part can show.
    line = " ".join(text[: 8 * width].split())
    if len(line) <= width and len(text) <= 8 * width:
        return line
    return line[: width - 1].rstrip() + "…"


def table(
    caption: str,
    head: Sequence[Child],
    rows: Iterable[Sequence[Child]],
    *,
    kind: str = "",
    row_classes: Sequence[str] | None = None,
    words: Collection[int] = (),
) -> Html:
    """A table whose first column names its rows, in a box of its own that scrolls when the window is narrow.

    Each cell carries its column's name, so that the style sheet can stack a row into a card on a phone; the columns
    numbered in ``words`` hold words and may wrap, the others figures.
    """
    names = [_plain(title) for title in head]
    classes = ["words" if place in words else None for place in range(len(head))]
    heads = [element("th", title, scope="col", class_=kept) for title, kept in zip(head, classes, strict=True)]
    body = [
        element("tr", *_cells(row, names, classes), class_=(row_classes[place] or None) if row_classes else None)
        for place, row in enumerate(rows)
    ]
    inside = [element("caption", caption), element("thead", element("tr", *heads)), element("tbody", *body)]
    return element(
        "div",
        element("table", *inside),
        class_=f"table {kind}".strip(),
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def _cells(row: Sequence[Child], names: Sequence[str], classes: Sequence[str | None]) -> list[Html]:
    named = element("th", row[0], scope="row")
    figures = zip(row[1:], names[1:], classes[1:], strict=True)
    return [
        named,
        *(
            element("td", cell, data_label=name, class_=kept or ("none" if cell == "–" else None))
            for cell, name, kept in figures
        ),
    ]


def _plain(child: Child) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", child)) if isinstance(child, Html) else child or ""


def facts(pairs: Iterable[tuple[Child, Child]]) -> Html:
    """A list of names with what they stand for."""
    return element("dl", *(element("div", element("dt", name), element("dd", value)) for name, value in pairs))
