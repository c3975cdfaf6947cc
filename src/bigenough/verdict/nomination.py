# SPDX-License-Identifier: Apache-2.0
"""Who is tested, against whom and in which order: settled on select, before certify is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bigenough.verdict.verdict import LeftOut

__all__ = ["Contender", "Nomination", "nominate"]


@dataclass(frozen=True)
class Contender:
    """A candidate as it stands before certify is opened.

    Attributes:
        name: the candidate.
        cost: what it costs to serve, in any unit that all contenders share (bytes on disk, or milliseconds a row).
        select_score: its score on select.
        missed_limits: a sentence for each hard limit that it misses.
        made: whether it was made from another candidate: pruned, coded, or taught by it.
    """

    name: str
    cost: float
    select_score: float
    missed_limits: tuple[str, ...] = ()
    made: bool = False


@dataclass(frozen=True)
class Nomination:
    """The tests that will be made, in order.

    Attributes:
        reference: the candidate that the others must not be worse than; None against an absolute bar.
        reference_within_limits: whether the reference could itself be shipped.
        nominees: names in testing order, the most expensive first.
        left_out: the others, each with the reason.
    """

    reference: str | None
    reference_within_limits: bool
    nominees: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The nomination as plain JSON values."""
        return {
            "reference": self.reference,
            "reference_within_limits": self.reference_within_limits,
            "nominees": list(self.nominees),
            "left_out": [{"candidate": each.candidate, "reason": each.reason} for each in self.left_out],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Nomination:
        """Read what ``to_json`` wrote."""
        left_out = tuple(LeftOut(each["candidate"], each["reason"]) for each in data["left_out"])
        return cls(data["reference"], data["reference_within_limits"], tuple(data["nominees"]), left_out)


def nominate(
    contenders: Sequence[Contender], *, against: str | None, order_by: Literal["size", "latency"] = "size"
) -> Nomination:
    """Choose the reference and order the nominees by what is known from select alone.

    ``against`` is "best" (the best on select; of equals the cheapest), a candidate's name, or None for an absolute bar.
    What was made from another candidate is never "the best", whatever it scores on select: its variants were chosen
    there, and a reference is not tested, while a smaller model has to earn its place on certify.
    Nominees are the candidates that are cheaper than the reference, meet every limit, and lie on the frontier: no
    candidate that costs as little or less is as good on select. Since the frontier falls as cost falls, the fixed
    sequence (Maurer, Hothorn & Lehmacher 1995) goes from the likeliest to pass to the least likely; any order that is
    fixed before certify is opened keeps its error. ``order_by`` says what the costs are, for the reasons' words.

    Raises:
        KeyError: ``against`` names no contender.

    Example:
        >>> small, mid, big = Contender("linear", 3, 0.88), Contender("static", 9, 0.85), Contender("frozen", 90, 0.93)
        >>> nominate([small, mid, big], against="best").nominees
        ('linear',)
    """
    by_name = {each.name: each for each in contenders}
    reference = None
    if against == "best":
        own = [each for each in contenders if not each.made] or contenders
        reference = max(own, key=lambda each: (each.select_score, -each.cost))
    elif against is not None:
        reference = by_name[against]
    chosen: list[Contender] = []
    left_out: list[LeftOut] = []
    for each in sorted(contenders, key=lambda each: (each.cost, -each.select_score)):
        if reference is not None and each.name == reference.name:
            continue
        reason = _why_left_out(each, reference, chosen, order_by)
        if reason is None:
            chosen.append(each)
        else:
            left_out.append(LeftOut(each.name, reason))
    within = reference is not None and not reference.missed_limits
    if reference is not None and reference.missed_limits:
        left_out.append(LeftOut(reference.name, "; ".join(reference.missed_limits)))
    return Nomination(
        None if reference is None else reference.name,
        within,
        tuple(each.name for each in reversed(chosen)),
        tuple(left_out),
    )


def _why_left_out(
    each: Contender, reference: Contender | None, cheaper: Sequence[Contender], order_by: str
) -> str | None:
    if each.missed_limits:
        return "; ".join(each.missed_limits)
    if reference is not None and each.cost >= reference.cost:
        as_much = "is as large as" if order_by == "size" else "takes as long for a row as"
        return f"{as_much} the reference {reference.name}, or more so"
    better = [other for other in cheaper if other.select_score >= each.select_score]
    if better:
        best = max(better, key=lambda other: other.select_score)
        return f"{best.name} is {'smaller' if order_by == 'size' else 'faster'} and was as good on select"
    return None
