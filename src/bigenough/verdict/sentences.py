# SPDX-License-Identifier: Apache-2.0
"""A verdict in words. "Proved" is said of what was tested and passed, and of nothing else."""

from __future__ import annotations

from bigenough.task import MetricName
from bigenough.verdict.verdict import Comparison, ReferenceScore, Verdict

__all__ = ["comparison_words", "points", "score_words", "size_words", "verdict_sentence"]

_METRICS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}


def size_words(size_bytes: int) -> str:
    """A size as a reader says it, in decimal units.

    >>> size_words(31_240_000), size_words(870), size_words(2_500_000_000)
    ('31 MB', '870 bytes', '2.5 GB')
    """
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= 0.9995 * factor:
            value = size_bytes / factor
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:,.0f} {unit}"
    return f"{size_bytes} bytes"


def score_words(score: float) -> str:
    """A score between 0 and 1 in per cent, with one digit.

    >>> score_words(0.9123)
    '91.2 %'
    """
    return f"{100 * score:.1f} %"


def points(fraction: float) -> str:
    """A difference in points.

    >>> points(0.015), points(0.01)
    ('1.5 points', '1 point')
    """
    value = f"{100 * fraction:.4g}"
    return f"{value} point" if value == "1" else f"{value} points"


def comparison_words(comparison: Comparison, target: ReferenceScore, metric: MetricName, margin: float) -> str:
    """What the comparison says of its nominee, in a few words."""
    if comparison.score is None or comparison.reference_score is None:
        return "not tested, not opened"
    figures = f"{_METRICS[metric]} {_figures(comparison, target)}"
    if comparison.decision == "passed":
        return f"proved {_good(target, margin)}: {figures}"
    worse = f"shown to be {_bad(target, margin)}"
    if comparison.decision == "not tested":
        return f"not tested{', but ' + worse if comparison.shown_worse else ''}: {figures}"
    open_ = f"not proved {_good(target, margin)}, nor shown to be worse"
    return f"{worse if comparison.shown_worse else open_}: {figures}"


def verdict_sentence(verdict: Verdict) -> str:
    """The verdict for a manager: one to three short sentences."""
    if verdict.answer == "cannot tell":
        return _cannot_tell(verdict)
    won = next((c for c in verdict.comparisons if c.candidate == verdict.winner), None)
    if won is not None:
        return _won(verdict, won)
    return _reference_wins(verdict) if verdict.answer == "proved" else _none(verdict)


def _won(verdict: Verdict, won: Comparison) -> str:
    figures = f"{_METRICS[verdict.metric]} {_figures(won, verdict.reference)}, {_count(verdict, won)}"
    return f"{_named(won)} is the smallest model proved {_good(verdict.reference, verdict.margin)}: {figures}."


def _reference_wins(verdict: Verdict) -> str:
    reference = _reference(verdict.reference)
    k = len(verdict.comparisons)
    if k == 0:
        return (
            f"The choice is {reference}: no smaller model was nominated, so there was nothing to test. "
            f"Its {_METRICS[verdict.metric]} is {score_words(verdict.reference.score)}, {_count(verdict)}."
        )
    each = "the one smaller nominee is" if k == 1 else f"each of the {k} smaller nominees is"
    by = f" by more than {points(verdict.margin)}" if verdict.margin else ""
    return (
        f"The choice is {reference}: {_METRICS[verdict.metric]} {score_words(verdict.reference.score)}, "
        f"{_count(verdict)}. Nothing smaller will do: {each} shown to be worse{by}."
    )


def _none(verdict: Verdict) -> str:
    scored = [c for c in verdict.comparisons if c.score is not None]
    if not scored:
        return "No model may be chosen: none of those within the limits was nominated, so there was nothing to test."
    best = max(scored, key=lambda c: c.score or 0.0)
    k = len(scored)
    each = "the one nominee is" if k == 1 else f"each of the {k} nominees is"
    return (
        f"No model is good enough: {each} shown to be {_bad(verdict.reference, verdict.margin)}. The best of them, "
        f"{_named(best)}: {_METRICS[verdict.metric]} {_figures(best, verdict.reference)}, {_count(verdict, best)}."
    )


def _cannot_tell(verdict: Verdict) -> str:
    open_ = next((c for c in verdict.comparisons if c.candidate == verdict.deciding), None)
    if open_ is None or open_.score is None:
        return f"These test rows cannot tell whether a smaller model is good enough, {_count(verdict)}."
    if open_.decision == "not tested":
        first = (
            f"The test ended with a larger nominee that is shown to be {_bad(verdict.reference, verdict.margin)}; "
            f"these test rows cannot tell whether {_named(open_)} is {_good(verdict.reference, verdict.margin)}"
        )
        second = ""
    elif open_.shown_worse:  # the tested one is out, but nominees behind it were not
        first = f"{_named(open_)} is shown to be {_bad(verdict.reference, verdict.margin)}, which ends the test"
        second = "; of the smaller nominees these test rows cannot tell"
    else:
        first = f"These test rows cannot tell whether {_named(open_)} is {_good(verdict.reference, verdict.margin)}"
        second = ""
    figures = f"{_METRICS[verdict.metric]} {_figures(open_, verdict.reference)}, {_count(verdict, open_)}."
    spent = (
        " The budget ended the asking: with more of it the same command goes on."
        if verdict.early and verdict.early.stopped_because == "budget spent"
        else ""
    )
    more = f" {verdict.rows_needed.sentence}" if verdict.rows_needed else ""
    safe = f" Until then {verdict.safe_choice} is the safe choice." if verdict.safe_choice else ""
    return f"{first}{second}: {figures}{spent}{more}{safe}"


def _good(target: ReferenceScore, margin: float) -> str:
    if target.kind == "bar":
        return f"to be above the bar of {score_words(target.score)}" + (f" less {points(margin)}" if margin else "")
    return (
        f"as good as {_reference(target)}, within {points(margin)}" if margin else f"better than {_reference(target)}"
    )


def _bad(target: ReferenceScore, margin: float) -> str:
    if target.kind == "bar":
        return f"below the bar of {score_words(target.score)}" + (f" less {points(margin)}" if margin else "")
    return (
        f"worse than {_reference(target)} by more than {points(margin)}"
        if margin
        else f"worse than {_reference(target)}"
    )


def _reference(target: ReferenceScore) -> str:
    name = _with_size(target.name or "", target.size_bytes)
    return f"the best, {name}" if target.chosen == "best" else name


def _named(comparison: Comparison) -> str:
    return _with_size(comparison.candidate, comparison.size_bytes)


def _with_size(name: str, size_bytes: int | None) -> str:
    """A model that runs elsewhere has no size that anybody told."""
    return name if size_bytes is None else f"{name} ({size_words(size_bytes)})"


def _figures(comparison: Comparison, target: ReferenceScore) -> str:
    """Both scores on the rows of this comparison."""
    own = score_words(comparison.score or 0.0)
    return own if target.kind == "bar" else f"{own} against {score_words(comparison.reference_score or 0.0)}"


def _count(verdict: Verdict, about: Comparison | None = None) -> str:
    early = verdict.early
    if early is not None:
        settled = "" if about is None or about.n == early.asked else f", settled by the first {about.n:,}"
        return f"n = {early.asked:,} asked of {early.of:,}{settled}"
    groups = "" if verdict.n_groups is None else f" in {verdict.n_groups:,} groups"
    return f"n = {verdict.n_certify:,}{groups}"
