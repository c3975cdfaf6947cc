# SPDX-License-Identifier: Apache-2.0
"""A predictor on disk: facts in ``predictor.json``, arrays in ``weights.safetensors``. Neither can run code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from bigenough.errors import InputError, TamperedArtefact
from bigenough.storage import read_json, write_bytes, write_json

__all__ = ["FACTS", "FORMAT", "WEIGHTS", "damaged", "read_facts", "read_tensors", "write_predictor"]

FORMAT = 1
FACTS, WEIGHTS = "predictor.json", "weights.safetensors"


def write_predictor(
    folder: Path, kind: str, facts: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]] | None = None
) -> None:
    """Write the facts, and the tensors if there are any, into an existing folder."""
    if tensors:
        write_bytes(folder / WEIGHTS, save({name: np.ascontiguousarray(array) for name, array in tensors.items()}))
    write_json(folder / FACTS, {"format": FORMAT, "kind": kind, **facts})


def read_facts(folder: Path) -> dict[str, Any]:
    """What ``predictor.json`` says, with its kind.

    Raises ``InputError`` when the folder is no predictor or one of a newer bigenough, and ``TamperedArtefact`` when the
    file is damaged.
    """
    path = folder / FACTS
    if not path.is_file():
        raise InputError(
            f"{folder} holds no predictor: there is no {FACTS} in it. "
            "Expected the model folder of a candidate or specialist, as bigenough wrote it."
        )
    try:
        facts = read_json(path)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise damaged(path, f"it is not JSON ({error})") from error
    if not isinstance(facts, dict) or not isinstance(facts.get("kind"), str):
        raise InputError(
            f"{path} does not describe a predictor: it has no 'kind'. Expected a file that bigenough wrote."
        )
    if facts.get("format") != FORMAT:
        raise InputError(
            f"{path} has format {facts.get('format')!r}; this bigenough reads format {FORMAT}. "
            "Install the version of bigenough that wrote the folder."
        )
    return facts


def read_tensors(folder: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The named arrays of ``weights.safetensors``. Raises ``TamperedArtefact`` when the file or one is missing."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise damaged(path, "it is missing")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise damaged(path, f"it is not a safetensors file ({error})") from error
    absent = [name for name in names if name not in tensors]
    if absent:
        raise damaged(path, f"it has no tensor {', '.join(map(repr, absent))}")
    return {name: tensors[name] for name in names}


def damaged(path: Path, reason: str) -> TamperedArtefact:
    """The error for a file of a predictor that is not as it was written."""
    return TamperedArtefact(
        f"{path} cannot be used: {reason}. Copy the whole folder again from the study that made it."
    )
