# SPDX-License-Identifier: Apache-2.0
"""From trained arrays to what is judged and shipped: an ONNX graph with its head, and how near it comes to torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from bigenough.models.bert import BertModel
from bigenough.models.encoder import plain_tokenizer
from bigenough.models.graph import encoder_graph
from bigenough.models.own_encoder import OwnEncoder
from bigenough.rungs.predictors.encoder import EncoderPredictor
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training.recipe import Recipe, Trained

__all__ = ["parity", "predictor_of"]

MOST_COMPARED = 512
"""Texts on which a graph is compared with torch."""


def predictor_of(trained: Trained, tokenizer: Tokenizer, bench: Workbench) -> EncoderPredictor:
    """The trained model in onnxruntime. Its graph goes when the predictor does. Raises ``OutOfDisk``."""
    longest = min(trained.body.config.max_length, trained.recipe.max_length or trained.body.config.max_length)
    body = replace(trained.body, config=replace(trained.body.config, max_length=longest))
    encoder = OwnEncoder(encoder_graph(body), tokenizer, max_length=longest, threads=bench.threads)
    return EncoderPredictor(encoder, DenseHead(trained.weight, trained.bias), encoder.path, body.n_parameters)


def parity(
    predictor: EncoderPredictor, body: BertModel, tokenizer: Tokenizer, texts: Sequence[str], threads: int
) -> dict[str, Any]:
    """How far onnxruntime's probabilities are from torch's in 32 bits: the largest difference, and label flips.

    Of many texts 512 are compared, spread over all lengths, the longest among them.
    """
    import torch

    from bigenough.rungs.training.machine import Machine, borrowed
    from bigenough.rungs.training.network import built
    from bigenough.rungs.training.rows import Rows, token_ids, used_tokens
    from bigenough.rungs.training.steps import scores_of

    by_length = sorted(texts, key=len)
    places = np.linspace(0, len(texts) - 1, min(len(texts), MOST_COMPARED)).round().astype(int)
    texts = [by_length[place] for place in places]
    longest = predictor.encoder.max_length
    ids = token_ids(plain_tokenizer(tokenizer, longest), texts, longest)
    used = used_tokens(ids)
    prior = np.full(predictor.n_classes, 1 / predictor.n_classes)
    exact = Machine(torch.device("cpu"), "fp32")
    with borrowed(threads, 0):
        network = built(body, used, Recipe(dropout=0.0), prior, predictor.head, exact)
        network.normalise = body.config.normalise
        expected = scores_of(network, Rows.of(ids, used), exact)
    found = predictor.predict_proba(texts)
    return {
        "texts": len(texts),
        "max_probability_difference": float(np.abs(found - expected).max(initial=0.0)),
        "flips": int((found.argmax(axis=1) != expected.argmax(axis=1)).sum()),
    }
