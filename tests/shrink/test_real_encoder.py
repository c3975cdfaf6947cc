# SPDX-License-Identifier: Apache-2.0
"""The promise on real weights: bytes, flips, and that a pruned model answers in any language."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bigenough.rungs.frozen import FrozenRung
from bigenough.rungs.parent import Parent
from bigenough.rungs.predictors import load_predictor
from bigenough.rungs.protocol import Workbench
from bigenough.shrink.flips import compare, saved_bytes
from bigenough.shrink.int8 import Int8Rung
from bigenough.shrink.layers import LayersRung
from bigenough.shrink.structure import StructureRung
from bigenough.shrink.vocabulary import VocabularyRung
from bigenough.task import Examples

pytestmark = pytest.mark.slow
CHAPTERS = ("2", "4", "6", "13")
ROWS = 400


@pytest.fixture(scope="module")
def splits():
    """1,600 diagnoses of four chapters: half to fit on, a quarter each to watch and to certify."""
    import simple_icd_10_cm as icd

    texts, labels = [], []
    for label, chapter in enumerate(CHAPTERS):
        codes = [code for code in icd.get_descendants(chapter) if len(code) in (3, 5, 6)]
        for i in np.linspace(0, len(codes) - 1, ROWS).astype(int):
            texts.append(icd.get_description(codes[i]))
            labels.append(label)
    every = Examples(texts, np.array(labels), np.arange(1, len(labels) + 1))
    part = np.random.default_rng(0).permutation(len(labels)) % 4
    return [every.take(np.flatnonzero(mask)) for mask in (part < 2, part == 2, part == 3)]


@pytest.fixture(scope="module")
def fitted(splits):
    cache = Path(os.environ.get("BIGENOUGH_CACHE") or Path.home() / ".cache" / "bigenough")
    bench = Workbench(seed=7, threads=2, cache=cache, offline=True)
    frozen = FrozenRung()
    fit = splits[0]
    return frozen.fit(fit, 4, frozen.first_settings(fit, 4), bench), bench


def parent_of(name, predictor):
    return Parent(name, name, "encoder", 10**9, lambda: predictor, lambda: predictor)


def watched(rung, splits, bench, healing=None):
    settings = dict(rung.first_settings(splits[0], 4))
    settings |= {"healing": healing} if healing else {}
    return rung.fit_watching(splits[0], 4, settings, bench, splits[1])


def test_the_vocabulary_and_then_8_bits(splits, fitted, tmp_path):
    whole, bench = fitted
    certify = splits[2]
    expected = whole.predict_proba(certify.texts)
    pruned = watched(VocabularyRung(parent_of("frozen", whole)), splits, bench)
    found = compare(expected, pruned.predictor.predict_proba(certify.texts), certify.labels)
    assert saved_bytes(pruned.predictor) <= 0.6 * saved_bytes(whole)
    assert found.flips <= 0.003
    assert pruned.record["dropped_ids"] >= 900
    answers = pruned.predictor.predict_proba(["頭痛と発熱が三日間続いています", "ألم في الرأس", "Knochenbruch", ""])
    np.testing.assert_allclose(answers.sum(axis=1), 1.0)

    small = watched(Int8Rung(parent_of("frozen-vocabulary", pruned.predictor)), splits, bench)
    found = compare(expected, small.predictor.predict_proba(certify.texts), certify.labels)
    assert saved_bytes(small.predictor) <= 0.2 * saved_bytes(whole)
    assert found.parent_score - found.score <= 0.015
    small.predictor.save(tmp_path)
    loaded = load_predictor(tmp_path, threads=2)
    texts = certify.texts[:60]
    alone = np.vstack([loaded.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(loaded.predict_proba(texts), alone, atol=1e-6)


@pytest.mark.parametrize("step", [LayersRung, StructureRung])
def test_what_is_cut_heals(step, splits, fitted):
    whole, bench = fitted
    found = watched(step(parent_of("frozen", whole), 0.05), splits, bench, "head")
    kept = found.record["variants"][found.record["kept"]]
    assert kept["parent_score"] - kept["score"] <= 0.05
    assert kept["size_bytes"] < 0.95 * found.record["parent_bytes"]
