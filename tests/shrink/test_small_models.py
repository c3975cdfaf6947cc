# SPDX-License-Identifier: Apache-2.0
"""Linear and static models made smaller, and students of a teacher: each passes the contract of every rung."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from models.tiny_bert import write_model
from rungs.conftest import as_examples, diagnoses, fit_split, select_split, weights_cache
from rungs.contract import Case, RungContract

from bigenough.errors import RungFailed
from bigenough.rungs.linear import LinearRung
from bigenough.rungs.majority import MajorityRung
from bigenough.rungs.parent import Parent
from bigenough.rungs.protocol import Workbench
from bigenough.rungs.static import StaticRung
from bigenough.shrink.distil import DistilledRung
from bigenough.shrink.features import FeaturesRung, importance
from bigenough.shrink.int8 import Int8Rung
from bigenough.shrink.layers import LayersRung
from bigenough.shrink.structure import StructureRung
from bigenough.shrink.tables import TablesRung
from bigenough.shrink.vocabulary import VocabularyRung
from bigenough.task import Examples

__all__ = ["diagnoses", "fit_split", "select_split", "weights_cache"]


def parent_of(rung, examples, n_classes, bench):
    """What a study gives: here the model is fitted on just these rows."""

    def fitted():
        return rung.fit(examples, n_classes, rung.first_settings(examples, n_classes), bench)

    kind = {"linear": "linear", "static": "static"}.get(rung.name, "other")
    return Parent(rung.name, f"{rung.name}-1234", kind, len(examples), fitted, fitted)


class Made:
    """A step with a parent for whatever it is fitted on, so that the contract can try it on many data."""

    def __init__(self, step, of):
        self.step, self.of = step, of
        plain = step(Parent(of.name, "folder", of.name, 0, lambda: None, lambda: None))
        self.name, self.version, self.summary, self.place = plain.name, plain.version, plain.summary, plain.place
        self.first_settings, self.suggest = plain.first_settings, plain.suggest

    def weights(self, bench):
        return {}

    def fit(self, examples, n_classes, settings, bench):
        bench = Workbench(bench.seed, bench.threads, bench.cache, bench.offline)
        return self.step(parent_of(self.of, examples, n_classes, bench)).fit(examples, n_classes, settings, bench)


STEPS = {
    "linear-few-features": lambda: Made(FeaturesRung, LinearRung()),
    "static-small-table": lambda: Made(TablesRung, StaticRung()),
    "linear-from-static": lambda: Made(lambda parent: DistilledRung(LinearRung(), parent), StaticRung()),
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(write_model(tmp_path_factory.mktemp("encoder") / "model"))


@pytest.fixture(scope="module", params=list(STEPS))
def case(request, weights_cache: Path, fit_split: Examples, select_split: Examples):
    bench = Workbench(seed=7, threads=1, cache=weights_cache, offline=True)
    return Case.of(STEPS[request.param](), bench, fit_split, select_split, 4)


class TestEveryStep(RungContract):
    def test_it_has_its_name(self, case: Case) -> None:
        assert case.rung.name in STEPS


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(seed=0, threads=1, cache=tmp_path / "cache", offline=True)


@pytest.mark.parametrize("of", ["linear", "static"])
def test_the_smallest_that_changes_few_labels_is_kept(of, encoder, bench, fit_split, select_split):
    rung = LinearRung() if of == "linear" else StaticRung(encoder)
    parent = parent_of(rung, fit_split, 4, bench)
    step = (FeaturesRung if of == "linear" else TablesRung)(parent, allowed_flips=0.03)
    seen = step.fit_watching(fit_split, 4, step.first_settings(fit_split, 4), bench, select_split)
    variants, kept = seen.record["variants"], seen.record["variants"][seen.record["kept"]]
    assert len(variants) > 4
    assert kept["refused"] is None
    assert kept["size_bytes"] == min(one["size_bytes"] for one in variants if one["refused"] is None)
    assert all((one["refused"] is None) == (one["flips"] <= 0.03) for one in variants)
    said = seen.predictor.predict_proba(select_split.texts)
    expected = parent.final().predict_proba(select_split.texts)
    assert np.mean(said.argmax(axis=1) != expected.argmax(axis=1)) == kept["flips"]
    again = step.fit(fit_split, 4, seen.settings, bench).predict_proba(select_split.texts)
    np.testing.assert_array_equal(again, said)


def test_a_linear_model_gets_several_times_smaller(bench, fit_split, select_split):
    parent = parent_of(LinearRung(), fit_split, 4, bench)
    step = FeaturesRung(parent, allowed_flips=0.05)
    seen = step.fit_watching(fit_split, 4, step.first_settings(fit_split, 4), bench, select_split)
    kept = seen.record["variants"][seen.record["kept"]]
    assert kept["settings"]["kept"] < 1
    whole = parent.final().n_parameters * 4
    assert kept["size_bytes"] < whole / 3


@pytest.mark.parametrize("step", [FeaturesRung, TablesRung, VocabularyRung, Int8Rung, LayersRung, StructureRung])
def test_the_licence_of_the_weights_goes_along(step, bench):
    facts = {"name": "all-MiniLM-L6-v2", "licence": "Apache-2.0"}
    parent = Parent("frozen", "frozen-1", "encoder", 9, lambda: None, lambda: None, weights=facts)
    assert step(parent).weights(bench) == facts


def test_when_all_are_refused_it_says_why(bench, fit_split, select_split):
    step = FeaturesRung(parent_of(LinearRung(), fit_split, 4, bench), allowed_flips=-1.0)
    with pytest.raises(RungFailed, match=r"all \d+ variants are refused.*labels change"):
        step.fit_watching(fit_split, 4, step.first_settings(fit_split, 4), bench, select_split)


@pytest.mark.parametrize("step", [FeaturesRung, TablesRung])
def test_other_kinds_are_no_parents(step, bench, fit_split):
    rung = step(parent_of(MajorityRung(), fit_split, 4, bench))
    with pytest.raises(RungFailed, match="kind 'constant'"):
        rung.fit(fit_split, 4, rung.first_settings(fit_split, 4), bench)


def test_a_token_that_says_nothing_takes_no_room(encoder, bench):
    examples = as_examples(["lost card", "pay money"] * 10, [0, 1] * 10)
    rung = StaticRung(encoder)
    step = TablesRung(parent_of(rung, examples, 2, bench))
    whole, half = (step.fit(examples, 2, {"bits": 8, "dropped": dropped}, bench) for dropped in (0.0, 0.5))
    assert len(half.table.packed.codes) < len(whole.table.packed.codes) * 0.7
    np.testing.assert_allclose(half.predict_proba(examples.texts), whole.predict_proba(examples.texts), atol=1e-3)


def test_what_ngrams_matter_takes_no_more_memory_for_more_texts(weights_cache: Path, fit_split: Examples, monkeypatch):
    monkeypatch.setattr("bigenough.rungs.predictors.ngrams._CHUNK", 2_000)
    linear = LinearRung()
    bench = Workbench(0, 1, weights_cache, offline=True)
    model = linear.fit(fit_split, 4, linear.first_settings(fit_split, 4), bench)

    def peak(times: int) -> int:
        many = fit_split.take(np.tile(np.arange(len(fit_split)), times))
        tracemalloc.start()
        try:
            importance(model, many)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(20) < 1.5 * peak(2)
