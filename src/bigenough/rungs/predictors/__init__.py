# SPDX-License-Identifier: Apache-2.0
"""Fitted models at work: what is judged, saved, served and shipped.

One file a kind, on numpy, scipy, tokenizers and onnxruntime alone; a kind's file is imported when a model of that kind
is loaded. What trained a model is decided elsewhere, in the rungs.
"""

from __future__ import annotations

import importlib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from bigenough.errors import InputError, TamperedArtefact
from bigenough.rungs.protocol import Predictor

__all__ = ["GROUP", "load_predictor"]

GROUP = "bigenough.predictors"
"""The entry-point group in which a plugin names the class of its kind of predictor."""

_KINDS = {
    "constant": "bigenough.rungs.predictors.constant:ConstantPredictor",
    "linear": "bigenough.rungs.predictors.linear:LinearPredictor",
    "static": "bigenough.rungs.predictors.static:StaticPredictor",
    "encoder": "bigenough.rungs.predictors.encoder:EncoderPredictor",
    "endpoint": "bigenough.rungs.predictors.endpoint:EndpointPredictor",
    "mini": "bigenough.rungs.predictors.mini:MiniPredictor",
    "tuned-mini": "bigenough.rungs.predictors.tuned_mini:TunedMiniPredictor",
}


def load_predictor(folder: Path, *, threads: int | None = None) -> Predictor:
    """The predictor that was saved in a folder.

    Args:
        folder: where ``Predictor.save`` wrote it.
        threads: the most threads it may use; None leaves the library's choice.

    Raises:
        InputError: the folder holds no predictor, or one of an unknown kind.
        TamperedArtefact: a file of it is missing or damaged.
    """
    from bigenough.rungs.predictors.artefact import FACTS, read_facts

    kind = read_facts(folder)["kind"]
    predictor = _class_of(kind, folder / FACTS)
    try:
        return predictor.load(folder, threads=threads)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise TamperedArtefact(
            f"{folder} holds a damaged predictor of kind {kind!r} ({type(error).__name__}: {error}). "
            "Copy the whole folder again from the study that made it."
        ) from error


def _class_of(kind: str, path: Path) -> type[Predictor]:
    if kind in _KINDS:
        module, _, name = _KINDS[kind].partition(":")
        loaded: type[Predictor] = getattr(importlib.import_module(module), name)
        return loaded
    plugins: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=GROUP)}
    if kind not in plugins:
        raise InputError(
            f"{path} asks for a predictor of kind {kind!r}, which is not installed. Installed: "
            f"{', '.join(sorted({*_KINDS, *plugins}))}. Install the plugin that made it."
        )
    loaded = plugins[kind].load()
    return loaded
