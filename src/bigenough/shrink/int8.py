# SPDX-License-Identifier: Apache-2.0
"""An encoder in 8 bits: weights and word vectors a quarter as large, and half the time a row on a CPU made for it.

**What is tried**, all of it on rows that no weight has seen: values measured while they run (dynamic; a scale for each
column of a matrix, or one for all of it), ranges measured before on fit (static; least and largest, percentile, least
divergence), both with columns of values made alike or left as they are, and blocks of 64 weights with values measured
row by row (8 and 4 bits). Weights are signed: unsigned ones
hold the same numbers about another zero. Without VNNI or AMX, x86 adds pairs of products in 16 bits, which can
overflow, so there weights of 7 bits are tried too.

**Words**: those of a pruned vocabulary are coded anew, most of them in 4 bits, where they take more than an eighth of
the bytes that all had in 32, since 8-bit products move labels more than that does; where nothing is then left to keep,
all is tried again with the words as they are. Those of a whole vocabulary get 8 bits each.

**What is kept**: of the variants that change no more labels than allowed, those whose median time of a single row is
within a tenth of the shortest; of them, the one with the fewest flips, then the fewest bytes. Of many watched rows a
stratified sample is looked at with every variant, and all of them with the one that is to be kept: if it goes bad
there, the next takes its place. It decides nothing about quality beyond that, and raises ``Refused`` when each
variant goes bad.

**Rows alone.** A dynamic product takes one scale for all rows of a batch, so that a row's probabilities would depend on
its neighbours (measured: sentence vectors move by up to 0.04, and one label in a hundred). Those models run each text
by itself, in service as here; static ranges and blocks need not.

**Memory.** One variant runs at a time. A refused one is gone before the next is made, and of the others only the files
stay, in the folder for temporary files, until one is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import Refused
from bigenough.models.graph_reading import EncoderArrays
from bigenough.models.own_encoder import OwnGraph
from bigenough.models.word_table import WordTable
from bigenough.rungs.predictors.encoder import EncoderPredictor
from bigenough.rungs.protocol import Settings, Watched, Workbench
from bigenough.rungs.sample import stratified_order
from bigenough.shrink.encoders import EncoderStep, arrays_of, made, opener, processor_features, row_seconds
from bigenough.shrink.flips import Variant, compare, refusal, saved_bytes, variants_record
from bigenough.shrink.int8_graph import Way, int8_graph
from bigenough.shrink.ranges import RANGES, Measured, measured
from bigenough.shrink.vocabulary import first_tokens, pruned
from bigenough.task import Examples

__all__ = ["Int8Rung", "fastest"]

WORDS = 0.127
"""The most bytes that a pruned vocabulary's vectors keep, beside those of the whole one in 32 bits."""
_DYNAMIC = {"kind": "dynamic", "by_column": True, "bits": 8, "range": None, "evened": True}
LOOKED_AT = 2_000
"""Watched rows on which every variant is tried."""
AS_FAST = 1.1
"""Medians of some sixty rows differ by a tenth from one minute to the next."""


class _Tried(NamedTuple):
    """All variants; by their place the graphs of those that are not refused, and how many numbers each holds."""

    variants: list[Variant]
    graphs: dict[int, OwnGraph]
    n_parameters: int


class Int8Rung(EncoderStep):
    """An encoder whose products run on whole numbers; ``allowed_flips`` is the share of labels that may change."""

    version = 3
    step = "int8"
    summary = "the encoder in 8 bits, in the way that was fastest among those that keep its labels"
    place = 28

    def first_settings(self, examples: Examples, n_classes: int) -> Settings:
        """Dynamic, a scale a column, values evened: good where nobody looks; with select at hand, it decides."""
        return {**_DYNAMIC, "words": WORDS}

    def fit(self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench) -> EncoderPredictor:
        """The parent that saw these rows, in 8 bits as the settings say; ranges are measured on the examples."""
        parent = self.model_of(examples)
        arrays = _with_few_bits(arrays_of(parent), parent, examples, settings["words"])
        values = _measured(arrays, parent, [settings], examples, bench)
        return _started(_graph(arrays, settings, values), arrays.n_parameters, settings, parent, bench)

    def fit_watching(
        self, examples: Examples, n_classes: int, settings: Settings, bench: Workbench, watch: Examples
    ) -> Watched:
        """Every variant, of which one is kept. Raises ``Refused`` with the reasons when all are."""
        parent = self.model_of(examples)
        parent_bytes = saved_bytes(parent)  # writes a copy: now, before the variants lie beside it
        some = watch.take(stratified_order(watch.labels, bench.seed)[:LOOKED_AT]) if len(watch) > LOOKED_AT else watch
        whole = arrays_of(parent)
        refused: list[Variant] = []
        for words in (WORDS, None) if _can_lose_words(whole, WORDS) else (WORDS,):
            tried = self._tried(parent, whole, words, examples, bench, some)
            _time(tried, parent, bench, watch.texts)
            kept, predictor = self._kept(tried, parent, bench, watch)
            if predictor is not None:
                settings = tried.variants[kept].settings
                record = {
                    **variants_record([*refused, *tried.variants], len(refused) + kept),
                    "looked_at": len(some),
                    "processor_features": processor_features(),
                    "rows_alone": _alone(settings),
                    "parent_bytes": parent_bytes,
                }
                return Watched(predictor, settings, record)
            refused += tried.variants
            del tried  # with its files
        raise self._all_bad(refused)

    def _tried(
        self,
        parent: EncoderPredictor,
        whole: EncoderArrays,
        words: float | None,
        examples: Examples,
        bench: Workbench,
        watch: Examples,
    ) -> _Tried:
        """All variants with the words in so many bytes, or with ``words`` None as they are."""
        expected = parent.predict_proba(watch.texts)
        arrays = _with_few_bits(whole, parent, examples, words)
        settings = _variants(processor_features(), words)
        values = _measured(arrays, parent, settings, examples, bench)
        tried = _Tried([], {}, arrays.n_parameters)
        for place, one in enumerate(settings):
            bench.say(f"8 bits, {_words(one)}", place / len(settings))
            graph = _graph(arrays, one, values)
            predictor = _started(graph, arrays.n_parameters, one, parent, bench)
            tried.variants.append(self._compared(predictor, one, expected, bench, watch))
            if tried.variants[-1].refused is None:
                tried.graphs[place] = graph
            del graph, predictor  # a refused one's file goes before the next one is made
        return tried

    def _kept(
        self, tried: _Tried, parent: EncoderPredictor, bench: Workbench, watch: Examples
    ) -> tuple[int, EncoderPredictor | None]:
        """The place and the model of the variant to keep; on all watched rows too, where it was tried on a sample.

        None where all are refused by then.
        """
        expected = parent.predict_proba(watch.texts) if len(watch) > LOOKED_AT else None
        variants = tried.variants
        while any(one.refused is None for one in variants):
            kept = fastest(variants)
            settings, ratio = variants[kept].settings, variants[kept].latency_ratio
            predictor = _started(tried.graphs[kept], tried.n_parameters, settings, parent, bench)
            if expected is not None:
                variants[kept] = replace(
                    self._compared(predictor, settings, expected, bench, watch), latency_ratio=ratio
                )
            if variants[kept].refused is None:
                return kept, predictor
            del predictor
        return 0, None

    def _all_bad(self, variants: Sequence[Variant]) -> Refused:
        reasons = "; ".join(f"{_words(one.settings)}: {one.refused}" for one in variants)
        told = ", ".join(processor_features()) or "none of the known features"
        return Refused(
            f"{self.name}: in 8 bits the model goes bad in every way that was tried on this processor ({told}). "
            f"{reasons}."
        )

    def _compared(
        self,
        predictor: EncoderPredictor,
        settings: Settings,
        expected: NDArray[np.float64],
        bench: Workbench,
        watch: Examples,
    ) -> Variant:
        """What became of one variant on the watched rows."""
        found = compare(expected, predictor.predict_proba(watch.texts), watch.labels, bench.metric)
        return Variant(settings, *found, saved_bytes(predictor), refused=refusal(found, self.allowed_flips))


def fastest(variants: Sequence[Variant]) -> int:
    """The place of the variant to keep, of those not refused: about the fastest, then fewest flips, then bytes.

    >>> found = {"max_probability_difference": 0.1, "score": 0.9, "parent_score": 0.9, "size_bytes": 10}
    >>> fastest([Variant({}, 0.01, latency_ratio=ratio, **found) for ratio in (1.0, 0.5, 0.52)])
    1
    """
    usable = [(one, place) for place, one in enumerate(variants) if one.refused is None]
    least = min(one.latency_ratio or 1.0 for one, _ in usable)
    near = [
        (one.flips, one.size_bytes, place) for one, place in usable if (one.latency_ratio or 1.0) <= AS_FAST * least
    ]
    return min(near)[2]


def _time(tried: _Tried, parent: EncoderPredictor, bench: Workbench, texts: Sequence[str]) -> None:
    """Put down how long a row takes with each variant that is not refused, beside the parent."""
    if not tried.graphs:
        return
    openers = [
        opener(parent, bench.threads, graph=graph.path, alone=_alone(tried.variants[place].settings))
        for place, graph in tried.graphs.items()
    ]
    own, *times = row_seconds([opener(parent, bench.threads), *openers], texts)
    for place, seconds in zip(tried.graphs, times, strict=True):
        tried.variants[place] = replace(tried.variants[place], latency_ratio=round(seconds / own, 3))


def _variants(features: Sequence[str], words: float | None) -> list[dict[str, Any]]:
    dynamic = {**_DYNAMIC, "words": words}
    plain = {**dynamic, "evened": False}
    tried: list[dict[str, Any]] = [dynamic, plain, {**plain, "by_column": False}]
    if not {"avx_vnni", "avx512_vnni", "amx_int8", "asimddp"} & set(features):
        tried.append({**dynamic, "bits": 7})
    tried += [{**dynamic, "kind": "static", "range": each} for each in RANGES]
    tried.append({**plain, "kind": "static", "range": "minmax"})
    tried += [{**plain, "kind": "blocks", "bits": bits} for bits in (8, 4)]
    return tried


def _words(settings: Settings) -> str:
    shape = "" if settings["by_column"] else ", one scale a matrix"
    ranges = f", {settings['range']} ranges" if settings["range"] else ""
    evened = ", evened" if settings["evened"] else ""
    return f"{settings['kind']} {settings['bits']} bits{shape}{ranges}{evened}"


def _measured(
    arrays: EncoderArrays,
    parent: EncoderPredictor,
    settings: Sequence[Settings],
    examples: Examples,
    bench: Workbench,
) -> Measured:
    """What these settings need of the values that go into the products, on rows spread over the examples."""
    every = np.linspace(0, len(examples) - 1, min(len(examples), 400)).astype(int)
    texts = [examples.texts[i] for i in np.random.default_rng(bench.seed).permutation(np.unique(every))]
    wanted = dict.fromkeys((one["range"], bool(one["evened"])) for one in settings if one["kind"] == "static")
    return measured(arrays.model, parent.encoder.tokenizer, texts, wanted, threads=bench.threads)


def _with_few_bits(
    arrays: EncoderArrays, parent: EncoderPredictor, examples: Examples, share: float | None
) -> EncoderArrays:
    """The arrays with words in 8 bits; where the vocabulary is pruned already, within this share of the whole's bytes.

    Words that keep within it are left as they are, and so are all of a pruned vocabulary with None.
    """
    words, tokenizer = arrays.model.words, parent.encoder.tokenizer
    if arrays.table is None:
        every = np.arange(len(words))
        table = WordTable.of(words, every, every[:0], every)
    elif share is None or not _can_lose_words(arrays, share):
        return arrays
    else:
        table = pruned(
            words, tokenizer, first_tokens(tokenizer, examples.texts, parent.encoder.max_length), share
        ).table
    return EncoderArrays(replace(arrays.model, words=table.decoded()), table)


def _can_lose_words(arrays: EncoderArrays, share: float) -> bool:
    """Whether the words are those of a pruned vocabulary, and take more than this share of the whole one's bytes."""
    return arrays.table is not None and arrays.table.row_bytes > share * arrays.model.words.nbytes


def _graph(arrays: EncoderArrays, settings: Settings, values: Measured) -> OwnGraph:
    """The graph that computes as the settings say, in a file of its own."""
    evens = bool(settings["evened"])
    ranges = values.ranges[settings["range"], evens] if settings["kind"] == "static" else {}
    evened = values.evened if evens else {}
    way = Way(settings["kind"], bool(settings["by_column"]), settings["bits"], ranges, evened)
    return OwnGraph(int8_graph(*arrays, way))


def _started(
    graph: OwnGraph, n_parameters: int, settings: Settings, parent: EncoderPredictor, bench: Workbench
) -> EncoderPredictor:
    return made(graph, parent, n_parameters, bench, alone=_alone(settings))


def _alone(settings: Settings) -> bool:
    return bool(settings["kind"] == "dynamic")
