# SPDX-License-Identifier: Apache-2.0
"""What every step on an encoder shares: the parent's arrays, and a fitted model made of a new graph.

It neither chooses nor judges: the steps do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from bigenough.errors import RungFailed
from bigenough.models.encoder import Encoder
from bigenough.models.graph_reading import EncoderArrays, read_graph
from bigenough.models.own_encoder import OwnEncoder, OwnGraph
from bigenough.rungs.predictors.encoder import EncoderPredictor
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.protocol import Workbench
from bigenough.shrink.step import ShrinkStep
from bigenough.task import Examples

__all__ = ["EncoderStep", "Opener", "arrays_of", "made", "opener", "processor_features", "row_seconds"]

Opener = Callable[[], Encoder]
"""Starts an encoder from its file, without the memory of what it has seen."""

TIMED = 60
"""Texts whose time is taken, one by one."""
AT_A_TURN = 20
"""Texts that one encoder is timed on before it is the next one's turn."""
WARM_UP = 3
"""Texts before each turn whose time does not count: its longest, so that all memory is there that it needs."""
FEATURES = (
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8"),
    *("asimddp", "i8mm"),
)
"""What a processor says of itself that decides how fast, and to which last digits, 8-bit products are computed."""


class EncoderStep(ShrinkStep):
    """A step on an encoder; the parent is a candidate whose predictor is an ``EncoderPredictor``."""

    def model_of(self, examples: Examples) -> EncoderPredictor:
        """The parent that saw these rows, at temperature 1: what is made of it gets a temperature of its own.

        Raises ``RungFailed`` unless it is an encoder.
        """
        parent = self.parent.of(examples)
        if not isinstance(parent, EncoderPredictor):
            raise RungFailed(f"{self.name} needs an encoder. {self.parent.name} is of the kind {parent.kind!r}.")
        return replace(parent, head=replace(parent.head, temperature=1.0))


def arrays_of(predictor: EncoderPredictor) -> EncoderArrays:
    """The encoder's arrays, with the predictor's own limit of tokens. Raises ``UnsupportedModel``."""
    arrays = read_graph(predictor.model)
    config = replace(arrays.model.config, max_length=predictor.encoder.max_length)
    return arrays._replace(model=replace(arrays.model, config=config))


def made(
    graph: bytes | OwnGraph,
    parent: EncoderPredictor,
    n_parameters: int,
    bench: Workbench,
    *,
    head: DenseHead | None = None,
    alone: bool = False,
) -> EncoderPredictor:
    """A predictor of this graph with the parent's tokenizer, and its head unless another is given."""
    tokenizer, longest = parent.encoder.tokenizer, parent.encoder.max_length
    encoder = OwnEncoder(graph, tokenizer, max_length=longest, threads=bench.threads, alone=alone)
    return EncoderPredictor(encoder, parent.head if head is None else head, encoder.path, n_parameters)


def opener(predictor: EncoderPredictor, threads: int, *, graph: Path | None = None, alone: bool = False) -> Opener:
    """What starts the predictor's encoder; or, with the same tokenizer, that of another graph."""
    encoder = predictor.encoder
    if graph is None:
        graph, alone = predictor.model, getattr(encoder, "alone", False)
    return partial(Encoder, graph, encoder.tokenizer, max_length=encoder.max_length, threads=threads, alone=alone)


def row_seconds(openers: Sequence[Opener], texts: Sequence[str]) -> list[float]:
    """The median seconds that each encoder takes for one text, of the first 60 texts.

    All take turns, twenty texts at a time, so that a slow spell of the machine meets all of them. Each is started for
    its turn and gone after it: there is memory for one, and onnxruntime's threads, which look for more work for a
    while after each call, would stand in the way of the next one's.
    """
    timed = texts[:TIMED]
    seconds: list[list[float]] = [[] for _ in openers]
    for start in range(0, len(timed), AT_A_TURN):
        for place, opened in enumerate(openers):
            seconds[place] += _turn(opened(), timed[start : start + AT_A_TURN])
    return [float(np.median(each)) for each in seconds]


def _turn(encoder: Encoder, texts: Sequence[str]) -> list[float]:
    for text in sorted(texts, key=len)[-WARM_UP:]:
        encoder.embed([text])
    seconds = []
    for text in texts:
        began = perf_counter()
        encoder.embed([text])
        seconds.append(perf_counter() - began)
    return seconds


def processor_features(path: Path = Path("/proc/cpuinfo")) -> list[str]:
    """Which of the features that matter to 8-bit products this processor has; empty where the system does not tell."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    lines = [line for line in text.splitlines() if line.split(":")[0].strip().lower() in ("flags", "features")]
    told = set(lines[0].split(":", 1)[1].split()) if lines else set()
    return [feature for feature in FEATURES if feature in told]
