# SPDX-License-Identifier: Apache-2.0
"""An encoder that nobody tuned, held against transformers' own model of the same files.

This project reads weights and writes graphs by itself, so transformers, which does neither the same way, checks both.
It refuses nothing: how far the two are apart goes into the record, and where they were not compared, why.
torch is imported only where they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigenough.models.bert import BertConfig
from bigenough.models.encoder import equal_lengths, tokenised
from bigenough.models.prepared import PreparedEncoder
from bigenough.rungs.predictors.encoder import EncoderPredictor
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.training.product import compared_texts, difference

if TYPE_CHECKING:
    import torch

__all__ = ["untuned_parity"]

NEEDED = ("torch", "transformers")
LONGEST_REASON = 200
"""Characters of another library's message that are kept."""


def untuned_parity(
    predictor: EncoderPredictor, prepared: PreparedEncoder, texts: Sequence[str], bench: Workbench
) -> dict[str, Any]:
    """How far the probabilities are from those of the same head on transformers' vectors, on ``compared_texts``.

    ``{"not_compared": reason}`` where torch or transformers is not installed, or cannot run the encoder. The vectors
    are computed once for all fits of a study.
    """
    texts = compared_texts(texts)
    key = ("transformers' vectors", prepared.folder, tuple(texts))
    if key not in bench.memo:
        bench.say("comparing the encoder with transformers' own", None)
        bench.memo[key] = _vectors_or_reason(prepared, texts, bench.threads)
    expected: NDArray[np.float32] | str = bench.memo[key]
    if isinstance(expected, str):
        return {"not_compared": expected}
    reference = "transformers' model of the same weights"
    return difference(predictor.predict_proba(texts), predictor.head.probabilities(expected), reference)


def _vectors_or_reason(prepared: PreparedEncoder, texts: Sequence[str], threads: int) -> NDArray[np.float32] | str:
    for module in NEEDED:
        if find_spec(module) is None:
            return f"{module} is not installed (pip install 'bigenough[tune]')"
    try:
        return _vectors(prepared, texts, threads)
    except Exception as error:  # whatever two large libraries raise: a check must cost no fit
        message = " ".join(f"{type(error).__name__}: {error}".split())
        return f"transformers cannot run it ({message[:LONGEST_REASON]})"


def _vectors(prepared: PreparedEncoder, texts: Sequence[str], threads: int) -> NDArray[np.float32]:
    """The (n, d) sentence vectors of texts."""
    import torch

    from bigenough.rungs.training.machine import borrowed

    config = prepared.arrays().config
    ids = tokenised(prepared.tokenizer, texts, prepared.max_length)
    out = np.empty((len(texts), config.vector_width), dtype=np.float32)
    with borrowed(threads, 0):
        model = _loaded(prepared)
        with torch.inference_mode():
            for places in equal_lengths([len(row) for row in ids]):
                rows = torch.tensor([ids[place] for place in places])
                said = model(input_ids=rows, attention_mask=torch.ones_like(rows), output_hidden_states=True)
                out[places] = _sentences(said.hidden_states, config).numpy()
    return out


def _loaded(prepared: PreparedEncoder) -> Any:
    """The model as transformers reads it, in 32 bits; no code of the folder is run."""
    from transformers import AutoModel

    folder = str(prepared.weights.folder)
    with _quiet():
        model, told = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, attn_implementation="eager", output_loading_info=True
        )
    absent = sorted(name for name in told["missing_keys"] if not name.startswith("pooler."))
    if absent:
        raise ValueError(f"it finds no {absent[0]!r} in {folder}")
    return model.float().eval()


def _sentences(layers: Sequence[torch.Tensor], config: BertConfig) -> torch.Tensor:
    """What a sentence vector is, said in torch: of (rows, length, width) tokens, by layer, the embeddings first."""
    import torch
    from torch.nn import functional

    tokens = [layers[place] for place in (*config.pooled, -1)]
    parts = [each[:, 0] if config.pooling == "cls" else each.mean(dim=1) for each in tokens]
    if config.normalise:
        parts = [functional.normalize(part) / len(parts) ** 0.5 for part in parts]
    return torch.cat(parts, dim=1)


@contextmanager
def _quiet() -> Iterator[None]:
    """A block in which transformers shows no progress and lists no arrays that it has no use for."""
    import transformers

    logging: Any = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
