# SPDX-License-Identifier: Apache-2.0
"""One training in several processes, on several GPUs or machines, started by ``accelerate launch``.

A study stays one process. Where the environment variable BIGENOUGH_LAUNCH holds a command, as in
``BIGENOUGH_LAUNCH="accelerate launch --num_processes 4"``, each training is written into a folder, that command runs
this module on the folder, and the result is read back. With several machines the command is one that starts all of
them, and the study lies on a disk that all of them see.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.errors import BigEnoughError, RungFailed
from bigenough.models.bert import BertModel
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training.recipe import Recipe, Trained, Watch
from bigenough.rungs.training.trained_file import encoder_arrays, encoder_of, read_trained, write_arrays, write_trained
from bigenough.storage import read_json, write_json, write_text

__all__ = ["LAUNCH", "main", "trained_by"]

LAUNCH = "BIGENOUGH_LAUNCH"
"""The environment variable with the command that starts several processes."""


def trained_by(
    command: str,
    body: BertModel,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    targets: NDArray[np.float32],
    recipe: Recipe,
    bench: Workbench,
    watch: Watch | None,
) -> Trained:
    """What ``loop.train`` gives, done by the processes that this command starts. Raises ``RungFailed``."""
    seen = watch or Watch([], np.zeros(0, np.int64))
    if bench.scratch is not None:
        bench.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=bench.scratch, prefix="launched-") as made:
        folder = Path(made)
        write_arrays(folder / "job.safetensors", {**encoder_arrays(body), "targets": targets, "labels": seen.labels})
        write_text(folder / "tokenizer.json", tokenizer.to_str())
        facts = {
            "config": vars(body.config),
            "texts": list(texts),
            "watched": list(seen.texts),
            "recipe": recipe.as_json(),
            "seed": bench.seed,
            "threads": bench.threads,
            "fit_minutes": bench.fit_minutes,
            "metric": bench.metric,
            "scratch": None if bench.scratch is None else str(bench.scratch),
        }
        write_json(folder / "job.json", facts)
        bench.say(f"training by {command}", None)
        words = [*shlex.split(command), "-m", "bigenough.rungs.training.distributed", str(folder)]
        # The command is the user's own, from the environment of this very process.
        run = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
        if run.returncode or not (folder / "trained.json").is_file():
            told = " ".join((run.stderr or run.stdout)[-600:].split())
            raise RungFailed(f"{LAUNCH}={command!r} ended with code {run.returncode} and no model: {told}")
        return _read(folder)


def main(folder: Path) -> None:
    """What each of the processes does; the first one writes the result."""
    from safetensors.numpy import load_file

    from bigenough.rungs.training.loop import train

    facts = read_json(folder / "job.json")
    arrays = load_file(folder / "job.safetensors")
    first = int(os.environ.get("RANK", "0")) == 0
    bench = Workbench(
        seed=facts["seed"], threads=facts["threads"], cache=folder, offline=True, fit_minutes=facts["fit_minutes"],
        scratch=None if facts["scratch"] is None else Path(facts["scratch"]), metric=facts["metric"],
    )  # fmt: skip
    watch = Watch(facts["watched"], arrays["labels"]) if facts["watched"] else None
    body = encoder_of(facts["config"], arrays)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    try:
        trained = train(body, tokenizer, facts["texts"], arrays["targets"], Recipe.of(facts["recipe"]), bench, watch)
    except BigEnoughError as error:
        if first:
            write_json(folder / "trained.json", {"failure": str(error)})
        return
    if first:
        write_trained(folder / "trained.safetensors", trained)
        write_json(folder / "trained.json", {})


def _read(folder: Path) -> Trained:
    facts = read_json(folder / "trained.json")
    if "failure" in facts:
        raise RungFailed(facts["failure"])
    trained = read_trained(folder / "trained.safetensors")
    if trained is None:
        raise RungFailed(f"{folder / 'trained.safetensors'}, which the first process wrote, cannot be read.")
    return trained


if __name__ == "__main__":
    main(Path(sys.argv[1]))
