# SPDX-License-Identifier: Apache-2.0
"""From trained arrays to what is judged and shipped: an ONNX graph with its head, and how near it comes to torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.models.bert import BertModel
from bigenough.models.encoder import plain_tokenizer
from bigenough.models.graph import encoder_graph
from bigenough.models.own_encoder import OwnEncoder
from bigenough.rungs.predictors.encoder import EncoderPredictor
from bigenough.rungs.predictors.head import DenseHead
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training.recipe import Recipe, Trained

__all__ = ["compared_texts", "difference", "parity", "predictor_of"]

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
    """How far onnxruntime's probabilities are from torch's in 32 bits, on ``compared_texts``."""
    import torch

    from bigenough.rungs.training.machine import Machine, borrowed
    from bigenough.rungs.training.network import built
    from bigenough.rungs.training.rows import Rows, token_ids, used_tokens
    from bigenough.rungs.training.steps import scores_of

    texts = compared_texts(texts)
    longest = predictor.encoder.max_length
    ids = token_ids(plain_tokenizer(tokenizer, longest), texts, longest)
    used = used_tokens(ids)
    prior = np.full(predictor.n_classes, 1 / predictor.n_classes)
    exact = Machine(torch.device("cpu"), "fp32")
    with borrowed(threads, 0):
        network = built(body, used, Recipe(dropout=0.0), prior, predictor.head, exact)
        network.normalise = body.config.normalise
        expected = scores_of(network, Rows.of(ids, used), exact)
    return difference(predictor.predict_proba(texts), expected, "the network that was trained")


def compared_texts(texts: Sequence[str]) -> list[str]:
    """Those on which a graph is compared: of many 512, spread over all lengths, the longest among them.

    >>> [len(text) for text in compared_texts(["a" * (i + 1) for i in range(2048)])][:3]
    [1, 5, 9]
    """
    by_length = sorted(texts, key=len)
    places = np.linspace(0, len(texts) - 1, min(len(texts), MOST_COMPARED)).round().astype(int)
    return [by_length[place] for place in places]


def difference(found: NDArray[np.float64], expected: NDArray[np.float64], reference: str) -> dict[str, Any]:
    """The largest difference of (n, k) probabilities from those of a reference, and label flips; JSON values.

    >>> difference(np.array([[0.75, 0.25]]), np.array([[0.5, 0.5]]), "another model")
    {'reference': 'another model', 'texts': 1, 'max_probability_difference': 0.25, 'flips': 0}
    """
    return {
        "reference": reference,
        "texts": len(found),
        "max_probability_difference": float(np.abs(found - expected).max(initial=0.0)),
        "flips": int((found.argmax(axis=1) != expected.argmax(axis=1)).sum()),
    }
