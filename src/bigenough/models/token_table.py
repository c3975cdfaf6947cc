# SPDX-License-Identifier: Apache-2.0
"""A vector for each token of a vocabulary, distilled from an encoder: a sentence is the mean of its tokens' vectors.

The recipe is model2vec's (Tulkens & van Dongen 2024): each token alone goes through the encoder, principal components
keep what differs between tokens, and frequent tokens count less (smooth inverse frequency, Arora et al. 2017, with
frequencies by Zipf's law from the token's place in the vocabulary). It asks for no text at all, neither the user's nor
another's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.models.encoder import Encoder, plain_tokenizer, tokenised
from bigenough.storage import atomic_folder, check_files, file_hashes, read_json, write_bytes, write_json

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["TokenTable", "distilled_table", "frequency_weights", "principal_components", "token_weights"]

Array = NDArray[np.float32]

RECIPE = 2
"""Raised whenever the same encoder would give another table."""
DIMENSIONS = 256
MAX_LENGTH = 512
"""Tokens of a text that are looked at."""
SIF = 1e-4
WORDS_SHARE = 0.5
"""Length of an input vector beside an output vector of length 1."""
CHUNK = 4096
"""Texts whose token vectors are gathered together."""


class TokenTable:
    """Token vectors and the tokenizer whose ids they stand at.

    Attributes:
        vectors: (vocabulary, d) float32, weights included; a zero row is a token that says nothing.
        tokenizer: cuts at 512 tokens and never pads.
    """

    def __init__(self, vectors: Array, tokenizer: Tokenizer) -> None:
        self.vectors = vectors
        self.tokenizer = plain_tokenizer(tokenizer, MAX_LENGTH)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The (n, d) mean vectors of n texts, each added up token by token, so that no other text has a part in it."""
        out = np.zeros((len(texts), self.vectors.shape[1]))
        for start in range(0, len(texts), CHUNK):
            ids = tokenised(self.tokenizer, texts[start : start + CHUNK], MAX_LENGTH, special=False)
            lengths = np.array([len(row) for row in ids], dtype=np.int64)
            some = np.flatnonzero(lengths)
            if len(some):
                flat = np.fromiter((i for row in ids for i in row), dtype=np.int64, count=int(lengths.sum()))
                begins = (np.cumsum(lengths) - lengths)[some]
                sums = np.add.reduceat(self.vectors[flat], begins, axis=0, dtype=np.float64)
                out[start + some] = sums / lengths[some, None]
        return out

    def shares(self, texts: Sequence[str]) -> csr_array:
        """(n, vocabulary): which share of each text's tokens each token is; a row times the vectors is the mean."""
        from scipy.sparse import csr_array, vstack

        parts = [csr_array((0, len(self.vectors)))]
        for start in range(0, len(texts), CHUNK):
            ids = tokenised(self.tokenizer, texts[start : start + CHUNK], MAX_LENGTH, special=False)
            ends = np.cumsum([0, *(len(row) for row in ids)])
            flat = np.fromiter((i for row in ids for i in row), dtype=np.int64, count=int(ends[-1]))
            share = np.concatenate([np.zeros(0), *(np.full(len(row), 1 / len(row)) for row in ids if row)])
            part = csr_array((share, flat, ends), shape=(len(ids), len(self.vectors)))
            part.sum_duplicates()
            parts.append(part)
        return csr_array(vstack(parts, format="csr"))


def distilled_table(
    encoder: Encoder,
    words: Callable[[], Array],
    identity: str,
    *,
    cache: Path,
    say: Callable[[float], None] = lambda done: None,
) -> TokenTable:
    """The table of an encoder, made on first use and kept in the cache under the encoder's ``identity``.

    Args:
        encoder: what the tokens go through.
        words: gives the encoder's own (vocabulary, width) input vectors; asked only when the table is made.
        identity: names the encoder's weights.
        cache: the folder of all tables.
        say: hears the share that is done.
    """
    from safetensors.numpy import load_file, save

    folder = cache / "token-tables" / f"{identity}-{RECIPE}"
    if not (folder / "table.json").is_file():
        vectors = _distil(said_by_vocabulary(encoder, say), words(), token_weights(encoder.tokenizer))
        with atomic_folder(folder) as made:
            write_bytes(made / "table.safetensors", save({"table": vectors}))
            write_json(made / "table.json", {"files": file_hashes(made)})
    check_files(folder, read_json(folder / "table.json")["files"])
    return TokenTable(load_file(folder / "table.safetensors")["table"], encoder.tokenizer)


def _distil(said: Array, words: Array, weights: NDArray[np.float64]) -> Array:
    """What the encoder says of each token, beside what it reads: its input vectors tell apart more than its output."""
    kept = weights > 0
    heard = words[kept] - words[kept].mean(axis=0)
    heard *= WORDS_SHARE / np.maximum(np.linalg.norm(heard, axis=1, keepdims=True), 1e-12)
    both = np.hstack([said[kept], heard])
    vectors = np.zeros((len(said), min(DIMENSIONS, both.shape[1])), dtype=np.float32)
    vectors[kept] = principal_components(both, DIMENSIONS) * weights[kept, None]
    return vectors


def token_weights(tokenizer: Tokenizer) -> NDArray[np.float64]:
    """(vocabulary,) how much each token counts: by its frequency; 0 for those no text can hold, special or reserved."""
    weights = frequency_weights(tokenizer.get_vocab_size())
    special = [i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special]
    reserved = [i for token, i in tokenizer.get_vocab().items() if token.startswith("[unused")]
    weights[special + reserved] = 0.0
    return weights


def said_by_vocabulary(encoder: Encoder, say: Callable[[float], None]) -> Array:
    """(vocabulary, d): what the encoder makes of each token between its special tokens."""
    before, after = _special_tokens(encoder.tokenizer)
    size = encoder.tokenizer.get_vocab_size()
    out = np.empty((size, encoder.dim), dtype=np.float32)
    step = 256
    for start in range(0, size, step):
        tokens = np.arange(start, min(start + step, size), dtype=np.int32)
        row = np.empty((len(tokens), len(before) + 1 + len(after)), dtype=np.int32)
        row[:, : len(before)], row[:, len(before)], row[:, len(before) + 1 :] = before, tokens, after
        out[tokens] = encoder.run(row)
        say((start + len(tokens)) / size)
    return out


def _special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and after a text, such as [CLS] and [SEP]."""
    encoding = tokenizer.encode("a")
    own = [i for i, special in enumerate(encoding.special_tokens_mask) if not special]
    first, last = (own[0], own[-1] + 1) if own else (len(encoding.ids), len(encoding.ids))
    return encoding.ids[:first], encoding.ids[last:]


def principal_components(vectors: NDArray[np.floating], dimensions: int) -> NDArray[np.float64]:
    """(n, dimensions) coordinates along the axes of most variance, each axis' sign fixed by its largest loading.

    >>> principal_components(np.array([[0.0, 0.0], [2.0, 0.0]]), 1).tolist()
    [[-1.0], [1.0]]
    """
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    variance, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, np.argsort(-variance, kind="stable")[:dimensions]]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    coordinates: NDArray[np.float64] = centred @ (axes * signs)
    return coordinates


def frequency_weights(size: int) -> NDArray[np.float64]:
    """(size,) weights a / (a + p) with a = 1e-4 and p by Zipf's law, the first token being the most frequent.

    >>> weights = frequency_weights(30000)
    >>> bool(weights[0] < 0.01 < 0.9 < weights[-1])
    True
    """
    zipf = 1 / (np.arange(size) + 2.0)
    return np.asarray(SIF / (SIF + zipf / zipf.sum()))
