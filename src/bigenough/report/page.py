# SPDX-License-Identifier: Apache-2.0
"""The page, from the verdict down to the hashes."""

from __future__ import annotations

from pathlib import Path

from bigenough.report import costs, data, elsewhere, mistakes, origin, quality, shrinking, thousand, words
from bigenough.report.files import StudyFiles, read_study
from bigenough.report.frame import document
from bigenough.report.markup import Html, element, raw
from bigenough.report.numbers import keep_together
from bigenough.report.view import View, view
from bigenough.storage import write_text

__all__ = ["render", "write_report"]

# A glyph each, so that the answer is told by shape and word as well as by colour.
_ICONS = {
    "proved": ("proved", "M17 25.5 22 30.5 32 18.5"),
    "cannot tell": ("open", "M18.5 19.5a5.5 5.5 0 1 1 8.5 4.6c-1.6 1.1-2.5 2-2.5 4M24.5 33v.2"),
    "not good enough": ("refused", "M18 18 31 31M31 18 18 31"),
}


def write_report(folder: Path | str, out: Path | str | None = None) -> Path:
    """Write the report of a study; by default to report.html in its folder. Returns where it went.

    Raises:
        InputError: the folder holds no finished study.
    """
    folder = Path(folder)
    place = folder / "report.html" if out is None else Path(out)
    write_text(place, render(read_study(folder)))
    return place


def render(study: StudyFiles) -> str:
    """The report as one HTML page that asks for nothing from outside; a pure function of the study's files."""
    seen = view(study)
    name = str(study.study.get("name") or study.study.get("task", {}).get("name", "study"))
    body = element("body", _hero(seen, name), element("main", *_sections(seen)), _footer(seen))
    return document(f"{name}: {words.title(seen)}", body)


def _hero(seen: View, name: str) -> Html:
    mood, path = _ICONS[seen.verdict["answer"]]
    icon = raw(
        '<svg class="icon" viewBox="0 0 49 49" aria-hidden="true"><circle cx="24.5" cy="24.5" r="23"/>'
        f'<path d="{path}"/></svg>'
    )
    steps = element("ul", *(element("li", keep_together(step)) for step in words.next_steps(seen)))
    gist = words.gist(seen)
    return element(
        "header",
        element("p", "How big is big enough? ", element("span", name), class_="over"),
        element("p", icon, words.title(seen), class_="answer"),
        element("h1", keep_together(words.headline(seen))),
        element("p", keep_together(gist), class_="gist") if gist else None,
        element(
            "div",
            element("div", element("h2", "What to do next"), steps, class_="next"),
            quality.face_off(seen),
            class_="aside",
        ),
        element("p", keep_together(words.promise(seen)), class_="promise"),
        class_=mood,
    )


def _sections(seen: View) -> list[Html]:
    about = f" of {seen.subject.name}" if seen.subject else ""
    smaller, answered = shrinking.steps(seen), elsewhere.elsewhere(seen)
    return [
        _section("frontier", "Quality against cost", quality.frontier(seen)),
        *([_section("smaller", "Smaller still", smaller)] if smaller is not None else []),
        _section("rungs", "The ladder, rung by rung", quality.rungs(seen)),
        _section("thousand", "What 1,000 requests take", thousand.thousand(seen)),
        _section("proof", "What certify could and could not prove", quality.proof(seen)),
        _section(
            "errors",
            f"Errors{about}",
            element("h3", "Commonest confusions"),
            mistakes.confusions(seen),
            element("h3", "By class"),
            mistakes.classes(seen),
        ),
        _section(
            "trust",
            "More labels, and trust in confidence",
            element(
                "div",
                element("div", element("h3", "Would more labels help?"), data.learning(seen)),
                element("div", element("h3", "Is it right as often as it says?"), mistakes.calibration(seen)),
                class_="pair",
            ),
        ),
        _section("audit", "What the audit found in the data", data.audit(seen)),
        _section("costs", "What it took", costs.fitting(seen)),
        *([_section("elsewhere", "What was asked elsewhere", answered)] if answered is not None else []),
        _section("determinism", "Same rows, same labels?", costs.determinism(seen)),
        _section(
            "limits",
            "What this page does not say",
            element("ul", *(element("li", limit) for limit in words.limits_of_the_claim(seen))),
        ),
        _section("reproduce", "How to get these figures again", origin.reproduce(seen)),
    ]


def _section(name: str, title: str, *children: Html | None) -> Html:
    return element(
        "section", element("h2", title, id=f"{name}-title"), *children, id=name, aria_labelledby=f"{name}-title"
    )


def _footer(seen: View) -> Html:
    study = seen.files.study
    made = f"Made by bigenough {study.get('bigenough', '')} on {study.get('created', '')}."
    return element("footer", element("p", f"{made} This page asks nothing of the network."))
