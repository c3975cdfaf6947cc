# SPDX-License-Identifier: Apache-2.0
"""What stopping early did: how many certify rows a paid reference was asked about, and what was saved; or why not."""

from __future__ import annotations

from typing import cast

from bigenough.quantity import Quantity, modelled, unknown
from bigenough.quantity.quantity import QuantityJson
from bigenough.report.files import Json
from bigenough.report.numbers import count, dollars
from bigenough.verdict.stopping import why_all_rows

__all__ = ["asking_sentence", "not_early_sentence", "saved_usd"]

_PER = 1000


def saved_usd(verdict: Json, performance: Json | None) -> Quantity:
    """The price of the certify rows that were not asked, at the mean price of those that were asked before certify.

    Args:
        verdict: verdict.json of a study that stopped early.
        performance: performance.json of its reference.

    >>> price = modelled(0.3, "USD", "tokens × price").to_json()
    >>> saved_usd({"early": {"asked": 640, "of": 2000}}, {"serve_usd_per_1000": price}).value
    0.408
    """
    early, found = verdict["early"], (performance or {}).get("serve_usd_per_1000")
    saved = early["of"] - early["asked"]
    price = None if found is None else Quantity.from_json(cast("QuantityJson", found))
    if price is None or price.value is None:
        return unknown("USD", "the price of a request is unknown" if price is None else price.source)
    low, high = (None if end is None else end * saved / _PER for end in (price.low, price.high))
    source = f"{count(saved)} rows not asked × the mean price of a request; {price.source}"
    return modelled(price.value * saved / _PER, price.unit, source, low=low, high=high)


def asking_sentence(verdict: Json, performance: Json | None) -> str:
    """What was asked, what ended it and what that saved.

    >>> early = {"asked": 640, "of": 2000, "stopped_because": "decided"}
    >>> asking_sentence({"early": early, "reference": {"name": "generalist"}}, None).partition("; ")[2]
    '1,360 requests saved.'
    """
    early, name = verdict["early"], verdict["reference"]["name"]
    if early["asked"] == early["of"]:
        return f"{name} was asked about all {count(early['of'])} certify rows: it took them all."
    ended = "until the verdict was settled" if early["stopped_because"] == "decided" else "until the budget was spent"
    money = saved_usd(verdict, performance)
    about = "" if money.value is None else f", about {dollars(money.value)}"
    return (
        f"{name} was asked about {count(early['asked'])} of {count(early['of'])} certify rows, in an order drawn "
        f"beforehand, {ended}; {count(early['of'] - early['asked'])} requests saved{about}."
    )


def not_early_sentence(study: Json, verdict: Json, *, paid: bool) -> str | None:
    """Why every certify row was asked although stopping early was wished; None where it was not wished, or was done.

    Args:
        study: study.json.
        verdict: verdict.json.
        paid: whether the reference runs elsewhere.

    >>> wished = {"options": {"generalist": {"stop_early": True}}}
    >>> not_early_sentence(wished, {"early": None, "comparisons": [{}], "n_groups": 40}, paid=True)
    'Asking could not stop early: certify rows stand in groups, and the test for stopping early takes independent rows.'
    """
    generalist = (study.get("options") or {}).get("generalist") or {}
    if verdict.get("early") or not generalist.get("stop_early"):
        return None
    grouped = verdict.get("n_groups") is not None
    reason = why_all_rows(paid=paid, nominees=len(verdict["comparisons"]), grouped=grouped)
    return None if reason is None else f"Asking could not stop early: {reason}."
