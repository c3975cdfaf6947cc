# SPDX-License-Identifier: Apache-2.0
"""Between which values the numbers inside an encoder lie, measured on texts: what good 8-bit products stand on.

It offers several answers to how much of the rare extremes to cut off, and to how to make columns of values alike; which
one serves is decided by looking.

The values of all layers would be several times as large as the encoder, so the layers run one by one, and of each
only what was made of its values is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.models.bert import BertModel, Layer
from bigenough.models.encoder import SLOW_FUSIONS, token_rows
from bigenough.models.graph import layer_graph, tokens_graph

__all__ = [
    "RANGES",
    "Measured",
    "RangeWay",
    "Values",
    "entropy_range",
    "evening",
    "inner_values",
    "measured",
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
Made = TypeVar("Made")


class Measured(NamedTuple):
    """What 8-bit products need to know of the values that go into them, by the product's name.

    Attributes:
        evened: what the values are to be divided by, column by column.
        ranges: the least and the largest value, for each way of cutting, and whether the values are evened first.
    """

    evened: Mapping[str, NDArray[np.float32]]
    ranges: Mapping[tuple[RangeWay, bool], Mapping[str, tuple[float, float]]]


def measured(
    model: BertModel,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    wanted: Iterable[tuple[RangeWay, bool]],
    *,
    threads: int,
) -> Measured:
    """How to even the values of every product, and the wanted ranges, measured on the first texts."""
    evened: dict[str, NDArray[np.float32]] = {}
    ranges: dict[tuple[RangeWay, bool], dict[str, tuple[float, float]]] = {key: {} for key in wanted}

    def look(place: int, values: Values) -> None:
        inputs = product_inputs(place)
        evened.update(evening(values, inputs, product_weights(model.layers[place], place)))
        for (way, even), found in ranges.items():
            found.update(ranges_of(values, inputs, way, evened if even else None))

    inner_values(model, tokenizer, texts, look, threads=threads)
    return Measured(evened, ranges)


def product_inputs(place: int) -> dict[str, str]:
    """What goes into each matrix product of a layer, by the product's name.

    >>> product_inputs(0)["layer0.wide"]
    'layer0.middle'
    """
    at = f"layer{place}"
    return {
        f"{at}.projected": f"layer{place - 1}.out" if place else "tokens",
        f"{at}.attended": f"{at}.attention",
        f"{at}.wide": f"{at}.middle",
        f"{at}.narrow": f"{at}.active",
    }


def product_weights(layer: Layer, place: int) -> dict[str, NDArray[np.float32]]:
    """The weight matrix of each product of a layer, by the product's name."""
    parts = {"projected": layer.qkv, "attended": layer.attended, "wide": layer.widen, "narrow": layer.narrow}
    return {f"layer{place}.{name}": weight for name, weight in parts.items()}


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
    model: BertModel,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    look: Callable[[int, Values], Made],
    *,
    threads: int,
) -> list[Made]:
    """What ``look`` makes of each layer's place and the (tokens, width) values that go into its products.

    Texts are taken in order until 4,000 tokens are seen, and each is run by itself. The values are there for ``look``
    alone: whoever keeps those of all layers needs several times the encoder's memory.
    """
    rows: list[NDArray[np.int64]] = []
    for row in token_rows(tokenizer, texts, model.config.max_length):
        rows.append(np.array(row))
        if sum(map(len, rows)) >= TOKENS:
            break
    used = np.unique(np.concatenate(rows))  # a graph of all words would be most of the memory
    graph = tokens_graph(replace(model, words=model.words[used]))
    ids = [{"input_ids": np.searchsorted(used, row)[None].astype(np.int32)} for row in rows]
    tokens = _run(graph, ["tokens"], ids, threads)["tokens"]
    parts = [slice(*ends) for ends in pairwise(np.cumsum([0, *map(len, rows)]))]
    made = []
    for place in range(len(model.layers)):
        found, tokens = _layer_values(model, place, tokens, parts, threads)
        made.append(look(place, found))
        del found  # before the next layer's values are made
    return made


def _layer_values(
    model: BertModel, place: int, tokens: NDArray[np.float32], texts: Sequence[slice], threads: int
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]:
    """What goes into a layer's products, and the tokens that it hands on; ``texts`` are the rows of each text."""
    first, *inner = product_inputs(place).values()
    out = f"layer{place}.out"
    given = [
        {"tokens": tokens[text][None], "attention_mask": np.ones_like(tokens[text, 0], np.int32)[None]}
        for text in texts
    ]
    found = _run(layer_graph(model, place, [*inner, out]), [*inner, out], given, threads)
    handed_on = found.pop(out)
    return {first: tokens, **found}, handed_on


def _run(
    graph: bytes, names: Sequence[str], texts: Sequence[Mapping[str, NDArray[np.generic]]], threads: int
) -> dict[str, NDArray[np.float32]]:
    """The (tokens, width) values of these outputs, for all texts below one another."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(
        graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOW_FUSIONS
    )
    count = sum(next(iter(text.values())).shape[1] for text in texts)
    found: dict[str, NDArray[np.float32]] = {}
    start = 0
    for text in texts:
        given = session.run(list(names), dict(text))
        for name, value in zip(names, given, strict=True):
            if name not in found:
                found[name] = np.empty((count, value.shape[2]), dtype=np.float32)
            found[name][start : start + value.shape[1]] = value[0]
        start += given[0].shape[1]
    return found


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
