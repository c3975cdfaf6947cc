# SPDX-License-Identifier: Apache-2.0
"""The model card: what a stranger must know before using the model, in the form that the Hugging Face Hub reads.

Every figure stands beside its provenance; what is unknown is called unknown.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bigenough.quantity import Quantity

__all__ = ["model_card"]

About = Mapping[str, Any]

_METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
}
_HUB_METRICS = {"accuracy": "accuracy", "macro_f1": "f1", "balanced_accuracy": "balanced_accuracy"}
_FIGURES = {
    "size_mb": "size on disk",
    "n_parameters": "parameters",
    "startup_s": "start-up to the first prediction",
    "latency_p50_ms": "one row, median",
    "latency_p95_ms": "one row, 95th percentile",
    "latency_p99_ms": "one row, 99th percentile",
    "throughput_rows_per_s": "batches",
    "memory_mb": "memory over a bare interpreter with numpy",
    "serve_wh_per_1000": "electricity per 1,000 rows",
    "serve_co2e_g_per_1000": "emissions per 1,000 rows",
}
_HUB_LICENCES = {
    "apache-2.0": "apache-2.0",
    "apache 2.0": "apache-2.0",
    "apache license 2.0": "apache-2.0",
    "mit": "mit",
    "mit license": "mit",
    "bsd-3-clause": "bsd-3-clause",
    "cc-by-4.0": "cc-by-4.0",
    "cc0-1.0": "cc0-1.0",
}


def model_card(about: About) -> str:
    """The card as Markdown under a YAML head, from what ``specialist.json`` says."""
    sections = (
        _what(about),
        _use(about),
        _judged(about),
        _weak_spots(about),
        _data(about),
        _costs(about),
        _limitations(about),
        _how_to_use(about),
        _how_to_reproduce(about),
        _licences(about),
    )
    return f"---\n{_head(about)}---\n\n" + "\n".join(sections)


def _head(about: About) -> str:
    weights = about["weights"]
    data: dict[str, Any] = {"license": _licence(weights)}
    if data["license"] == "other":
        data["license_name"] = _flat(weights["licence"])
    if languages := _languages(about):
        data["language"] = languages
    data |= {
        "library_name": "bigenough",
        "pipeline_tag": "text-classification",
        "tags": ["bigenough", "text-classification", _flat(about["rung"])],
        "metrics": [_HUB_METRICS[name] for name in _HUB_METRICS if name in about["scores"]],
    }
    if weights.get("name"):
        data["base_model"] = _flat(weights["name"])
    data["model-index"] = [{"name": _flat(about["name"]), "results": [_result(about)]}]
    # JSON without control characters is YAML: one value a line needs no YAML writer and no quoting rules
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in data.items())


def _result(about: About) -> dict[str, Any]:
    metrics = []
    for name, score in _scores(about).items():
        if score.value is not None:
            entry: dict[str, Any] = {"type": _HUB_METRICS.get(name, name), "value": round(score.value, 6)}
            entry["name"] = f"{_METRICS.get(name, name)}{_interval(score, percent=False)}, {score.provenance}"
            metrics.append(entry)
    return {
        "task": {"type": "text-classification"},
        "dataset": {"name": _flat(about["source"] or about["name"]), "type": "private", "split": "certify"},
        "metrics": metrics,
    }


def _licence(weights: Mapping[str, str]) -> str:
    named = weights.get("licence", "").strip().lower()
    if not named or named == "unknown":
        return "unknown"
    return _HUB_LICENCES.get(named, "other")


def _languages(about: About) -> list[str]:
    return [code for code, share in about["languages"].items() if share >= 0.05 and 2 <= len(code) <= 3]


def _what(about: About) -> str:
    classes = about["classes"]
    shown = ", ".join(f"`{_inline(label)}`" for label in classes[:30])
    more = f" and {len(classes) - 30} more (all in `specialist.json`)" if len(classes) > 30 else ""
    line = [f"`{_inline(one['candidate'])}`, {_inline(one['summary'])}" for one in about["lineage"]]
    steps = f"\nIt was made step by step: {'; of that '.join(line)}.\n" if len(line) > 1 else ""
    return f"""# {_inline(about["name"])}

A narrow text classifier: {_inline(about["summary"])}.
It gives each text one of {len(classes)} classes, with probabilities.
{steps}
Classes: {shown}{more}.
"""


def _use(about: About) -> str:
    languages = ", ".join(_languages(about)) or "not determined"
    return f"""## Intended use

Sorting texts like those it was judged on: texts of the column `{_inline(about["text_column"])}` that arise in the same
way and in the same languages ({languages}). It knows no class beside its own and always names one of them; act on low
probabilities with care. It is no general model and follows no instructions.
"""


def _judged(about: About) -> str:
    task, splits = about["task"], about["splits"]
    rows = [
        (
            _METRICS.get(name, name),
            _value(score, percent=name not in ("log_loss",)),
            f"{score.provenance}: {score.source}",
        )
        for name, score in _scores(about).items()
    ]
    limits = ", ".join(f"{name} at most {limit:g}" for name, limit in task["limits"].items()) or "none"
    return f"""## How it was judged

> {_inline(about["verdict"]["sentence"])}

The verdict is "{about["verdict"]["answer"]}" for {_METRICS[task["metric"]]}, with a margin of {100 * task["margin"]:g}
points and a chance of at most {100 * task["alpha"]:g} % of crowning a model that is not good enough.
Hard limits: {limits}. Settings were chosen on the split *select*; the split *certify* ({splits.get("certify", 0):,}
rows) was opened once, by the verdict, and the model that answered there was loaded from the very files in `model/`.

{_table(("on certify", "value [95 % interval]", "provenance"), rows)}
"""


def _weak_spots(about: About) -> str:
    known = [row for row in about["per_class"] if row["n"]]
    weakest = sorted(known, key=lambda row: (row["f1"], -row["n"]))[:10]
    rows = [
        (row["label"], f"{row['n']:,}", _ratio(row["recall"]), _ratio(row["precision"]), f"{100 * row['f1']:.1f} %")
        for row in weakest
    ]
    unseen = [row["label"] for row in about["per_class"] if not row["n"]]
    parts = [
        "## Where it is weak\n",
        f"Measured on certify; n counts certify's rows. The {len(rows)} weakest classes:\n",
    ]
    parts.append(_table(("class", "n", "found (recall)", "right when named (precision)", "F1"), rows))
    if unseen:
        parts.append(f"\nNothing is known of classes without a row in certify: {_names(unseen)}.")
    if about["confusions"]:
        pairs = [(row["gold"], row["predicted"], str(row["count"])) for row in about["confusions"][:10]]
        parts.append("\nMost frequent confusions, counted on certify:\n")
        parts.append(_table(("is", "was taken for", "rows"), pairs))
    return "\n".join(parts) + "\n"


def _data(about: About) -> str:
    splits = about["splits"]
    counted = "; ".join(f"{name} {splits[name]:,}" for name in ("fit", "select", "certify") if name in splits)
    return f"""## Training data

Text column `{_inline(about["text_column"])}` and label column `{_inline(about["label_column"])}` of
{_inline(about["source"]) or "the user's table"}. Rows, counted: {counted}. It was trained on fit and select together.
{_labelled(about)}{_inside(about)}
"""


def _inside(about: About) -> str:
    """What of the table is in the folder."""
    rows = about.get("rows_inside", 0)
    if not rows:
        return "The table itself is not part of this folder; a model may still hold words of it (a vocabulary does)."
    told = "One row of the table stands" if rows == 1 else f"{rows:,} rows of the table stand"
    return (
        f"{told} in `model/predictor.json`, word for word, as examples of the prompt; the rest is not in this folder."
    )


def _labelled(about: About) -> str:
    """Whose labels taught it, where a generalist labelled."""
    found = about.get("labelled")
    if not found:
        return ""
    people = f", {found['by_people']:,} that of people" if found.get("by_people") else ""
    return (
        f"Of these {found['by_generalist']:,} have the label of a generalist{people}; every label of certify is one "
        "of people's.\n"
    )


def _costs(about: About) -> str:
    figures = {
        name: Quantity.from_json(about["performance"][name]) for name in _FIGURES if name in about["performance"]
    }
    figures |= {f"training, {name}": Quantity.from_json(value) for name, value in about["energy"].items()}
    titles = _FIGURES | {"training, wh": "electricity of training", "training, co2e_g": "emissions of training"}
    rows = [(titles.get(name, name), str(q), f"{q.provenance}: {q.source}") for name, q in figures.items()]
    machine = about["machine"]
    where = "Machine: unknown."
    if machine:
        flags = " ".join(machine.get("flags", [])) or "not told by the system"
        where = (
            f"Machine: {_inline(machine['cpu'])}, {machine['cores']} cores, {machine['memory_gb']:g} GB, "
            f"{_inline(machine['os'])}, {_inline(machine['python'])}. CPU features: {flags}. "
            f"Threads: {about['threads'] or 'the default'}."
        )
    table = _table(("what", "value [range]", "provenance"), rows)
    return f"## Size, speed and energy\n\n{table}\n\n{where}\n{_steadiness(about['performance'].get('determinism'))}"


def _steadiness(determinism: Mapping[str, Any] | None) -> str:
    if not determinism or not determinism["checks"]:
        return ""
    checks = determinism["checks"]
    flips = max(check["label_flips"] for check in checks)
    off = max(check["max_probability_difference"] for check in checks)
    ways = ", ".join(check["check"] for check in checks)
    return (
        f"\nAsked again about {determinism['rows']} rows in {len(checks)} other ways ({ways}), measured: at most "
        f"{flips} labels differed in any of them, and probabilities by at most {off:.2g}.\n"
    )


def _limitations(about: About) -> str:
    proof = [f"- {_inline(sentence)}" for sentence in about["verdict"]["limits_of_proof"]]
    weights = about["weights"]
    if "note" in weights:
        proof.append(f"- Of the encoder {_inline(weights['name'])}: {_inline(weights['note'])}.")
    notes = {one["candidate"]: one["note"] for one in about["lineage"] if "note" in one}
    proof += [f"- Of {_inline(name)}: {_inline(note)}." for name, note in notes.items()]
    general = [
        "- The verdict holds for rows like those of certify. It says nothing of other sources, times or languages.",
        "- Scores are averages: a class with few rows in certify may be much worse than its figure.",
        "- It learned the labels as they were given, with their errors and their bias.",
        "- Hashes in this folder show damage and mix-ups. They are no signature.",
    ]
    return "\n".join(["## Limitations\n", *proof, *general]) + "\n"


def _how_to_use(about: About) -> str:
    return f"""## How to use

    pip install bigenough=={about["bigenough"]}

```python
import bigenough

specialist = bigenough.load("path/to/this/folder")      # checks every file's hash
specialist.predict(["a text", "another one"])           # labels
specialist.predict_proba(["a text", "another one"])     # a row of probabilities each, ordered as specialist.classes
specialist.self_check()                                 # does this machine compute as the one that judged it?
```

Or from a terminal: `bigenough predict path/to/this/folder new.csv`.
"""


def _how_to_reproduce(about: About) -> str:
    return f"""## How to reproduce

Study `{about["study"]}`, candidate `{about["candidate"]}`, made {about["created"]} by bigenough {about["bigenough"]}.
`bigenough verify STUDY` recomputes every score and test from the stored predictions, row by row. Settings, package
versions and the SHA-256 of every file are in `specialist.json`.
"""


def _licences(about: About) -> str:
    weights = about["weights"]
    if not weights:
        text = (
            "It stands on no pre-trained weights: it was learned from the table alone, whose owner decides on its use."
        )
    else:
        facts = "; ".join(f"{_inline(key)}: {_inline(value)}" for key, value in weights.items() if key != "note")
        text = f"Pre-trained weights: {facts}. What was learned on top is its owner's."
    return f"## Licences\n\n{text} bigenough itself is under Apache-2.0.\n"


def _scores(about: About) -> dict[str, Quantity]:
    return {name: Quantity.from_json(score) for name, score in about["scores"].items()}


def _value(score: Quantity, *, percent: bool) -> str:
    if score.value is None:
        return "unknown"
    number = f"{100 * score.value:.1f} %" if percent else f"{score.value:.4g}"
    return number + _interval(score, percent=percent)


def _interval(score: Quantity, *, percent: bool) -> str:
    if score.low is None or score.high is None:
        return ""
    low, high = (f"{100 * x:.1f}" if percent else f"{x:.4g}" for x in (score.low, score.high))
    return f" [{low}, {high}]"


def _ratio(value: Any) -> str:
    """A share that comes as a quantity, a plain number or nothing."""
    if value is None:
        return "unknown"
    if isinstance(value, Mapping):
        return _value(Quantity.from_json(value), percent=True)  # type: ignore[arg-type]
    return f"{100 * value:.1f} %"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _names(labels: Sequence[str]) -> str:
    return ", ".join(f"`{_inline(label)}`" for label in labels[:30]) + (", ..." if len(labels) > 30 else "")


def _inline(text: object) -> str:
    """A user's words on one line, with nothing in them that Markdown or a browser would act upon."""
    return _flat(text).replace("`", "'").replace("<", "&lt;").replace(">", "&gt;")


def _flat(text: object) -> str:
    """A user's words on one line, without line breaks, control characters and half pairs of any kind."""
    broken = ("Cc", "Cs", "Zl", "Zp")
    return " ".join("".join(" " if unicodedata.category(c) in broken else c for c in str(text)).split())


def _cell(text: object) -> str:
    return _inline(text).replace("|", "\\|")
