# SPDX-License-Identifier: Apache-2.0
"""Everything a user may choose about a study, checked before any work starts."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from bigenough.errors import BadOption
from bigenough.generalist import NAME, Generalist
from bigenough.task import Limits, MetricName

__all__ = ["DEFAULT_MARGIN_POINTS", "Options", "OrderBy", "SearchMode", "Shrink"]

SearchMode = Literal["down", "up"]
OrderBy = Literal["size", "latency"]
Shrink = Literal["none", "fast", "taught", "all"]

DEFAULT_MARGIN_POINTS = 1.5
NOT_IDENTITY = ("threads", "offline")


@dataclass(frozen=True)
class Options:
    """The choices of one study.

    Attributes:
        text: the column with the texts; guessed when None.
        label: the column with the gold labels; guessed when None.
        group: a column whose rows must stay together (customer, document), so that certify asks about unseen ones.
        time: a column to sort by; the latest rows certify.
        metric: what the verdict is about.
        margin: how many points below the reference still count as good enough; 1.5 against a rung, 0 against a bar.
        alpha: the promised chance of crowning any candidate that is not good enough.
        against: the reference: "best" (the best rung on select) or a rung's name; None is the generalist where there is
            one, else the best.
        bar: an absolute reference from 0 to 1, in place of ``against``.
        limits: hard requirements.
        search: "down" fits every rung and tests from the largest nominee down; "up" climbs to the first proof,
            and makes nothing smaller.
        order_by: what "smaller" means: bytes on disk, or the measured median latency of one row.
        rungs: the rungs to race; None is every one that is installed, those of small language models only with ``llm``.
        shrink: which smaller models are made of the best candidates: "none"; "fast" prunes vocabularies and features
            and quantises; "taught" also lets the best teach the smaller rungs; "all" also drops and narrows layers.
        teacher: with shrink="taught" or "all", who teaches the smaller rungs and is made smaller itself, by name; None
            is the best of those that run here.
        generalist: the large model behind an endpoint that is raced with the others; None races without.
        encoder: the pre-trained encoder that the embedding rungs stand on: a name or folder; None takes the default.
        llm: the small language model that the mini rungs stand on (name, GGUF file or folder); asks for these rungs.
        trials: settings tried per rung.
        minutes: training time spent on one rung's search before it stops trying.
        budget_minutes: one budget for the fits of all rungs together, searched by successive halving; None gives each
            rung its own ``minutes``.
        seed: the only source of randomness.
        threads: threads for fitting and predicting; None takes the cores of this machine.
        offline: never touch the network.
        country: three-letter ISO code whose grid turns energy into CO2e; None takes the world's average.
    """

    text: str | None = None
    label: str | None = None
    group: str | None = None
    time: str | None = None
    metric: MetricName = "accuracy"
    margin: float | None = None
    alpha: float = 0.05
    against: str | None = None
    bar: float | None = None
    limits: Limits = field(default_factory=Limits)
    search: SearchMode = "down"
    order_by: OrderBy = "size"
    rungs: tuple[str, ...] | None = None
    shrink: Shrink = "fast"
    teacher: str | None = None
    generalist: Generalist | None = None
    encoder: str | None = None
    llm: str | None = None
    trials: int = 16
    minutes: float = 5.0
    budget_minutes: float | None = None
    seed: int = 0
    threads: int | None = None
    offline: bool = False
    country: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in (
            ("metric", MetricName),
            ("search", SearchMode),
            ("order_by", OrderBy),
            ("shrink", Shrink),
        ):
            if getattr(self, name) not in get_args(allowed):
                raise BadOption(f"{name} must be one of {list(get_args(allowed))}. Got {getattr(self, name)!r}.")
        if self.bar is not None and not 0 < self.bar < 1:
            hint = f" {self.bar:g} % is written {self.bar / 100:g}." if 1 < self.bar <= 100 else ""
            raise BadOption(f"The bar must lie between 0 and 1. Got {self.bar:g}.{hint}")
        if self.bar is not None and self.against is not None:
            raise BadOption(f"Choose one reference: the bar {self.bar:g} or the rung {self.against!r}.")
        if self.margin is not None and not 0 <= self.margin < 100:
            raise BadOption(f"The margin is in points, from 0 to below 100. Got {self.margin:g}.")
        if self.teacher is not None and not self.teaches:
            raise BadOption(
                f"A teacher is asked for with shrink='taught' or 'all' only. Got {self.teacher!r}, "
                f"shrink={self.shrink!r}."
            )
        self._check_numbers()
        self._check_stop_early()
        if self.search == "up" and self.bar is None and self.reference == "best":
            raise BadOption(
                "Climbing (search='up') stops at the first rung that is good enough, so its reference must be known "
                "without fitting every rung. Give a bar, as in bar=0.9, or a rung, as in against='frozen'."
            )
        if self.search == "up" and self.budget_minutes is not None:
            raise BadOption(
                "Climbing (search='up') fits one rung after the other and stops; a budget over all rungs needs "
                "search='down'."
            )
        if self.search == "up" and self.teaches:
            raise BadOption(
                "Climbing (search='up') makes nothing smaller: a proof would have to wait for it. "
                f"shrink={self.shrink!r} needs search='down'."
            )
        if self.search == "up" and self.order_by == "latency":
            raise BadOption(
                "Climbing (search='up') goes by the ladder's order; order_by='latency' needs search='down'."
            )

    def _check_stop_early(self) -> None:
        if self.generalist is None or not self.generalist.stop_early:
            return
        found = []
        if self.metric != "accuracy":
            found.append(f"the metric is {self.metric}, and the test that may stop early is about accuracy")
        if self.search == "up":
            found.append("search='up' asks every row before the first rung is fitted")
        if self.bar is not None:
            found.append(f"against the bar {self.bar:g} its answers decide nothing")
        if found:
            raise BadOption(f"Asking the generalist cannot stop early: {'; '.join(found)}. Leave --stop-early out.")

    def _check_numbers(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise BadOption(f"alpha must lie between 0 and 0.5. Got {self.alpha:g}.")
        if self.trials < 1:
            raise BadOption(f"At least one setting has to be tried per rung. Got trials={self.trials}.")
        if self.seed < 0:
            raise BadOption(f"The seed must be 0 or above. Got {self.seed}.")
        if not 0 < self.minutes < math.inf:
            raise BadOption(f"The search budget in minutes must be above zero. Got {self.minutes:g}.")
        if self.budget_minutes is not None and not 0 < self.budget_minutes < math.inf:
            raise BadOption(f"The budget in minutes must be above zero. Got {self.budget_minutes:g}.")
        if self.threads is not None and self.threads < 1:
            raise BadOption(f"The number of threads must be at least 1. Got {self.threads}.")

    @property
    def margin_fraction(self) -> float:
        """The margin as a fraction, with its default: 1.5 points against a rung, 0 against a bar."""
        if self.margin is not None:
            return self.margin / 100
        return 0.0 if self.bar is not None else DEFAULT_MARGIN_POINTS / 100

    @property
    def teaches(self) -> bool:
        """Whether a candidate teaches the smaller rungs."""
        return self.shrink in ("taught", "all")

    @property
    def reference(self) -> str:
        """Whom the others must not be worse than, when there is no bar."""
        return self.against or ("best" if self.generalist is None else NAME)

    def identity(self) -> dict[str, Any]:
        """The choices that make a study another one; what nobody chose is left out, so that new choices change none."""
        chosen = {name: value for name, value in self.to_json().items() if name not in NOT_IDENTITY}
        if self.generalist is not None:
            chosen["generalist"] = self.generalist.identity
        return {name: value for name, value in chosen.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """The options as plain JSON values."""
        return {**asdict(self), "rungs": None if self.rungs is None else list(self.rungs)}
