# SPDX-License-Identifier: Apache-2.0
"""Measure everything again and rebuild RESULTS.md: ``python benchmarks/run.py DATA``.

DATA is a folder with one folder a set (train.csv, test.csv with columns text and label; masakhanews: LANG.train.csv).
``--only`` measures some parts and keeps the stored figures of the others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import overhead
import quality
import sets
import single_row
import startup

HERE = Path(__file__).parent
PARTS = ("startup", "single_row", "overhead", "quality")
TITLES = {
    "quality": "Quality per rung, verdict, seconds and memory",
    "single_row": "One row at a time",
    "startup": "Start-up",
    "overhead": "Overhead of a study",
}
MODULES = {"quality": quality, "single_row": single_row, "startup": startup, "overhead": overhead}


def measure(part: str, data: Path, names: tuple[str, ...], threads: int) -> Iterator[dict]:
    """The part's figures, as soon as there are some; a later dict adds to the earlier ones."""
    if part == "quality":
        for name in names:
            yield quality.run(data, name, threads=threads)
    elif part == "startup":
        yield startup.run()
    else:
        yield MODULES[part].run(data, threads=threads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--sets", nargs="+", default=sets.NAMES)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    stored = HERE / "results"
    stored.mkdir(exist_ok=True)
    for part in given.only:
        path = stored / f"{part}.json"
        kept = json.loads(path.read_text())["figures"] if part == "quality" and path.exists() else {}
        for more in measure(part, given.data, tuple(given.sets), given.threads):
            kept |= more
            write_figures(path, kept)
    write_page(stored)


def write_figures(path: Path, figures: dict) -> None:
    from bigenough.measure.machine import machine, package_versions

    about = {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": machine().to_json(),
        "packages": package_versions(),
    }
    path.write_text(json.dumps({**about, "figures": figures}, indent=1) + "\n")


def write_page(stored: Path) -> None:
    lines = [
        "# Results",
        "",
        "Rebuilt by `python benchmarks/run.py DATA` (see `benchmarks/run.py`). Every row that was measured is here,",
        "those that bigenough loses included. Test sets are the official ones; nothing was chosen on them. A *peer* is",
        "the same recipe written directly in scikit-learn and onnxruntime, on the same rows in the same run",
        "(`benchmarks/peers.py`).",
        "",
        "Where the static rung stands: its token vectors come from the encoder, and each token seen in training may",
        "move away from them (setting `freedom`), so on English it knows what the encoder knows of words and what the",
        "labels say of them, and stands beside or above linear. It knows no word order, so it stays below frozen where",
        "wording matters (intents), and below linear in languages whose words the encoder never met.",
    ]
    for part in ("quality", "overhead", "single_row", "startup"):
        path = stored / f"{part}.json"
        if not path.exists():
            continue
        content = json.loads(path.read_text())
        box = content["machine"]
        lines += ["", f"## {TITLES[part]}", "", MODULES[part].table(content["figures"]), ""]
        lines.append(f"Measured {content['measured']}: {box['cpu']}, {box['cores']} cores, {box['memory_gb']:.0f} GB.")
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
