# SPDX-License-Identifier: Apache-2.0
"""Between which values the numbers inside an encoder lie, measured on texts: what good 8-bit products stand on.

It offers several answers to how much of the rare extremes to cut off, and to how to make columns of values alike; which
one serves is decided by looking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.models.bert import BertModel
from bigenough.models.encoder import tokenised
from bigenough.models.graph import EncoderGraph

__all__ = [
    "RANGES",
    "RangeWay",
    "Values",
    "entropy_range",
    "evening",
    "inner_values",
    "product_inputs",
    "product_weights",
    "ranges_of",
]

RangeWay = Literal["minmax", "percentile", "entropy"]
RANGES: tuple[RangeWay, ...] = ("minmax", "percentile", "entropy")
CUT = 0.0001
"""The share of values beyond each end of the percentile range."""
BINS = 2048
LEVELS = 128
"""Levels that the larger side of a range has to itself, as TensorRT counts."""
EVENED = 0.9
"""How much of a column's size goes over to the weights: at 0.9 sst2 and banking77 kept most labels, of 0.5 to 1."""
TOKENS = 4000
"""Tokens that are looked at; some hundreds of texts settle a range (Jacob et al. 2018)."""

Values = Mapping[str, NDArray[np.float32]]
"""(tokens, width) values by the name of what gave them."""


def product_inputs(layers: int) -> dict[str, str]:
    """What goes into each matrix product, by the product's name.

    >>> product_inputs(1)["layer0.wide"]
    'layer0.middle'
    """
    inputs = {}
    for i in range(layers):
        inputs[f"layer{i}.projected"] = f"layer{i - 1}.out" if i else "tokens"
        inputs[f"layer{i}.attended"] = f"layer{i}.attention"
        inputs[f"layer{i}.wide"] = f"layer{i}.middle"
        inputs[f"layer{i}.narrow"] = f"layer{i}.active"
    return inputs


def product_weights(model: BertModel) -> dict[str, NDArray[np.float32]]:
    """The weight matrix of each product, by the product's name."""
    weights: dict[str, NDArray[np.float32]] = {}
    for i, layer in enumerate(model.layers):
        parts = {"projected": layer.qkv, "attended": layer.attended, "wide": layer.widen, "narrow": layer.narrow}
        weights |= {f"layer{i}.{name}": weight for name, weight in parts.items()}
    return weights


def evening(
    values: Values, inputs: Mapping[str, str], weights: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """For each product what its values are to be divided by, column by column, and its weights' rows multiplied.

    A few columns of an encoder's values are many times the others, which leaves the others few of the 256 steps.
    Divided by max|x|^0.9 / max|w|^0.1, scaled to a geometric mean of 1, they are more alike (SmoothQuant, Xiao et al.
    2023, equation 4; there the division is folded into the norm before, here the norm's result goes past the product
    too).

    >>> values = {"x": np.array([[1.0, 100.0], [-1.0, -100.0]], dtype=np.float32)}
    >>> found = evening(values, {"p": "x"}, {"p": np.ones((2, 3), dtype=np.float32)})["p"]
    >>> [round(float(value), 3) for value in found]
    [0.126, 7.943]
    """
    found = {}
    for product, name in inputs.items():
        size = np.maximum(np.abs(values[name]).max(axis=0), 1e-5).astype(np.float64)
        weight = np.maximum(np.abs(weights[product]).max(axis=1), 1e-5).astype(np.float64)
        log = EVENED * np.log(size) - (1 - EVENED) * np.log(weight)
        found[product] = np.exp(log - log.mean()).astype(np.float32)
    return found


def inner_values(
    model: BertModel, tokenizer: Tokenizer, texts: Sequence[str], names: Sequence[str], *, threads: int
) -> dict[str, NDArray[np.float32]]:
    """The (tokens, width) values that the named nodes give on the first texts, each text run by itself.

    Texts are taken in order until 4,000 tokens are seen. ``names`` are nodes of ``encoder_graph``.
    """
    import onnx
    import onnxruntime
    from onnx import helper

    proto = onnx.load_from_string(EncoderGraph(model).bytes())
    proto.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    seen = 0
    for row in tokenised(tokenizer, texts, model.config.max_length):
        ids = np.array([row], dtype=np.int32)
        given = session.run(list(names), {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        for name, value in zip(names, given, strict=True):
            found[name].append(value[0])
        seen += len(row)
        if seen >= TOKENS:
            break
    return {name: np.concatenate(values) for name, values in found.items()}


def ranges_of(
    values: Values,
    inputs: Mapping[str, str],
    way: RangeWay,
    evened: Mapping[str, NDArray[np.float32]] | None = None,
) -> dict[str, tuple[float, float]]:
    """The least and largest value that each product is to tell apart, zero among them.

    ``minmax`` takes what was seen; ``percentile`` leaves out 0.01 % at each end; ``entropy`` clips where the rounded
    values' distribution is nearest to the true one. ``evened`` is what the values are divided by first.
    """
    found = {}
    for product, name in inputs.items():
        seen = values[name] / evened[product] if evened else values[name]
        if way == "minmax":
            low, high = float(seen.min()), float(seen.max())
        elif way == "percentile":
            low, high = (float(end) for end in np.quantile(seen, [CUT, 1 - CUT]))
        else:
            low, high = entropy_range(seen)
        found[product] = (min(low, 0.0), max(high, 0.0))
    return found


def entropy_range(values: NDArray[np.floating]) -> tuple[float, float]:
    """The range, symmetric but for ends that were never reached, that loses least information.

    The Kullback-Leibler divergence of the clipped histogram from itself in 128 levels, over thresholds (Migacz 2017,
    "8-bit inference with TensorRT"); 64 thresholds are tried in place of every bin.

    >>> low, high = entropy_range(np.append(np.random.default_rng(0).standard_normal(100_000), 20.0))
    >>> bool(-5 < low < -2 and 2 < high < 6)
    True
    """
    sizes = np.abs(values)
    largest = float(sizes.max()) or 1.0
    counts = np.histogram(sizes, bins=BINS, range=(0.0, largest))[0].astype(np.float64)
    tried = np.unique(np.linspace(LEVELS, BINS, 64).astype(int))
    lost = [_divergence(counts, int(bins)) for bins in tried]
    threshold = largest * float(tried[int(np.argmin(lost))]) / BINS
    return max(-threshold, float(values.min())), min(threshold, float(values.max()))


def _divergence(counts: NDArray[np.float64], bins: int) -> float:
    """How much of the first bins' distribution, with all beyond piled on the last one, 128 levels lose."""
    clipped = counts[:bins].copy()
    level = np.arange(bins) * LEVELS // bins
    filled = clipped > 0
    shared = np.bincount(level, weights=clipped, minlength=LEVELS) / np.maximum(
        np.bincount(level, weights=filled, minlength=LEVELS), 1
    )
    rounded = np.where(filled, shared[level], 0.0)
    clipped[-1] += counts[bins:].sum()
    p, q = clipped / clipped.sum(), rounded / max(rounded.sum(), 1e-12)
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / np.maximum(q[some], 1e-12))))
