# SPDX-License-Identifier: Apache-2.0
"""An encoder with fewer word vectors: in full for the user's own words, coarser for others, none for the rest.

The word vectors are half of a small encoder, and a domain uses a tenth of them. The tokenizer stays as it is, so texts
are cut into the same tokens as before; what changes is the row that a token's id stands for:

- special tokens, those that occur in fit, the frequent ones first, and single ASCII characters get a row of 8 bits;
- of the others, those that stand first in the vocabulary (the more frequent ones in general text: WordPiece and BPE
  number tokens so) get a row of 4 bits, a scale for each 32 numbers, until the bytes are spent, and those with
  characters that no text of fit has come last;
- each id that is left takes the kept row nearest to its own vector, by cosine after the mean vector is taken off.

On banking77 that changed fewer labels than a k-means or product-quantised code of the same bytes for all unseen tokens
(0.2 % of labels at 48 bytes a row), or than the nearest row for all of them (0.65 %).

A text of another domain or language still gets an answer, from nearest rows: the model is pruned to the domain of fit,
and the record says how many ids lost their row and which share of the watched tokens they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bigenough.errors import RungFailed
from bigenough.models.encoder import tokenised
from bigenough.models.graph import encoder_graph
from bigenough.models.graph_reading import EncoderArrays
from bigenough.models.word_table import BLOCK, WordTable
from bigenough.rungs.predictors.encoder import EncoderPredictor
from bigenough.rungs.protocol import Settings, Trial, Watched, Workbench
from bigenough.shrink.encoders import EncoderStep, arrays_of, made
from bigenough.shrink.flips import Variant, compare, refusal, saved_bytes, variants_record
from bigenough.task import Examples

__all__ = ["Pruned", "VocabularyRung", "first_tokens", "nearest_rows", "pruned", "smallest_faithful"]

SHARES = (0.12, 0.2)
"""Bytes of the pruned word vectors beside those of the whole ones, in 32 bits."""
FAITHFUL = 0.003
"""Flips beyond which a smaller table is not worth having: pruning is to be next to free."""
CHUNK = 2048


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
        """The smaller size; with select at hand, it decides."""
        return {"share": SHARES[0]}

    def suggest(self, trial: Trial, examples: Examples, n_classes: int) -> Settings:
        """Nothing to search: one fit tries all sizes."""
        return {"share": trial.suggest_categorical("share", [SHARES[0]])}

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
        """Every size; the smallest that changes at most 0.3 % of the watched labels is kept.

        If none is so faithful, the one that changes fewest. Raises ``RungFailed`` when that is more than allowed.
        """
        parent = self.model_of(examples)
        arrays, tokenizer = arrays_of(parent), parent.encoder.tokenizer
        words = _whole(arrays, self.name)
        first = first_tokens(tokenizer, examples.texts, parent.encoder.max_length)
        expected = parent.predict_proba(watch.texts)
        tried = [pruned(words, tokenizer, first, share) for share in SHARES]
        predictors = [_with_table(parent, arrays, one.table, bench) for one in tried]
        variants = []
        for share, predictor in zip(SHARES, predictors, strict=True):
            found = compare(expected, predictor.predict_proba(watch.texts), watch.labels)
            reason = refusal(found, self.allowed_flips)
            variants.append(Variant({"share": share}, *found, saved_bytes(predictor), refused=reason))
        kept = smallest_faithful(self.name, variants)
        record = {
            **variants_record(variants, kept),
            **_affected(tried[kept], tokenised(tokenizer, watch.texts, parent.encoder.max_length)),
            "parent_bytes": saved_bytes(parent),
            "note": "pruned to the domain of fit: texts in other words or languages get an answer from nearest rows",
        }
        return Watched(predictors[kept], {"share": SHARES[kept]}, record)


def smallest_faithful(name: str, variants: Sequence[Variant]) -> int:
    """The place of the smallest that is not refused and changes at most 0.3 % of labels; else that with fewest flips.

    Raises ``RungFailed`` when all are refused.
    """
    usable = [(one, place) for place, one in enumerate(variants) if one.refused is None]
    if not usable:
        raise RungFailed(
            f"{name}: all {len(variants)} sizes are refused. The largest: {variants[-1].refused}. "
            "The task's texts differ too much from those it was pruned to: more of them in fit would help."
        )
    faithful = [(one.size_bytes, place) for one, place in usable if one.flips <= FAITHFUL]
    return min(faithful)[1] if faithful else min((one.flips, one.size_bytes, place) for one, place in usable)[2]


def first_tokens(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> NDArray[np.int64]:
    """The ids that keep a row in full: special ones, those in the texts, most frequent first, and ASCII characters."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    plain = {
        i
        for token, i in vocabulary.items()
        if len(bare := token.removeprefix("##").lstrip("Ġ▁")) == 1 and bare.isascii()
    }
    counts = Counter(i for row in tokenised(tokenizer, texts, max_length) for i in row)
    seen = sorted(counts, key=lambda i: (-counts[i], i))
    return np.array(list(dict.fromkeys([*sorted(special), *seen, *sorted(plain)])), dtype=np.int64)


def pruned(words: NDArray[np.float32], tokenizer: Tokenizer, first: NDArray[np.int64], share: float) -> Pruned:
    """The word vectors within ``share`` of their bytes.

    Args:
        words: (vocabulary, width).
        tokenizer: tells which tokens are reserved, as ``[unused0]``, and never get a row.
        first: ids that get a row of 8 bits while bytes last, the most important first.
        share: of ``words.nbytes``; at least one row is kept.
    """
    count, width = words.shape
    left = share * words.nbytes
    first = first[first < count]
    fine = first[: max(1, int(left / (width + 4)))]
    left -= len(fine) * (width + 4)
    reserved = [i for token, i in tokenizer.get_vocab().items() if token.startswith("[unused") and i < count]
    unkept = np.ones(count, dtype=bool)
    unkept[[*fine.tolist(), *reserved]] = False
    others = np.setdiff1d(np.flatnonzero(unkept), first)
    foreign = _foreign(tokenizer, others, first)
    # What fell out of the fine rows comes first, other scripts last.
    order = np.concatenate([first[len(fine) :], others[~foreign], others[foreign]]).astype(np.int64)
    coarse = order[:0]
    if width % BLOCK == 0 and left > 0:
        coarse = order[: int(left / (width / 2 + 2 * width / BLOCK))]
    kept = np.concatenate([fine, coarse])
    dropped = np.ones(count, dtype=bool)
    dropped[kept] = False
    instead = np.arange(count)
    instead[dropped] = nearest_rows(words, np.flatnonzero(dropped), kept)
    return Pruned(WordTable.of(words, fine, coarse, instead), dropped)


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


def _foreign(tokenizer: Tokenizer, ids: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the tokens hold a character that none of the first ones holds."""
    known = {character for i in first for character in tokenizer.id_to_token(int(i)) or ""}
    tokens = [tokenizer.id_to_token(int(i)) or "" for i in ids]
    return np.array([not known.issuperset(token) for token in tokens], dtype=bool)


def _whole(arrays: EncoderArrays, name: str) -> NDArray[np.float32]:
    if arrays.table is not None:
        raise RungFailed(f"{name}: the word vectors are pruned already. Prune the model that it was made of.")
    return arrays.model.words


def _with_table(
    parent: EncoderPredictor, arrays: EncoderArrays, table: WordTable, bench: Workbench
) -> EncoderPredictor:
    graph = encoder_graph(arrays.model, table)
    return made(graph, parent, arrays._replace(table=table).n_parameters, bench)


def _affected(found: Pruned, watched: Sequence[Sequence[int]]) -> dict[str, Any]:
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
