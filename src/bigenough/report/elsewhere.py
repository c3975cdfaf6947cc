# SPDX-License-Identifier: Apache-2.0
"""The section on what runs elsewhere: when and by which systems it was answered, what came of it, what it was told."""

from __future__ import annotations

from bigenough.chat.prompt import Prompt
from bigenough.report.files import Json
from bigenough.report.markup import Html, element, join, table
from bigenough.report.numbers import count
from bigenough.report.view import Contender, View

__all__ = ["elsewhere", "failures_told"]

_SYSTEMS = 4
"""Fingerprints that are named; of more, how many there are."""


def elsewhere(view: View) -> Html | None:
    """How each model that runs elsewhere answered; None where none does, or nothing of it was recorded."""
    found = [told for one in view.contenders if one.remote and (told := _answered(one)) is not None]
    return join(found) if found else None


def failures_told(answers: Json) -> str:
    """How many rows got no label, and why, in words.

    >>> failures_told({"rows": 640, "failures": {"empty": 1, "refusal": 2, "no known label": 0}})
    '3 of 640 replies named no label: 1 empty, 2 refusal'
    >>> failures_told({"rows": 64, "failures": {"empty": 0}})
    'all 64 replies named a label'
    """
    failed = {kind: int(n) for kind, n in answers["failures"].items() if n}
    if not failed:
        return f"all {count(answers['rows'])} replies named a label"
    kinds = ", ".join(f"{count(n)} {kind}" for kind, n in failed.items())
    return f"{count(sum(failed.values()))} of {count(answers['rows'])} replies named no label: {kinds}"


def _answered(one: Contender) -> Html | None:
    record = one.files.candidate.get("record") or {}
    splits = {"select": record.get("select"), "certify": (one.files.evidence or {}).get("answers")}
    told = {split: answers for split, answers in splits.items() if answers and "failures" in answers}
    asked = (one.files.performance or {}).get("replies")
    if not told and not asked:
        return None
    whose = (one.files.candidate.get("weights") or {}).get("name")
    head = element(
        "p", element("strong", one.name), f" is {whose}." if whose else " runs elsewhere.", " ", _when(told, asked)
    )
    return join([head, _tally(one, told) if told else None, _prompt(record)])


def _when(told: dict[str, Json], asked: Json | None) -> str:
    """The moments of the first and the last reply, and the systems that the endpoint says they came from."""
    seen = [each for each in (asked, *(answers.get("replies") for answers in told.values())) if each and each["n"]]
    if not seen:
        return "When it was asked is not recorded."
    first, last = min(each["first"] for each in seen), max(each["last"] for each in seen)
    systems = sorted({name for each in seen for name in each["fingerprints"]})
    when = f"It was asked from {_minute(first)} to {_minute(last)} (UTC)."
    if not systems:
        return f"{when} The endpoint names no system (system_fingerprint): whether it changed meanwhile is unknown."
    if len(systems) == 1:
        return f"{when} All replies with a system_fingerprint came from one system: {systems[0]}."
    more = f" and {count(len(systems) - _SYSTEMS)} more" if len(systems) > _SYSTEMS else ""
    return (
        f"{when} Replies came from {count(len(systems))} systems (system_fingerprint): "
        f"{', '.join(systems[:_SYSTEMS])}{more}. The model may have changed meanwhile."
    )


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _tally(one: Contender, told: dict[str, Json]) -> Html:
    kinds = list(dict.fromkeys(kind for answers in told.values() for kind in answers["failures"]))
    others = {"cut_off": "cut off", "examples_left_out": "fewer examples", "texts_cut": "text cut"}
    rows = [
        [
            split,
            count(answers["rows"]),
            count(answers["rows"] - sum(answers["failures"].values())),
            *(count(answers["failures"].get(kind, 0)) for kind in kinds),
            *(count(answers.get(name, 0)) for name in others),
        ]
        for split, answers in told.items()
    ]
    found = table(
        f"How {one.name} answered", ["Split", "Replies", "named a label", *kinds, *others.values()], rows, kind="dense"
    )
    note = element(
        "p",
        "A row whose reply names no label counts as right with a chance of one in as many as there are classes. "
        "Cut off: the reply reached its bound of tokens. Fewer examples, text cut: the prompt was too long for the "
        "model.",
        class_="note",
    )
    return join([found, note])


def _prompt(record: Json) -> Html | None:
    if not record.get("prompt"):
        return None
    prompt = Prompt.of(record["prompt"])
    shown = f"Layout: {prompt.layout}; examples are answered as {prompt.form}, and chosen among those in shots.json."
    told = element("pre", prompt.preamble)
    return element("details", element("summary", "The prompt that was chosen on select"), told, element("p", shown))
