# SPDX-License-Identifier: Apache-2.0
"""A small language model asked for the label in words, directly and as an endpoint, beside the small rungs.

Every model is fitted on the whole official train set, at the first settings of its rung and the changes that its name
tells, and asked about the same test rows, one by one. Directly means through ``mini``; as an endpoint means that
llama.cpp's own server has the same file and ``generalist`` asks it over HTTP. The verdicts are those that a study would
come to with either as the reference; the small rungs stand in the order of their bytes.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import rows
import sets
from model_server import Server, served
from rows import Bench, Failed

if TYPE_CHECKING:
    from bigenough.measure.energy import PowerModel

NAMES = ("banking77", "sst2", "ag_news", "sms_spam")
TEST_ROWS, SEED = 500, 0
PART = "language_models"


class Model(NamedTuple):
    """A row of the table: a rung, and what differs from its first settings."""

    rung: str
    changes: Mapping[str, Any] = {}


RECIPES = {
    "linear": "bigenough.rungs.linear:LinearRung",
    "static": "bigenough.rungs.static:StaticRung",
    "frozen": "bigenough.rungs.frozen:FrozenRung",
    "mini": "bigenough.rungs.mini:MiniRung",
}
SMALL = ("linear", "static", "frozen")
ENDPOINT = "generalist"
MODELS = {
    **{name: Model(name) for name in SMALL},
    "mini, zero-shot": Model("mini", {"shots": 0, "scoring": "plain"}),
    "mini, zero-shot, content-free": Model("mini", {"shots": 0, "scoring": "content-free"}),
    "mini, few-shot": Model("mini", {"scoring": "plain"}),
    "mini, few-shot, corrected": Model("mini"),
    "mini, few-shot, generated": Model("mini", {"scoring": "answer"}),
    "endpoint, zero-shot": Model(ENDPOINT, {"shots": 0}),
    "endpoint, few-shot": Model(ENDPOINT),
}
ALIKE = {
    "mini, zero-shot": "mini, zero-shot, content-free",
    "mini, few-shot": "mini, few-shot, corrected",
}
"""Two ways that read the same prompts and differ in the correction: made together, each text read once."""
REFERENCES = ("mini, few-shot, corrected", "endpoint, few-shot")
QUESTIONS = {
    "Few-shot against zero-shot": (
        ("mini, few-shot", "mini, zero-shot"),
        ("endpoint, few-shot", "endpoint, zero-shot"),
    ),
    "Scoring all labels, corrected on fit rows, against generating one": (
        ("mini, few-shot, corrected", "mini, few-shot, generated"),
    ),
}


def run(bench: Bench, names: tuple[str, ...], done: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows that are not done yet, one at a time, and after each set its verdicts and paired differences."""
    for name in names:
        split = sampled(bench, name)
        figures = {row: done[f"{name} | {row}"] for row in MODELS if f"{name} | {row}" in done}
        wanted = [row for row, model in MODELS.items() if bench.rungs is None or model.rung in bench.rungs]
        stale = any(f"{name} | {part}" not in done for part in ("verdicts", "differences", "answers"))
        with ExitStack() as stack:
            server: Server | None = None
            for row in wanted:
                if row in figures and "failed" not in figures[row]:
                    continue
                try:
                    if MODELS[row].rung == ENDPOINT and server is None:
                        server = stack.enter_context(served(threads=bench.threads))
                    found = _rows(bench, split, row, server)
                except Failed as error:
                    found = {row: {"failed": str(error)}}
                for each, made in found.items():
                    print(f"{PART}: {name} | {each}: {made.get('failed', 'done')}", file=sys.stderr)
                    figures[each], stale = {"set": name, "model": each, **made}, True
                    yield {f"{name} | {each}": figures[each]}
        if stale:
            yield {
                f"{name} | verdicts": {"set": name, "verdicts": _verdicts(bench, name, figures)},
                f"{name} | differences": {"set": name, "differences": _differences(bench, name, figures)},
                f"{name} | answers": {"set": name, "answers": _answers(bench, name, figures)},
            }


def sampled(bench: Bench, name: str) -> sets.Split:
    """The official train set and a sample of the test set, the same for every model and every run."""
    split = bench.load(name)
    return sets.Split(name, split.train, split.test.sample(min(TEST_ROWS, len(split.test)), seed=SEED))


def job_of(bench: Bench, split: sets.Split) -> dict[str, Any]:
    """What every piece of work of ``ours.py`` on a split needs to know."""
    return {
        "texts": split.train["text"].to_list(),
        "labels": split.train["label"].to_list(),
        "test": split.test["text"].to_list(),
        "classes": sorted(split.train["label"].unique()),
        "threads": bench.threads,
        "seed": SEED,
    }


def figures_of(said: Mapping[str, Any], gold: Sequence[str], power: PowerModel | None) -> dict[str, Any]:
    """A row's figures from what its process said."""
    wh = None
    if power is not None and said["timed_rows"]:
        wh = power.energy(said["cpu_s"], said["asked_s"], "asking the test rows").wh
    return {
        **rows.quality(gold, said["predicted"]),
        "rows": len(gold),
        "ms": said["ms"],
        "mwh": None if wh is None or wh.value is None else 1000 * wh.value / said["timed_rows"],
        "energy": None if wh is None else wh.source.partition("; ")[2],
        "timed_rows": said["timed_rows"],
        "unnamed": said["unnamed"],
        "fit_s": said.get("train_seconds"),
        "size_bytes": said.get("size_bytes"),
        "settings": said["settings"],
    }


@cache
def power() -> PowerModel | None:
    """The model of this machine's energy; None when codecarbon has none for its processor."""
    from bigenough.measure.energy import EnergyMeter

    return EnergyMeter().power


def _rows(bench: Bench, split: sets.Split, row: str, server: Server | None) -> dict[str, dict[str, Any]]:
    """The figures of a row, and of the one that is made together with it."""
    model, job = MODELS[row], job_of(bench, split)
    folder = bench.cache / PART / split.name
    folder.mkdir(parents=True, exist_ok=True)
    if server is not None and model.rung == ENDPOINT:
        asked = {"url": server.url, "model": server.model, "server": server.pid, "changes": dict(model.changes)}
        said = {row: bench.ask("ours.py", "endpoint", {**job, **asked, "store": str(folder / "replies.sqlite")})}
    elif row in ALIKE:
        ways = {each: dict(MODELS[each].changes) for each in (row, ALIKE[row])}
        said = bench.ask("ours.py", "asked_alike", {**job, "rung": RECIPES[model.rung], "ways": ways})["ways"]
    else:
        changes = dict(model.changes)
        said = {row: bench.ask("ours.py", "asked", {**job, "rung": RECIPES[model.rung], "changes": changes})}
    gold = split.test["label"].to_list()
    found = {}
    for each, one in said.items():
        rows.keep(_path(bench, split.name, each), gold, one["predicted"])
        told = {key: one[key] for key in ("tally", "structured") if key in one}
        found[each] = {**figures_of(one, gold, power()), "threads": bench.threads, **told}
    return found


def _verdicts(bench: Bench, name: str, figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What ``decide`` says of the small rungs against each reference, from the largest rung down."""
    from bigenough.verdict import Nominee, Reference, decide

    made = [row for row in (*SMALL, *REFERENCES) if row in figures and "failed" not in figures[row]]
    said = {row: rows.kept(_path(bench, name, row)) for row in made}
    small = sorted(set(SMALL) & set(made), key=lambda row: figures[row]["size_bytes"], reverse=True)
    found = []
    for reference in (row for row in REFERENCES if small and row in said):
        gold, theirs, *ours = rows.codes(said[reference][0], said[reference][1], *(said[row][1] for row in small))
        verdict = decide(
            gold,
            [Nominee(row, figures[row]["size_bytes"], codes) for row, codes in zip(small, ours, strict=True)],
            Reference(reference, theirs, figures[reference]["size_bytes"], chosen="named"),
        )
        found.append({"reference": reference, "answer": verdict.answer, "sentence": verdict.sentence})
    return found


def _differences(bench: Bench, name: str, figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The paired differences in accuracy that the lines below the table are counted from."""
    found = []
    for question, pairs in QUESTIONS.items():
        for one, other in pairs:
            if any(row not in figures or "failed" in figures[row] for row in (one, other)):
                continue
            gold, first = rows.kept(_path(bench, name, one))
            second = rows.kept(_path(bench, name, other))[1]
            difference = rows.difference("accuracy", gold, first, second)
            found.append({"question": question, "one": one, "other": other, "difference": difference})
    return found


def _answers(bench: Bench, name: str, figures: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """For each model the share of the rows that got its commonest answer, and of those whose label that is."""
    found = {}
    for row in (row for row in figures if "failed" not in figures[row]):
        gold, said = rows.kept(_path(bench, name, row))
        answer, times = Counter(said).most_common(1)[0]
        found[row] = {"said": times / len(said), "gold": gold.count(answer) / len(gold)}
    return found


def _path(bench: Bench, name: str, row: str) -> Path:
    return bench.cache / PART / name / f"{rows.slug(row)}.npz"


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown."""
    made = [each for each in results.values() if "model" in each]
    shown = max((each["rows"] for each in made if "rows" in each), default=0)
    threads = max((each["threads"] for each in made if "threads" in each), default=0)
    sources = {each["energy"]: None for each in made if each.get("energy")}
    lines = [
        f"Every model learns from the official train set at its rung's first settings and is asked about {shown} test "
        f"rows, one by one, on {threads} thread{'s' if threads > 1 else ''}. Milliseconds are the median; through the "
        "endpoint they are those of the request. Two ways that differ only in the correction are read once. Energy is "
        "modelled from processor time, the server's included. *No label*: rows whose answer named none; such a row "
        "counts as right with a chance of one in as many as there are classes. *Commonest answer*: the share of the "
        "rows that got it, and in brackets that of the rows whose label it is.",
        "",
        "| set | model | accuracy [95 %] | macro F1 | ms a row | mWh a row | no label | fit s | commonest answer |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    names = list(dict.fromkeys(each["set"] for each in made))
    for name in names:
        about = name
        for row in (row for row in MODELS if f"{name} | {row}" in results):
            share = _share(results.get(f"{name} | answers", {}).get("answers", {}).get(row))
            lines.append(f"| {about} | {row} | {row_of(results[f'{name} | {row}'])} | {share} |")
            about = ""
    lines += ["", *(f"Energy: {source}." for source in sources), ""]
    lines += ["| set | reference | verdict |", "| --- | --- | --- |"]
    for each in (each for each in results.values() if "verdicts" in each):
        lines += [f"| {each['set']} | {one['reference']} | {one['sentence']} |" for one in each["verdicts"]]
    return "\n".join([*lines, "", *_counted(results)])


def row_of(each: Mapping[str, Any]) -> str:
    """The cells of a row's figures."""
    if "failed" in each:
        return f"failed: {each['failed'].replace('|', '/')} | | | | | "
    mwh = "unknown" if each["mwh"] is None else f"{each['mwh']:.3g}"
    ms = f"{each['ms']:,.0f}" if each["ms"] >= 100 else f"{each['ms']:.3g}"
    fit = "" if each["fit_s"] is None else f"{each['fit_s']:,.1f}"
    return (
        f"{rows.percent(each['accuracy'])} | {100 * each['macro_f1']['value']:.1f} | {ms} | {mwh} "
        f"| {each['unnamed']} | {fit}"
    )


def _why(name: str, one: str, other: str, results: Mapping[str, Any]) -> str:
    """Where the first way lost: how much each of the two leans to one answer."""
    leaning = results[f"{name} | answers"]["answers"]
    told = " and ".join(f"*{row}* to {100 * leaning[row]['said']:.0f} % of the rows" for row in (one, other))
    return f"Where it lost, on {name}: one answer is given by {told}"


def _share(commonest: Mapping[str, float] | None) -> str:
    return "" if commonest is None else f"{100 * commonest['said']:.0f} % ({100 * commonest['gold']:.0f} %)"


def _counted(results: Mapping[str, Any]) -> list[str]:
    """One line a question: on how many sets the first way is shown better, or worse, with every difference."""
    found = [(each["set"], one) for each in results.values() for one in each.get("differences", ())]
    lines = []
    for question, pairs in QUESTIONS.items():
        told = []
        for one, other in pairs:
            seen = [(name, each["difference"]) for name, each in found if (each["one"], each["other"]) == (one, other)]
            better, worse = sum(d["low"] > 0 for _, d in seen), sum(d["high"] < 0 for _, d in seen)
            each_set = "; ".join(f"{name} {rows.percent(d)}" for name, d in seen)
            lost = [name for name, d in seen if d["high"] < 0]
            told.append(
                f"*{one}* − *{other}*: shown better on {better} and worse on {worse} of {len(seen)} sets ({each_set})"
                if seen
                else f"*{one}* − *{other}*: not measured"
            )
            told += [_why(name, one, other, results) for name in lost]
        lines.append(f"- {question}, paired difference in accuracy [95 %], in points. {'. '.join(told)}.")
    return lines
