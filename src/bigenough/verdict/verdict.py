# SPDX-License-Identifier: Apache-2.0
"""What goes into a verdict and what comes out: plain values, no decisions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bigenough.task import MetricName

__all__ = [
    "Answer",
    "Bar",
    "Comparison",
    "Decision",
    "EarlyPlan",
    "EarlyStop",
    "IgnoresGroups",
    "LeftOut",
    "Mode",
    "Nominee",
    "OrderBy",
    "PlainInterval",
    "Reference",
    "ReferenceScore",
    "RowsNeeded",
    "StoppedBecause",
    "Verdict",
    "verdict_schema",
]

Answer = Literal["proved", "not good enough", "cannot tell"]
Mode = Literal["down", "up"]
Decision = Literal["passed", "failed", "not tested"]
OrderBy = Literal["size_bytes", "latency"]
StoppedBecause = Literal["decided", "all rows asked", "budget spent"]

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Nominee:
    """A candidate that was nominated before certify was opened.

    Attributes:
        name: the candidate's name.
        size_bytes: its artefact on disk; None for a model that runs elsewhere, whose size nobody told.
        predicted: (n,) codes on the certify rows, or a function that gets them, called only when the nominee's turn
            comes.
    """

    name: str
    size_bytes: int | None
    predicted: Codes | Callable[[], Codes]


@dataclass(frozen=True, eq=False)
class Reference:
    """The candidate whom the nominees must not be worse than, chosen before certify was opened.

    Attributes:
        name: the candidate's name.
        predicted: (n,) codes on the certify rows.
        size_bytes: its artefact on disk; None for a model that runs elsewhere.
        within_limits: whether it could be shipped itself.
        chosen: "best" if it was the best on select, "named" if the user named it.
    """

    name: str
    predicted: Codes
    size_bytes: int | None
    within_limits: bool = True
    chosen: Literal["best", "named"] = "best"


@dataclass(frozen=True)
class Bar:
    """An absolute score, as a fraction, that nominees must be above."""

    value: float


@dataclass(frozen=True)
class LeftOut:
    """A candidate that was not nominated, and why."""

    candidate: str
    reason: str


@dataclass(frozen=True)
class EarlyPlan:
    """How a paid reference is asked about certify rows until the nominees' cases are settled; fixed before the first.

    Attributes:
        of: certify rows there are.
        order_seed: what the order of asking is drawn from.
        batch_rows: how many rows are asked at a time.
        discordance: the share of rows that one of reference and nominee alone was expected to get right. A wrong guess
            costs rows, never the promise.
    """

    of: int
    order_seed: int
    batch_rows: int
    discordance: float


@dataclass(frozen=True)
class EarlyStop:
    """How the asking of a paid reference went: its plan, how many rows were asked, and what ended it."""

    asked: int
    of: int
    order_seed: int
    batch_rows: int
    discordance: float
    stopped_because: StoppedBecause


@dataclass(frozen=True)
class PlainInterval:
    """A two-sided interval of the difference, for drawing; it decides nothing."""

    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class IgnoresGroups:
    """What the test for independent rows would have said about grouped rows; too hopeful, shown beside."""

    method: str
    lower: float
    upper: float
    p_value: float


@dataclass(frozen=True)
class RowsNeeded:
    """How many labelled certify rows would decide a comparison that is open, if the assumptions are true.

    Attributes:
        purpose: "prove" that the nominee is good enough, or "show worse" when it looks worse than the margin allows.
        total: certify rows in all; None when more than ten million would be needed.
        more: rows on top of today's.
        power: the chance of success with that many.
        assumed_difference: the true difference that is assumed: the observed one, but none above 0 against a candidate
            where there is a margin.
        assumed_discordance: the share of discordant rows that is assumed: the observed one; None for a bar or a
            bootstrap.
        if_equal_more: rows on top of today's if candidate and reference were truly equal; None for a bar.
        sentence: the same in words.
    """

    purpose: Literal["prove", "show worse"]
    total: int | None
    more: int | None
    power: float
    assumed_difference: float
    assumed_discordance: float | None
    if_equal_more: int | None
    sentence: str


@dataclass(frozen=True)
class Comparison:
    """One nominee against the reference. Scores and differences are fractions, difference = nominee − reference.

    ``lower`` and ``upper`` are one-sided bounds, each at error ``level``; where the test is only asymptotically exact
    they are computed at ``exact_level`` and ``exact_level_worse``, which keep that error, and it passes when its
    p-value is below ``exact_level``. A nominee whose turn never came has no
    ``lower`` and no ``p_value``: nothing about it was tested; if it was never opened all its figures are None.
    Where the reference was asked until the question was settled, ``n`` is the row that settled this nominee, or all
    that were asked when it is open; the bounds and the p-value hold at all times together.
    """

    candidate: str
    size_bytes: int | None
    order: int
    decision: Decision
    shown_worse: bool
    level: float
    score: float | None = None
    reference_score: float | None = None
    difference: float | None = None
    lower: float | None = None
    upper: float | None = None
    interval: PlainInterval | None = None
    p_value: float | None = None
    method: str | None = None
    n: int | None = None
    only_candidate_right: int | None = None
    only_reference_right: int | None = None
    mcnemar_p: float | None = None
    ignores_groups: IgnoresGroups | None = None
    exact_level: float | None = None
    exact_level_worse: float | None = None
    smallest_provable_margin: float | None = None
    rows_needed: RowsNeeded | None = None
    words: str = ""


@dataclass(frozen=True)
class ReferenceScore:
    """The reference as the verdict saw it."""

    kind: Literal["candidate", "bar"]
    name: str | None
    chosen: Literal["best", "named"] | None
    score: float
    size_bytes: int | None
    within_limits: bool


@dataclass(frozen=True)
class Verdict:
    """The smallest candidate proved good enough; or none is; or the rows cannot tell.

    Attributes:
        answer: the verdict.
        exit_code: 0 proved, 3 not good enough, 4 cannot tell.
        winner: the candidate to ship; None unless proved.
        safe_choice: what can be shipped today without a new proof: the winner, else a reference within the limits, else
            None.
        sentence: the verdict for a manager.
        metric, margin, alpha, mode, order_by: what was fixed before certify was opened.
        n_planned: how many nominees were planned; mode "up" splits alpha over them.
        reference: whom the nominees were compared with.
        n_certify: certify rows that were used: all of them, or those that were asked.
        n_groups: their groups, None if rows are independent.
        comparisons: one for each nominee, in the order of testing.
        left_out: candidates that were not nominated.
        deciding: the nominee that the next two speak of: the winner, or the one that keeps the verdict open.
        smallest_provable_margin: what today's rows carry; a margin chosen after the fact proves nothing.
        rows_needed: what would decide, when the rows cannot tell.
        seed, n_resamples: what the bootstrap used.
        early: how asking was stopped early; None where every certify row was used.
    """

    answer: Answer
    exit_code: Literal[0, 3, 4]
    winner: str | None
    safe_choice: str | None
    sentence: str
    metric: MetricName
    margin: float
    alpha: float
    mode: Mode
    order_by: OrderBy
    n_planned: int
    reference: ReferenceScore
    n_certify: int
    n_groups: int | None
    comparisons: tuple[Comparison, ...]
    left_out: tuple[LeftOut, ...]
    deciding: str | None
    smallest_provable_margin: float | None
    rows_needed: RowsNeeded | None
    seed: int
    n_resamples: int
    early: EarlyStop | None = None

    def to_json(self) -> dict[str, Any]:
        """The verdict as plain JSON values, valid under ``verdict_schema()``."""
        plain = asdict(self)
        return {
            "format": 1,
            **plain,
            "comparisons": list(plain["comparisons"]),
            "left_out": list(plain["left_out"]),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        """The verdict that ``to_json`` wrote."""
        fields = {name: value for name, value in data.items() if name != "format"}
        early = data.get("early")
        return cls(
            **{
                **fields,
                "reference": ReferenceScore(**data["reference"]),
                "comparisons": tuple(_comparison(each) for each in data["comparisons"]),
                "left_out": tuple(LeftOut(**each) for each in data["left_out"]),
                "rows_needed": None if data["rows_needed"] is None else RowsNeeded(**data["rows_needed"]),
                "early": None if early is None else EarlyStop(**early),
            }
        )


def _comparison(data: Mapping[str, Any]) -> Comparison:
    nested = {"interval": PlainInterval, "ignores_groups": IgnoresGroups, "rows_needed": RowsNeeded}
    made = {name: None if data[name] is None else kind(**data[name]) for name, kind in nested.items()}
    return Comparison(**{**data, **made})


def verdict_schema() -> dict[str, Any]:
    """The published JSON schema (draft 2020-12) of ``verdict.json``.

    >>> verdict_schema()["title"]
    'A verdict of bigenough'
    """
    schema: dict[str, Any] = json.loads(resources.files(__package__).joinpath("verdict.schema.json").read_text("utf-8"))
    return schema
