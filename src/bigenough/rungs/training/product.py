# SPDX-License-Identifier: Apache-2.0
"""From trained arrays to what is judged and shipped: an ONNX graph with its head, and how near it comes to torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from bigenough.models.bert import BertModel
from bigenough.models.encoder import Encoder, plain_tokenizer
from bigenough.models.graph import encoder_graph
from bigenough.rungs.predictors.encoder import EncoderPredictor
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training.recipe import Recipe, Trained
from bigenough.storage import write_bytes

__all__ = ["parity", "predictor_of"]


def predictor_of(trained: Trained, tokenizer: Tokenizer, bench: Workbench) -> EncoderPredictor:
    """The trained model in onnxruntime. Its graph lies in the cache under its own hash. Raises ``OutOfDisk``."""
    longest = min(trained.body.config.max_length, trained.recipe.max_length or trained.body.config.max_length)
    body = replace(trained.body, config=replace(trained.body.config, max_length=longest))
    graph = encoder_graph(body)
    path = bench.cache / "tuned" / f"{hashlib.sha256(graph).hexdigest()[:20]}.onnx"
    if not path.is_file():
        write_bytes(path, graph)
    encoder = Encoder(path, tokenizer, max_length=longest, threads=bench.threads)
    return EncoderPredictor(encoder, DenseHead(trained.weight, trained.bias), path, body.n_parameters)


def parity(
    predictor: EncoderPredictor, body: BertModel, tokenizer: Tokenizer, texts: Sequence[str], threads: int
) -> dict[str, Any]:
    """How far onnxruntime's probabilities are from torch's in 32 bits: the largest difference, and label flips."""
    import torch

    from bigenough.rungs.training.machine import Machine, borrowed
    from bigenough.rungs.training.network import built
    from bigenough.rungs.training.rows import Rows, token_ids, used_tokens
    from bigenough.rungs.training.steps import scores_of

    longest = predictor.encoder.max_length
    ids = token_ids(plain_tokenizer(tokenizer, longest), texts, longest)
    used = used_tokens(ids)
    prior = np.full(predictor.n_classes, 1 / predictor.n_classes)
    exact = Machine(torch.device("cpu"), "fp32")
    with borrowed(threads, 0):
        network = built(body, used, Recipe(dropout=0.0), prior, predictor.head, exact)
        expected = scores_of(network, Rows.of(ids, used), exact)
    found = predictor.predict_proba(texts)
    return {
        "texts": len(texts),
        "max_probability_difference": float(np.abs(found - expected).max(initial=0.0)),
        "flips": int((found.argmax(axis=1) != expected.argmax(axis=1)).sum()),
    }
