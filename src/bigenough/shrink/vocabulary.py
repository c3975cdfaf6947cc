# SPDX-License-Identifier: Apache-2.0
"""An encoder with fewer word vectors: in full for the user's own words, coarser for others, none for the rest.

The word vectors are half of a small encoder, and a domain uses a tenth of them. The tokenizer stays as it is, so texts
are cut into the same tokens as before; what changes is the row that a token's id stands for, within a number of bytes:

- special tokens and the frequent ones, nine in ten of all that fit holds, get a row of 8 bits;
- the others get a row of 4 bits, a scale for each 32 numbers: those of fit first, then as they stand in the vocabulary
  (WordPiece and BPE number tokens by how frequent they are in general text), those with characters that no text of fit
  has last, and reserved ones never. Bytes that are left turn rows of 4 bits into such of 8, in the same order;
- each id without a row takes the kept row nearest to its own vector, by cosine after the mean vector is taken off.

What else was tried, on held-out rows of banking77 with 0.6 % of their tokens unseen in fit: the nearest row for all
unseen tokens changes 0.65 % of the labels, product quantisation of them in 48 bytes a row 0.2 %, 4 bits none.

A text of another domain or language still gets an answer, from nearest rows: the model is pruned to the domain of fit,
and the record says how many ids lost their row and which share of the watched tokens they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.errors import Refused, RungFailed
from bigenough.models.encoder import token_rows
from bigenough.models.graph import encoder_graph
from bigenough.models.graph_reading import EncoderArrays
from bigenough.models.word_table import BLOCK, WordTable
from bigenough.rungs.predictors.encoder import EncoderPredictor
from bigenough.rungs.protocol import Settings, Watched, Workbench
from bigenough.shrink.encoders import EncoderStep, arrays_of, made
from bigenough.shrink.flips import Variant, compare, refusal, saved_bytes, variants_record
from bigenough.task import Examples

__all__ = ["FirstTokens", "Pruned", "VocabularyRung", "first_tokens", "nearest_rows", "pruned", "smallest_faithful"]

SHARES = (0.115, 0.16, 0.223)
"""Bytes of the pruned word vectors beside those of the whole ones, in 32 bits."""
FAITHFUL = 0.003
"""Flips beyond which a smaller table is not worth having: pruning is to be next to free."""
OFTEN = 0.9
"""The share of all tokens of fit that get a row of 8 bits first of all."""
CHUNK = 2048


class FirstTokens(NamedTuple):
    """Ids in the order in which they deserve a row, and how many of the first are special or frequent."""

    ids: NDArray[np.int64]
    often: int


class Pruned(NamedTuple):
    """Coded word vectors, and (vocabulary,) which ids have no row of their own any more."""

    table: WordTable
    dropped: NDArray[np.bool_]


class VocabularyRung(EncoderStep):
    """An encoder pruned to the words of its task; ``allowed_flips`` is the share of labels that may change."""

    step = "vocabulary"
    summary = "the encoder with its word vectors pruned to the domain of fit"
    place = 29

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """The smallest size; with select at hand, it decides."""
        return {"share": SHARES[0]}

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> EncoderPredictor:
        """The parent that saw these rows, pruned to their words."""
        parent = self.model_of(examples)
        arrays = arrays_of(parent)
        tokenizer = parent.encoder.tokenizer
        first = first_tokens(tokenizer, examples.texts, parent.encoder.max_length)
        found = pruned(_whole(arrays, self.name), tokenizer, first, float(settings["share"]))
        return _with_table(parent, arrays, found.table, bench)

    def fit_watching(
        self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench, watch: Examples
    ) -> Watched:
        """Every size; ``smallest_faithful`` says which is kept. Raises ``Refused`` when all change too much."""
        parent = self.model_of(examples)
        arrays, tokenizer = arrays_of(parent), parent.encoder.tokenizer
        words = _whole(arrays, self.name)
        first = first_tokens(tokenizer, examples.texts, parent.encoder.max_length)
        expected = parent.predict_proba(watch.texts)
        tried = [pruned(words, tokenizer, first, share) for share in SHARES]
        variants = []
        for share, one in zip(SHARES, tried, strict=True):
            predictor = _with_table(parent, arrays, one.table, bench)
            found = compare(expected, predictor.predict_proba(watch.texts), watch.labels, bench.metric)
            reason = refusal(found, self.allowed_flips)
            variants.append(Variant({"share": share}, *found, saved_bytes(predictor), refused=reason))
            del predictor  # there is memory for one beside the parent
        kept = smallest_faithful(self.name, variants, len(watch))
        record = {
            **variants_record(variants, kept),
            **_affected(tried[kept], token_rows(tokenizer, watch.texts, parent.encoder.max_length)),
            "parent_bytes": saved_bytes(parent),
            "note": "pruned to the domain of fit: texts in other words or languages get an answer from nearest rows",
        }
        return Watched(_with_table(parent, arrays, tried[kept].table, bench), {"share": SHARES[kept]}, record)


def smallest_faithful(name: str, variants: Sequence[Variant], rows: int) -> int:
    """The place of the smallest variant that changes at most 0.3 % of the labels, counting one flip more than was seen.

    The one more is for all those that ``rows`` watched rows are too few to show. If there is none, the one whose
    probabilities differ least. Raises ``Refused`` when all are.
    """
    usable = [(one, place) for place, one in enumerate(variants) if one.refused is None]
    if not usable:
        raise Refused(
            f"{name}: all {len(variants)} sizes are refused. The largest: {variants[-1].refused}. "
            "The task's texts differ too much from those it was pruned to: more of them in fit would help."
        )
    faithful = [(one.size_bytes, place) for one, place in usable if one.flips + 1 / rows <= FAITHFUL]
    if faithful:
        return min(faithful)[1]
    return min((one.max_probability_difference, place) for one, place in usable)[1]


def first_tokens(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> FirstTokens:
    """Special tokens, those in the texts, most frequent first, and single ASCII characters."""
    special = sorted(i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special)
    bare = {i: token.removeprefix("##").lstrip("Ġ▁") for token, i in tokenizer.get_vocab().items()}
    characters = sorted(i for i, token in bare.items() if len(token) == 1 and token.isascii())
    counts = Counter(i for row in token_rows(tokenizer, texts, max_length) for i in row)
    seen = sorted(counts, key=lambda i: (-counts[i], i))
    covered = np.cumsum([counts[i] for i in seen])
    frequent = seen[: int(np.searchsorted(covered, OFTEN * covered[-1])) + 1] if seen else []
    often = len({*special, *frequent})
    return FirstTokens(np.array(list(dict.fromkeys([*special, *seen, *characters])), dtype=np.int64), often)


def pruned(words: NDArray[np.float32], tokenizer: Tokenizer, first: FirstTokens, share: float) -> Pruned:
    """The word vectors within ``share`` of their bytes, though at least one row of 8 bits.

    Where the width is no multiple of 32 there are no rows of 4 bits.

    Args:
        words: (vocabulary, width).
        tokenizer: tells which tokens are reserved, as ``[unused0]``, and which characters they hold.
        first: whose rows come first.
        share: of ``words.nbytes``.
    """
    count, width = words.shape
    order = _order(tokenizer, first.ids[first.ids < count], count)
    in_full, in_half = width + 4, width / 2 + 2 * width / BLOCK
    left = share * words.nbytes
    if width % BLOCK:
        fine, coarse = max(1, int(left / in_full)), 0
    else:
        fine = max(1, min(first.often, len(order), int(left / in_full)))
        left = max(0.0, left - fine * in_full)
        coarse = min(len(order) - fine, int(left / in_half))
        better = min(coarse, int((left - coarse * in_half) / (in_full - in_half)))
        fine, coarse = fine + better, coarse - better
    kept = order[: fine + coarse]
    dropped = np.ones(count, dtype=bool)
    dropped[kept] = False
    instead = np.arange(count)
    instead[dropped] = nearest_rows(words, np.flatnonzero(dropped), kept)
    return Pruned(WordTable.of(words, kept[:fine], kept[fine:], instead), dropped)


def nearest_rows(words: NDArray[np.float32], wanted: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each wanted id the one among others whose vector has the highest cosine with its own, the mean taken off.

    >>> words = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [-1.9, -1.1]], dtype=np.float32)
    >>> nearest_rows(words, np.array([2]), np.array([0, 1])).tolist()
    [0]
    """
    centred = words - words.mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    found = [
        among[(centred[wanted[start : start + CHUNK]] @ centred[among].T).argmax(axis=1)]
        for start in range(0, len(wanted), CHUNK)
    ]
    return np.concatenate(found) if found else wanted


def _order(tokenizer: Tokenizer, first: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The first ids, then other tokens but reserved ones; at the end those with a character that no first one has."""
    tokens = [tokenizer.id_to_token(i) or "" for i in range(count)]
    known = set().union(*(tokens[i] for i in first))
    others = np.setdiff1d(np.arange(count), first)
    others = others[np.array([bool(tokens[i]) and not tokens[i].startswith("[unused") for i in others], dtype=bool)]
    foreign = np.array([not known.issuperset(tokens[i]) for i in others], dtype=bool)
    return np.concatenate([first, others[~foreign], others[foreign]])


def _whole(arrays: EncoderArrays, name: str) -> NDArray[np.float32]:
    if arrays.table is not None:
        raise RungFailed(f"{name}: the word vectors are pruned already. Prune the model that it was made of.")
    return arrays.model.words


def _with_table(
    parent: EncoderPredictor, arrays: EncoderArrays, table: WordTable, bench: Workbench
) -> EncoderPredictor:
    graph = encoder_graph(arrays.model, table)
    return made(graph, parent, arrays._replace(table=table).n_parameters, bench)


def _affected(found: Pruned, watched: Iterable[Sequence[int]]) -> dict[str, Any]:
    """How many ids have which row, and how many of the watched tokens they are."""
    table, dropped = found
    used = np.fromiter((i for row in watched for i in row), dtype=np.int64)
    coarse = ~dropped & (table.place >= len(table.fine))
    return {
        "ids": len(table.place),
        "fine_rows": len(table.fine),
        "coarse_rows": len(table.coarse),
        "dropped_ids": int(dropped.sum()),
        "watched_tokens_coarse": float(coarse[used].mean()) if len(used) else 0.0,
        "watched_tokens_dropped": float(dropped[used].mean()) if len(used) else 0.0,
    }
