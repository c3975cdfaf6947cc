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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.errors import BigEnoughError, RungFailed
from bigenough.models.bert import BertConfig, BertModel, Layer
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training.recipe import Recipe, Trained, Watch
from bigenough.storage import read_json, write_bytes, write_json, write_text

__all__ = ["LAUNCH", "main", "trained_by"]

LAUNCH = "BIGENOUGH_LAUNCH"
"""The environment variable with the command that starts several processes."""
_PAIRS = ("attended_norm", "norm")


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
        _write_arrays(folder / "job.safetensors", {**_arrays(body), "targets": targets, "labels": seen.labels})
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
        return _read_trained(folder)


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
    body = _body(facts["config"], arrays)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    try:
        trained = train(body, tokenizer, facts["texts"], arrays["targets"], Recipe.of(facts["recipe"]), bench, watch)
    except BigEnoughError as error:
        if first:
            write_json(folder / "trained.json", {"failure": str(error)})
        return
    if first:
        made = {**_arrays(trained.body), "head.weight": trained.weight, "head.bias": trained.bias}
        _write_arrays(folder / "trained.safetensors", made)
        told = {"config": vars(trained.body.config), "recipe": trained.recipe.as_json(), "record": trained.record}
        write_json(folder / "trained.json", told)


def _read_trained(folder: Path) -> Trained:
    from safetensors.numpy import load_file

    facts = read_json(folder / "trained.json")
    if "failure" in facts:
        raise RungFailed(facts["failure"])
    arrays = load_file(folder / "trained.safetensors")
    body = _body(facts["config"], arrays)
    recipe = Recipe.of(facts["recipe"])
    return Trained(body, arrays["head.weight"], arrays["head.bias"], recipe, facts["record"])


def _write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    from safetensors.numpy import save

    write_bytes(path, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def _arrays(body: BertModel) -> dict[str, NDArray[Any]]:
    """Every array of an encoder, by a name that ``_body`` understands."""
    found = {"words": body.words, "positions": body.positions, "norm.0": body.norm[0], "norm.1": body.norm[1]}
    for i, layer in enumerate(body.layers):
        for name, value in vars(layer).items():
            parts = {f"{name}.{j}": part for j, part in enumerate(value)} if name in _PAIRS else {name: value}
            found |= {f"layer.{i}.{part}": array for part, array in parts.items()}
    return found


def _body(config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> BertModel:
    def layer(i: int) -> Layer:
        at = f"layer.{i}."
        parts: dict[str, Any] = {
            name: (arrays[f"{at}{name}.0"], arrays[f"{at}{name}.1"]) if name in _PAIRS else arrays[at + name]
            for name in Layer.__dataclass_fields__
        }
        return Layer(**parts)

    layers = 1 + max(int(name.split(".")[1]) for name in arrays if name.startswith("layer."))
    # JSON knows no tuples.
    shape = BertConfig(**{**config, "pooled": tuple(config["pooled"])})
    return BertModel(
        shape, arrays["words"], arrays["positions"], (arrays["norm.0"], arrays["norm.1"]),
        tuple(layer(i) for i in range(layers)),
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
