# SPDX-License-Identifier: Apache-2.0
"""Texts to sentence vectors: tokenizers and onnxruntime, nothing else.

A text's vector does not depend on the texts beside it: only rows of exactly one token length share a batch, so no
padding is ever computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

__all__ = ["Encoder", "equal_lengths", "plain_tokenizer", "token_rows", "tokenised"]

Array = NDArray[np.float32]

BATCH_TOKENS = 1024
"""Tokens in one call: throughput no longer grows beyond about 500, memory does."""
WINDOW = 8192
"""Texts that are tokenised and sorted together; bounds the memory that a million texts take."""
CHARACTERS_PER_TOKEN = 32
"""Characters read for each token of the maximum length: no language comes near it, and a 10 MB text costs no more."""
SLOW_FUSIONS = ["SkipLayerNormFusion"]
"""What onnxruntime would put in for an addition and a layer norm takes five times as long on CPUs (1.32, measured)."""


class Encoder:
    """An encoder's ONNX graph with its tokenizer.

    Args:
        model: the graph's bytes, or the file that holds them (which takes less memory).
        tokenizer: gives the special tokens too; its truncation and padding are set here.
        max_length: tokens a text is cut to.
        threads: onnxruntime's threads; None leaves its choice (all physical cores).
        alone: run each text by itself. A graph that measures its values while it runs, to write them in 8 bits, takes
            one measure for all rows of a batch, so that a row's vector would depend on its neighbours.
    """

    def __init__(
        self,
        model: bytes | Path,
        tokenizer: Tokenizer,
        *,
        max_length: int,
        threads: int | None = None,
        alone: bool = False,
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = threads or 0
        # Batches differ in shape nearly every time: a plan of memory for each shape would only be kept, never used.
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        source = model if isinstance(model, bytes) else str(model)
        self.session = onnxruntime.InferenceSession(
            source, options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOW_FUSIONS
        )
        self.tokenizer = plain_tokenizer(tokenizer, max_length)
        self.max_length = max_length
        self.alone = alone
        self.dim = int(self.session.get_outputs()[0].shape[1])

    def embed(self, texts: Sequence[str], *, say: Callable[[float], None] = lambda done: None) -> Array:
        """The (n, dim) float32 vectors of n texts. ``say`` hears the share that is done."""
        out = np.empty((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), WINDOW):
            window = texts[start : start + WINDOW]
            ids = tokenised(self.tokenizer, window, self.max_length)
            for positions in equal_lengths([len(row) for row in ids], 1 if self.alone else BATCH_TOKENS):
                out[start + positions] = self.run(np.array([ids[i] for i in positions], dtype=np.int32))
            say((start + len(window)) / len(texts))
        return out

    def run(self, ids: NDArray[np.int32]) -> Array:
        """The (n, dim) vectors of n texts of one length, from their (n, length) token ids."""
        vectors: Array = self.session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
        return vectors


def plain_tokenizer(tokenizer: Tokenizer, max_length: int | None) -> Tokenizer:
    """A copy that never pads, and cuts at ``max_length`` tokens (None: never)."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_padding()
    copy.no_truncation() if max_length is None else copy.enable_truncation(max_length)
    return copy


def tokenised(tokenizer: Tokenizer, texts: Sequence[str], max_length: int, *, special: bool = True) -> list[list[int]]:
    """The token ids of each text, of which only the first 32 × ``max_length`` characters are read.

    With special tokens asked for, which not every tokenizer has, a text of no token at all is read as the first one.
    """
    longest = CHARACTERS_PER_TOKEN * max_length
    cut = [text[:longest] if len(text) > longest else text for text in texts]
    try:
        encodings = tokenizer.encode_batch_fast(cut, add_special_tokens=special)
    except (TypeError, UnicodeEncodeError):
        # A half of a surrogate pair is no text; it reads as "?".
        cut = [text.encode("utf-8", "replace").decode() for text in cut]
        encodings = tokenizer.encode_batch_fast(cut, add_special_tokens=special)
    nothing = [0] if special else []
    return [encoding.ids or nothing for encoding in encodings]


def token_rows(
    tokenizer: Tokenizer, texts: Sequence[str], max_length: int, *, special: bool = True
) -> Iterator[list[int]]:
    """As ``tokenised``, a window of texts at a time: for those who need no two texts at once."""
    for start in range(0, len(texts), WINDOW):
        yield from tokenised(tokenizer, texts[start : start + WINDOW], max_length, special=special)


def equal_lengths(lengths: Sequence[int], tokens: int = BATCH_TOKENS) -> Iterator[NDArray[np.int64]]:
    """Positions of texts of one length, at most so many tokens (but one text) at a time, shortest first.

    >>> [part.tolist() for part in equal_lengths([3, 2, 3])]
    [[1], [0, 2]]
    """
    if len(lengths) == 1:  # the shortest way for the one text that somebody waits for
        yield np.zeros(1, dtype=np.int64)
        return
    counts = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(counts, kind="stable")
    borders = np.flatnonzero(np.diff(counts[order])) + 1
    for same in np.split(order, borders):
        if len(same):
            size = max(1, tokens // max(1, int(counts[same[0]])))
            yield from (same[start : start + size] for start in range(0, len(same), size))
