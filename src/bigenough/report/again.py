# SPDX-License-Identifier: Apache-2.0
"""The command that makes a study again, from what study.json knows of it, and what the command cannot say.

The command gives the very options of the study: with others, a guessed column's name among them, it would make
another one. Secrets are in none of them: an endpoint's address is refused with one, and keys come from the environment.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any

from bigenough.chat.terms import KEY_VARIABLE
from bigenough.duration import duration_text
from bigenough.generalist import Generalist
from bigenough.options import Options
from bigenough.report.files import Json

__all__ = ["fit_command", "key_told", "unnamed_inputs"]

_FLAGS = {
    "text": "--text", "label": "--label", "group": "--group", "time": "--time", "metric": "--metric",
    "margin": "--margin", "against": "--against", "bar": "--bar", "alpha": "--alpha", "search": "--search",
    "order_by": "--order-by", "rungs": "--rungs", "shrink": "--shrink", "teacher": "--teacher", "encoder": "--encoder",
    "llm": "--llm", "trials": "--trials", "minutes": "--minutes", "budget_minutes": "--budget", "seed": "--seed",
    "threads": "--threads", "offline": "--offline", "country": "--country",
}  # fmt: skip
"""Of every option; limits and the generalist, which have fields of their own, are below."""
_LIMITS = {
    "latency_p95_ms": "--max-latency-p95-ms", "memory_mb": "--max-memory-mb", "size_mb": "--max-size-mb",
}  # fmt: skip
_GENERALIST = {
    "url": "--generalist", "model": "--generalist-model", "usd": "--generalist-usd", "tokens": "--generalist-tokens",
    "price_in": "--price-in", "price_out": "--price-out", "key_variable": "--key-variable",
    "reply_tokens": "--reply-tokens", "stop_early": "--stop-early",
}  # fmt: skip
_INPUTS = {
    "test": "an official test set (--test, unless the table is a folder that brings its own)",
    "unlabelled": "texts without labels (--unlabelled)",
    "descriptions": "descriptions of the classes (--descriptions)",
}
"""What a study may be given beside its table, by the name of its hash in the study's identity."""


def fit_command(study: Json) -> str:
    """``bigenough fit`` with the table and every option that differs from its default, quoted for a shell."""
    options = dict(study.get("options") or {})
    if options.get("bar") is not None:
        options["against"] = None
    chosen = [
        *_chosen(options, _FLAGS, Options().to_json()),
        *_chosen(options.get("limits") or {}, _LIMITS, {}),
        *_chosen(options.get("generalist") or {}, _GENERALIST, _defaults_of_generalist()),
    ]
    source = study.get("source", {})
    table = "TABLE" if source.get("in_memory") else str(source.get("path", "TABLE"))
    return " \\\n    ".join(shlex.join(words) for words in (["bigenough", "fit", table], *chosen))


def unnamed_inputs(study: Json) -> str | None:
    """What the study was given of which study.json holds a hash and no path; None if nothing."""
    told, source = [], study.get("source", {})
    if source.get("in_memory"):
        told.append(f"The table was given as {source.get('path')}: TABLE stands for a file of it.")
    given = [name for key, name in _INPUTS.items() if (study.get("identity") or {}).get(key) is not None]
    if given:
        listed = given[0] if len(given) == 1 else f"{', '.join(given[:-1])} and {given[-1]}"
        told.append(
            f"This study was also given {listed}. Where they lie is not recorded: without the same ones the command "
            "makes another study."
        )
    return " ".join(told) or None


def key_told(study: Json) -> str | None:
    """Where the generalist's key is read from; None without one."""
    asked = (study.get("options") or {}).get("generalist")
    if not asked:
        return None
    return f"The generalist's key, if it needs one, is read from {asked.get('key_variable') or KEY_VARIABLE}."


def _chosen(given: Json, flags: Mapping[str, str], defaults: Json) -> Iterator[list[str]]:
    for name, flag in flags.items():
        value = given.get(name)
        if value is None or value == defaults.get(name):
            continue
        yield [flag] if value is True else [flag, _written(name, value)]


def _written(name: str, value: Any) -> str:
    if name == "budget_minutes":
        return duration_text(value)
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


def _defaults_of_generalist() -> dict[str, Any]:
    return {field.name: field.default for field in fields(Generalist) if field.default is not MISSING}
