# SPDX-License-Identifier: Apache-2.0
"""An encoder with narrower layers: feed-forward neurons and attention heads that add least are taken out.

**What adds least** is measured on fit texts: a neuron by the root mean square of what it says times the length of the
row of weights that carries it on (the score of Sun et al. 2023, "A simple and effective pruning approach", by neuron),
a head likewise, by all that its own rows carry on.

**What is left makes up for it**: the matrix behind the cut is fitted again, by least squares with a ridge, so that from
what is kept it gives as nearly as possible what the whole one gave on those texts (He et al. 2017, "Channel pruning for
accelerating very deep neural networks", equation 4). Then the head learns again, as after dropped layers. It needs no
torch, and the arrays are cut directly: a library that traces a torch graph to find which weights belong together, such
as torch-pruning, would find these same ones.

A variant is refused by the score it loses, as a model that has learned again has other labels anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.models.bert import Layer
from bigenough.models.graph_reading import EncoderArrays
from bigenough.rungs.predictors.encoder import EncoderPredictor
from bigenough.rungs.protocol import Settings, Workbench
from bigenough.shrink.healing import best_healing
from bigenough.shrink.layers import HealedStep
from bigenough.shrink.ranges import Values, inner_values
from bigenough.task import Examples

__all__ = ["StructureRung", "narrowed", "refitted"]

Array = NDArray[np.float32]

VARIANTS = ((0.25, 0.0), (0.5, 0.0), (0.5, 0.25))
"""Shares of neurons and of heads that go."""
RIDGE = 1e-3
"""The penalty of the least squares, as a share of the values' mean square."""


class StructureRung(HealedStep):
    """An encoder with fewer neurons and heads a layer; ``allowed_flips`` is how much of the metric may be lost."""

    step = "structure"
    summary = "the encoder without the neurons and heads that add least, healed"
    place = 28

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """A quarter of the neurons goes."""
        neurons, heads = VARIANTS[0]
        return {"neurons": neurons, "heads": heads, "healing": best_healing()}

    def attempts(self, arrays: EncoderArrays) -> Sequence[Mapping[str, Any]]:
        """A quarter or half of the neurons, and half of them with a quarter of the heads.

        Torch has no layer with fewer heads than the encoder's width asks for, so there the head alone learns again.
        """
        one_head = arrays.model.config.heads == 1
        tried = [(neurons, heads) for neurons, heads in VARIANTS if not (heads and one_head)]
        return [{"neurons": part, "heads": heads, **({"healing": "head"} if heads else {})} for part, heads in tried]

    def cut(
        self, arrays: EncoderArrays, parent: EncoderPredictor, settings: Settings, examples: Examples, bench: Workbench
    ) -> EncoderArrays:
        """Each layer narrowed by what was measured in the whole encoder."""
        model = arrays.model
        order = np.random.default_rng(bench.seed).permutation(len(examples))
        texts = [examples.texts[i] for i in order[:400]]

        def look(place: int, said: Values) -> Layer:
            return narrowed(
                model.layers[place], said[f"layer{place}.attention"], said[f"layer{place}.active"],
                head_size=model.config.width // model.config.heads,
                heads=float(settings["heads"]), neurons=float(settings["neurons"]),
            )  # fmt: skip

        layers = inner_values(model, parent.encoder.tokenizer, texts, look, threads=bench.threads)
        return arrays._replace(model=replace(model, layers=tuple(layers)))


def narrowed(layer: Layer, attention: Array, active: Array, *, head_size: int, heads: float, neurons: float) -> Layer:
    """The layer without these shares of its heads and neurons; one of each stays at least.

    Args:
        layer: the whole layer.
        attention: (tokens, heads × head size), what attention gave on some texts.
        active: (tokens, inner), what the neurons gave on them.
        head_size: columns of a head.
        heads: the share of heads that go.
        neurons: the share of neurons that go.
    """
    if neurons:
        kept = _most(_adds(active, layer.narrow), neurons)
        narrow, bias = refitted(active, kept, layer.narrow, layer.narrow_bias)
        layer = replace(
            layer, widen=layer.widen[:, kept].copy(), widen_bias=layer.widen_bias[kept], narrow=narrow, narrow_bias=bias
        )
    if heads:
        adds = (_adds(attention, layer.attended) ** 2).reshape(-1, head_size).sum(axis=1)
        columns = (_most(adds, heads)[:, None] * head_size + np.arange(head_size)).ravel()
        attended, bias = refitted(attention, columns, layer.attended, layer.attended_bias)
        three = np.concatenate([columns + i * attention.shape[1] for i in range(3)])
        layer = replace(
            layer, qkv=layer.qkv[:, three].copy(), qkv_bias=layer.qkv_bias[three], attended=attended, attended_bias=bias
        )
    return layer


def refitted(values: Array, kept: NDArray[np.int64], weight: Array, bias: Array) -> tuple[Array, Array]:
    """The (kept, out) weights and (out,) biases that from the kept columns give nearly what all columns gave.

    Ridge regression of the outputs' difference, so that with nothing to learn from the kept weights stay as they are.

    >>> values = np.array([[1.0, 2.0], [2.0, 4.0], [0.0, 0.0]])
    >>> weight, bias = refitted(values, np.array([0]), np.array([[1.0], [1.0]]), np.zeros(1))
    >>> bool(abs(weight[0, 0] - 3) < 0.01), bool(abs(bias[0]) < 0.01)
    (True, True)
    """
    mean = values.mean(axis=0, dtype=np.float64)
    centred = values.astype(np.float64) - mean
    some, whole = centred[:, kept], weight.astype(np.float64)
    products = some.T @ some
    ridge = RIDGE * np.trace(products) / len(kept) + 1e-12
    missing = centred @ whole - some @ whole[kept]
    new = whole[kept] + np.linalg.solve(products + ridge * np.eye(len(kept)), some.T @ missing)
    shift = bias + mean @ whole - mean[kept] @ new
    return new.astype(np.float32), shift.astype(np.float32)


def _adds(values: Array, weight: Array) -> NDArray[np.float64]:
    """(columns,) how much each column adds to the sum behind it."""
    size = np.sqrt((values.astype(np.float64) ** 2).mean(axis=0))
    return np.asarray(size * np.linalg.norm(weight, axis=1))


def _most(adds: NDArray[np.float64], gone: float) -> NDArray[np.int64]:
    """The places, in order, of those that stay when this share goes."""
    count = max(1, round(len(adds) * (1 - gone)))
    return np.sort(np.argsort(-adds, kind="stable")[:count])
