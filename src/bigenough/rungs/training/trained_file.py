# SPDX-License-Identifier: Apache-2.0
"""An encoder as named arrays, and what training gave as one safetensors file: arrays, and JSON in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.models.bert import BertConfig, BertModel, Layer
from bigenough.rungs.training.recipe import Recipe, Trained
from bigenough.storage import canonical_json, write_bytes

__all__ = ["encoder_arrays", "encoder_of", "read_trained", "write_arrays", "write_trained"]

_PAIRS = ("attended_norm", "norm")


def encoder_arrays(body: BertModel) -> dict[str, NDArray[Any]]:
    """Every array of an encoder, by a name that ``encoder_of`` understands."""
    found = {"words": body.words, "positions": body.positions, "norm.0": body.norm[0], "norm.1": body.norm[1]}
    for i, layer in enumerate(body.layers):
        for name, value in vars(layer).items():
            parts = {f"{name}.{j}": part for j, part in enumerate(value)} if name in _PAIRS else {name: value}
            found |= {f"layer.{i}.{part}": array for part, array in parts.items()}
    return found


def encoder_of(config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> BertModel:
    """The encoder of these arrays, of which ``encoder_arrays`` gave at least those; ``config`` as JSON values."""

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


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], told: Mapping[str, str] | None = None) -> None:
    """The file, whole or absent. Raises ``OutOfDisk``."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_bytes(path, save(tensors, None if told is None else dict(told)))


def write_trained(path: Path, trained: Trained) -> None:
    """All that training gave. Raises ``OutOfDisk``."""
    told = {
        "config": vars(trained.body.config), "recipe": trained.recipe.as_json(), "record": dict(trained.record),
    }  # fmt: skip
    arrays = {**encoder_arrays(trained.body), "head.weight": trained.weight, "head.bias": trained.bias}
    write_arrays(path, arrays, {"trained": canonical_json(told)})


def read_trained(path: Path) -> Trained | None:
    """What was written; None when there is nothing, or nothing that can be read."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            told = json.loads(file.metadata()["trained"])
            arrays = {name: file.get_tensor(name) for name in list(file.keys())}
        body = encoder_of(told["config"], arrays)
        recipe = Recipe.of(told["recipe"])
        return Trained(body, arrays["head.weight"], arrays["head.bias"], recipe, told["record"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None
