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
from bigenough.models.tokenizer_file import n_ids
from bigenough.storage import atomic_folder, check_files, file_hashes, read_json, write_bytes, write_json

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["TokenTable", "distilled", "distilled_table", "frequency_weights", "principal_components", "token_weights"]

Array = NDArray[np.float32]
Keys = NDArray[np.uint64]

RECIPE = 4
"""Raised whenever the same encoder would give another table."""
DIMENSIONS = 256
MAX_LENGTH = 512
"""Tokens of a text that are looked at."""
SIF = 1e-4
WORDS_SHARE = 0.5
"""Length of an input vector beside an output vector of length 1."""
CHUNK = 4096
"""Texts whose tokens are looked up together."""
CHUNK_TOKENS = 65_536
"""Tokens whose vectors are gathered together; bounds what long texts take."""


class TokenTable:
    """Token vectors and the tokenizer whose ids they stand at; after them, perhaps, vectors of neighbouring tokens.

    Attributes:
        vectors: (vocabulary + p, d) float32, weights included; a zero row is a token that says nothing.
        tokenizer: cuts at 512 tokens and never pads.
        pairs: (p,) ascending keys of the pairs of neighbours that have a row of their own, as ``pair_keys`` gives them.
    """

    def __init__(self, vectors: Array, tokenizer: Tokenizer, pairs: Keys | None = None) -> None:
        self.vectors = vectors
        self.tokenizer = plain_tokenizer(tokenizer, MAX_LENGTH)
        self.pairs = np.zeros(0, dtype=np.uint64) if pairs is None else pairs

    @property
    def shape(self) -> tuple[int, int]:
        """(vocabulary + p, d)."""
        return len(self.vectors), self.vectors.shape[1]

    @property
    def vocabulary(self) -> int:
        """How many of the rows are tokens."""
        return self.shape[0] - len(self.pairs)

    @property
    def n_numbers(self) -> int:
        """Numbers that are kept, the keys of pairs included."""
        return self.vectors.size + len(self.pairs)

    def take(self, ids: NDArray[np.int64]) -> Array:
        """The (n, d) vectors at these rows."""
        return self.vectors[ids]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The (n, d) vectors of n texts, each added up row by row, so that no other text has a part in it.

        It is the sum of the tokens' vectors and of the pairs', over the number of tokens: without pairs, the mean.
        """
        out = np.zeros((len(texts), self.shape[1]))
        for start in range(0, len(texts), CHUNK):
            flat, lengths = self._ids(texts[start : start + CHUNK])
            ends = np.cumsum(lengths)
            first = 0
            while first < len(lengths):
                begin = int(ends[first] - lengths[first])
                last = max(first + 1, int(np.searchsorted(ends, begin + CHUNK_TOKENS, side="right")))
                self._add_up(flat[begin : ends[last - 1]], lengths[first:last], out[start + first : start + last])
                first = last
        return out

    def _add_up(self, flat: NDArray[np.int64], lengths: NDArray[np.int64], out: NDArray[np.float64]) -> None:
        """Write the vectors of texts with these tokens over the zeros of ``out``."""
        some = np.flatnonzero(lengths)
        if not len(some):
            return
        begins = (np.cumsum(lengths) - lengths)[some]
        out[some] = np.add.reduceat(self.take(flat), begins, axis=0, dtype=np.float64)
        if len(self.pairs):
            rows, owners = self._known_pairs(flat, lengths)
            if len(rows):
                firsts = np.flatnonzero(np.diff(owners, prepend=-1))
                out[owners[firsts]] += np.add.reduceat(self.take(rows), firsts, axis=0, dtype=np.float64)
        out[some] /= lengths[some, None]

    def shares(self, texts: Sequence[str]) -> csr_array:
        """(n, vocabulary + p): how often each row is in a text, over its tokens; times the vectors it is ``embed``."""
        from scipy.sparse import csr_array, vstack

        parts = [csr_array((0, self.shape[0]))]
        for start in range(0, len(texts), CHUNK):
            flat, lengths = self._ids(texts[start : start + CHUNK])
            owners = np.repeat(np.arange(len(lengths)), lengths)
            if len(self.pairs):
                rows, theirs = self._known_pairs(flat, lengths)
                flat, owners = np.concatenate([flat, rows]), np.concatenate([owners, theirs])
            order = np.argsort(owners, kind="stable")
            ends = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=len(lengths)))])
            share = 1 / lengths[owners[order]]
            part = csr_array((share, flat[order], ends), shape=(len(lengths), self.shape[0]))
            part.sum_duplicates()
            parts.append(part)
        return csr_array(vstack(parts, format="csr"))

    def pair_keys(self, texts: Sequence[str]) -> Keys:
        """The keys of all pairs of neighbours in these texts, text by text, the borders of a text being neighbours."""
        parts = [np.zeros(0, dtype=np.uint64)]
        starts = range(0, len(texts), CHUNK)
        parts += [_pair_keys(*self._ids(texts[start : start + CHUNK]), self.vocabulary) for start in starts]
        return np.concatenate(parts)

    def _ids(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All token ids one after the other, and how many each text has."""
        ids = tokenised(self.tokenizer, texts, MAX_LENGTH, special=False)
        lengths = np.array([len(row) for row in ids], dtype=np.int64)
        return np.fromiter((i for row in ids for i in row), dtype=np.int64, count=int(lengths.sum())), lengths

    def _known_pairs(
        self, flat: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of the pairs that have one, and the text each is in."""
        keys = _pair_keys(flat, lengths, self.vocabulary)
        owners = np.repeat(np.arange(len(lengths)), np.where(lengths > 0, lengths + 1, 0))
        place = np.searchsorted(self.pairs, keys)
        known = self.pairs.take(place, mode="clip") == keys
        return place[known] + self.vocabulary, owners[known]


def _pair_keys(flat: NDArray[np.int64], lengths: NDArray[np.int64], vocabulary: int) -> Keys:
    """Keys first · (vocabulary + 1) + second, with the number ``vocabulary`` for a text's border; n + 1 of n tokens."""
    some = lengths[lengths > 0]
    if not len(some):
        return np.zeros(0, dtype=np.uint64)
    marked = np.full(len(flat) + len(some) + 1, vocabulary, dtype=np.uint64)
    marked[np.arange(len(flat)) + np.repeat(np.arange(len(some)), some) + 1] = flat
    return marked[:-1] * np.uint64(vocabulary + 1) + marked[1:]


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
        vectors = distilled(encoder, words(), say)
        with atomic_folder(folder) as made:
            write_bytes(made / "table.safetensors", save({"table": vectors}))
            write_json(made / "table.json", {"files": file_hashes(made)})
    check_files(folder, read_json(folder / "table.json")["files"])
    return TokenTable(load_file(folder / "table.safetensors")["table"], encoder.tokenizer)


def distilled(encoder: Encoder, words: Array, say: Callable[[float], None] = lambda done: None) -> Array:
    """The (vocabulary, d) vectors of a table, made of an encoder and its (vocabulary or more, width) input vectors.

    What the encoder says of each token, beside what it reads: its input vectors tell apart more than its output.
    """
    said, weights = said_by_vocabulary(encoder, say), token_weights(encoder.tokenizer)
    kept = weights > 0
    heard = words[: len(kept)][kept]  # a table of words may go on behind the last token
    heard = heard - heard.mean(axis=0)
    heard *= WORDS_SHARE / np.maximum(np.linalg.norm(heard, axis=1, keepdims=True), 1e-12)
    both = np.hstack([said[kept], heard])
    vectors = np.zeros((len(said), min(DIMENSIONS, both.shape[1])), dtype=np.float32)
    vectors[kept] = principal_components(both, DIMENSIONS) * weights[kept, None]
    return vectors


def token_weights(tokenizer: Tokenizer) -> NDArray[np.float64]:
    """(vocabulary,) how much each token counts: by its frequency; 0 for ids that no text holds, special or reserved."""
    weights = frequency_weights(n_ids(tokenizer))
    named = np.zeros(len(weights), dtype=bool)
    named[list(tokenizer.get_vocab().values())] = True
    weights[~named] = 0.0
    special = [i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special]
    reserved = [i for token, i in tokenizer.get_vocab().items() if token.startswith("[unused")]
    weights[special + reserved] = 0.0
    return weights


def said_by_vocabulary(encoder: Encoder, say: Callable[[float], None]) -> Array:
    """(vocabulary, d): what the encoder makes of each token between its special tokens."""
    before, after = _special_tokens(encoder.tokenizer)
    size = n_ids(encoder.tokenizer)
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
