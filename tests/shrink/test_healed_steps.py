# SPDX-License-Identifier: Apache-2.0
"""Fewer layers, neurons and heads: what is cut, how it heals, and when it is refused."""

from dataclasses import replace

import numpy as np
import pytest
from shrink.tiny_parent import tiny_parent, topic_examples

from bigenough.errors import Refused, RungFailed
from bigenough.models.graph_reading import read_graph
from bigenough.rungs.trials import recorded_seconds
from bigenough.shrink import layers
from bigenough.shrink.encoders import arrays_of
from bigenough.shrink.flips import NOT_FINITE, Comparison
from bigenough.shrink.healing import best_healing, healed
from bigenough.shrink.layers import LayersRung, kept_layers, loss_refusal
from bigenough.shrink.structure import StructureRung, narrowed, refitted
from bigenough.task.metrics import score

FIT, WATCH = topic_examples(120, 0), topic_examples(60, 1)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return tiny_parent(tmp_path_factory.mktemp("healed"))


def by_the_head(rung):
    return {**rung.first_settings(FIT, 4), "healing": "head"}


@pytest.mark.parametrize(("step", "tried"), [(LayersRung, 1), (StructureRung, 3)])
def test_the_smallest_that_loses_little_is_kept(parent, step, tried):
    rung = step(parent, allowed_flips=0.5)
    watched = rung.fit_watching(FIT, 4, by_the_head(rung), parent.bench, WATCH)
    variants, kept = watched.record["variants"], watched.record["kept"]
    assert len(variants) == tried
    usable = [one["size_bytes"] for one in variants if one["refused"] is None]
    assert variants[kept]["size_bytes"] == min(usable) < watched.record["parent_bytes"]
    assert variants[kept]["latency_ratio"] > 0
    again = rung.fit(FIT, 4, watched.settings, parent.bench)
    np.testing.assert_allclose(
        again.predict_proba(WATCH.texts), watched.predictor.predict_proba(WATCH.texts), atol=1e-6
    )


class Killed(BaseException):
    pass


def test_a_kill_between_two_variants_costs_neither_training(parent, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from bigenough.rungs.training import loop
    from bigenough.rungs.training.trained_file import write_trained

    rung = StructureRung(parent, allowed_flips=2.0)
    settings = {**rung.first_settings(FIT, 4), "healing": "train"}
    whole = rung.fit_watching(FIT, 4, settings, parent.bench, WATCH)
    trainings, real = [], loop.train

    def train(*arguments, **options):
        if len(trainings) == 1:
            raise Killed
        trainings.append(real(*arguments, **options))
        return trainings[-1]

    monkeypatch.setattr(loop, "train", train)
    bench = replace(parent.bench, scratch=tmp_path)
    with pytest.raises(Killed):
        rung.fit_watching(FIT, 4, settings, bench, WATCH)
    [kept] = tmp_path.glob("healed-*")
    took = trainings[0].record["seconds"] + 1000.0  # as if it had been long
    write_trained(kept, replace(trainings[0], record={**trainings[0].record, "seconds": took}))
    trainings.clear()
    parts = []
    monkeypatch.setattr(layers, "_part", lambda *told: parts.append(told[1:]) or told[0])
    resumed = rung.fit_watching(FIT, 4, settings, bench, WATCH)
    assert resumed.record["trainings"][0] == {"seconds": pytest.approx(took, abs=0.001)}
    assert recorded_seconds(resumed.record) > 1000.0
    assert [others for _, others in parts] == [3, 2, 1]
    assert [spent > 1000.0 for spent, _ in parts] == [False, True, True], "what was spent before the kill counts"
    by_training = [one for one in whole.record["variants"] if one["settings"]["healing"] == "train"]
    assert len(trainings) == len(by_training) - 1 == 1
    same, other = (each.predictor.predict_proba(WATCH.texts) for each in (resumed, whole))
    np.testing.assert_array_equal(same, other)


@pytest.mark.parametrize("step", [LayersRung, StructureRung])
def test_what_was_trained_is_held_against_torch(parent, step, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    monkeypatch.setattr(StructureRung, "attempts", lambda rung, arrays: [{"neurons": 0.5, "heads": 0.0}])
    rung = step(parent, allowed_flips=2.0)
    seen = rung.fit_watching(FIT, 4, {**rung.first_settings(FIT, 4), "healing": "train"}, parent.bench, WATCH)
    assert seen.settings["healing"] == "train"
    assert seen.record["export"]["texts"] == len(WATCH)
    assert seen.record["export"]["max_probability_difference"] < 1e-4
    assert seen.record["export"]["flips"] == 0


@pytest.mark.parametrize("step", [LayersRung, StructureRung])
def test_lost_accuracy_refuses(parent, step):
    rung = step(parent, allowed_flips=-2.0)
    with pytest.raises(RungFailed, match="accuracy on the watched rows falls by"):
        rung.fit_watching(FIT, 4, by_the_head(rung), parent.bench, WATCH)


def test_what_a_model_may_lose_is_counted_in_the_metric(parent):
    """One class has few rows, so that the metrics tell different things."""
    rare = np.flatnonzero((WATCH.labels != 3) | (np.arange(len(WATCH)) < 8))
    watch = WATCH.take(rare)
    rung = LayersRung(parent, allowed_flips=2.0)
    for metric in ("accuracy", "balanced_accuracy", "macro_f1"):
        seen = rung.fit_watching(FIT, 4, by_the_head(rung), replace(parent.bench, metric=metric), watch)
        said = seen.predictor.predict_proba(watch.texts).argmax(axis=1)
        assert seen.record["variants"][0]["score"] == pytest.approx(score(metric, watch.labels, said))
    refusing = LayersRung(parent, allowed_flips=-2.0)
    with pytest.raises(RungFailed, match="macro F1 on the watched rows falls by"):
        refusing.fit_watching(FIT, 4, by_the_head(rung), replace(parent.bench, metric="macro_f1"), WATCH)


def test_the_head_is_fitted_within_the_minutes_of_the_training(parent, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from bigenough.rungs.training import loop

    given, real = [], loop.train

    def train(body, tokenizer, texts, targets, recipe, bench, **options):
        given.append((bench.fit_minutes, targets))
        return real(body, tokenizer, texts, targets, recipe, replace(bench, fit_minutes=None), **options)

    monkeypatch.setattr(loop, "train", train)
    whole = parent.of(FIT)
    told = np.full((len(FIT), 4), 0.25, dtype=np.float32)
    clock = iter([100.0, 130.0]).__next__
    made = healed(arrays_of(whole), whole, FIT, "train", replace(parent.bench, fit_minutes=2.0), told, clock)
    assert given[0][0] == 1.5
    assert given[0][1] is told
    assert made.seconds > 0
    healed(arrays_of(whole), whole, FIT, "train", replace(parent.bench, fit_minutes=None))
    assert given[1][0] is None
    np.testing.assert_allclose(given[1][1], whole.predict_proba(FIT.texts), atol=1e-6)


@pytest.mark.parametrize(("spent", "minutes"), [(0.0, 1.0), (120.0, 0.5), (300.0, 0.0)])
def test_a_variant_has_an_equal_part_of_what_is_left(parent, spent, minutes):
    assert layers._part(replace(parent.bench, fit_minutes=4.0), spent, 4).fit_minutes == minutes
    assert layers._part(replace(parent.bench, fit_minutes=None), spent, 4).fit_minutes is None


def test_what_a_training_gave_up_does_not_let_a_refusal_be_forgotten(parent, monkeypatch):
    """Minutes are part of the key: the same command would give it up again. Memory may be another one."""
    fails_when(monkeypatch, lambda arrays, healing: False)
    rung = LayersRung(parent, allowed_flips=-2.0)
    with pytest.raises(Refused, match=r"falls by -?\d+\.\d\d points, -200\.00 are allowed"):
        rung.fit_watching(FIT, 4, {"healing": "train"}, parent.bench, WATCH)
    fails_when(monkeypatch, lambda arrays, healing: healing == "train")
    with pytest.raises(RungFailed, match=r"are allowed.*healing=train.* failed: Training takes 3 minutes") as caught:
        rung.fit_watching(FIT, 4, {"healing": "train"}, parent.bench, WATCH)
    assert not isinstance(caught.value, Refused)


def fails_when(monkeypatch, failing):
    def healed_or_not(arrays, whole, examples, healing, bench, targets=None):
        if failing(arrays, healing):
            raise RungFailed("Training takes 3 minutes at least. Raise the budget.")
        made = healed(arrays, whole, examples, "head", bench)
        return made._replace(notes=["1 epoch instead of 3"]) if healing == "train" else made

    monkeypatch.setattr(layers, "healed", healed_or_not)


def test_what_gives_no_numbers_is_refused_however_it_scores():
    assert loss_refusal(Comparison(0.0, float("nan"), 0.9, 0.9), 0.015) == NOT_FINITE


def test_what_healing_gave_up_is_in_the_record(parent, monkeypatch):
    fails_when(monkeypatch, lambda arrays, healing: False)
    rung = LayersRung(parent, allowed_flips=2.0)
    seen = rung.fit_watching(FIT, 4, {"healing": "train"}, parent.bench, WATCH)
    assert [note.rsplit(": ", 1)[1] for note in seen.record["notes"]] == ["1 epoch instead of 3"]
    assert rung.fit_recorded(FIT, 4, seen.settings, parent.bench).record == {
        "notes": ["1 epoch instead of 3"], "trainings": [],
    }  # fmt: skip


def test_a_variant_that_cannot_be_trained_heals_by_its_head(parent, monkeypatch):
    fails_when(monkeypatch, lambda arrays, healing: healing == "train")
    rung = StructureRung(parent, allowed_flips=0.5)
    seen = rung.fit_watching(FIT, 4, {"healing": "train"}, parent.bench, WATCH)
    assert [one["settings"]["healing"] for one in seen.record["variants"]] == ["head"] * 3
    assert seen.settings["healing"] == "head"
    assert len(seen.record["notes"]) == 2, "the third is one whose head alone learns anyway"
    assert "healing=train" in seen.record["notes"][0]
    assert "failed: Training takes 3 minutes at least. Raise the budget" in seen.record["notes"][0]


def test_a_variant_that_cannot_be_made_costs_itself_only(parent, monkeypatch):
    whole = arrays_of(parent.of(FIT)).model.layers[0].widen.shape[1]
    fails_when(monkeypatch, lambda arrays, healing: arrays.model.layers[0].widen.shape[1] > whole // 2)
    rung = StructureRung(parent, allowed_flips=0.5)
    seen = rung.fit_watching(FIT, 4, by_the_head(rung), parent.bench, WATCH)
    assert [one["settings"]["neurons"] for one in seen.record["variants"]] == [0.5, 0.5]
    assert len(seen.record["notes"]) == 1
    fails_when(monkeypatch, lambda arrays, healing: True)
    with pytest.raises(RungFailed, match="no variant could be made"):
        rung.fit_watching(FIT, 4, by_the_head(rung), parent.bench, WATCH)


def test_what_is_left_of_the_layers(parent):
    rung = LayersRung(parent)
    predictor = rung.fit(FIT, 4, {"layers": [1], "healing": "head"}, parent.bench)
    whole, left = arrays_of(parent.of(FIT)).model, read_graph(predictor.model).model
    np.testing.assert_array_equal(left.layers[0].widen, whole.layers[1].widen)
    with pytest.raises(RungFailed, match="single layer"):
        rung.cut(read_graph(predictor.model), predictor, {"layers": [-1]}, FIT, parent.bench)
    assert kept_layers(1) == []


def test_a_single_layer_has_nothing_to_drop(parent):
    class OneLayer(LayersRung):
        def attempts(self, arrays):
            return super().attempts(arrays._replace(model=replace(arrays.model, layers=arrays.model.layers[:1])))

    with pytest.raises(RungFailed, match="nothing that could be cut"):
        OneLayer(parent).fit_watching(FIT, 4, {"layers": [-1], "healing": "head"}, parent.bench, WATCH)


def test_least_squares_makes_up_for_what_is_cut(parent):
    """Neurons that others can stand in for are not missed: the outputs move less than without the second fit."""
    rng = np.random.default_rng(0)
    half = rng.standard_normal((400, 16)).astype(np.float32)
    values = np.hstack([half, half @ rng.standard_normal((16, 16)).astype(np.float32)])
    weight, bias = rng.standard_normal((32, 8)).astype(np.float32), rng.standard_normal(8).astype(np.float32)
    kept = np.arange(16)
    new, shift = refitted(values, kept, weight, bias)
    expected = values @ weight + bias
    healed_off = np.abs(values[:, kept] @ new + shift - expected).mean()
    assert healed_off < 0.05 * np.abs(values[:, kept] @ weight[kept] + bias - expected).mean()


def test_at_least_one_head_and_neuron_stay(parent):
    model = arrays_of(parent.of(FIT)).model
    rng = np.random.default_rng(0)
    said = rng.standard_normal((20, 32)).astype(np.float32), rng.standard_normal((20, 64)).astype(np.float32)
    least = narrowed(model.layers[0], *said, head_size=8, heads=1.0, neurons=1.0)
    assert least.qkv.shape == (32, 24)
    assert least.attended.shape == (8, 32)
    assert least.widen.shape == (32, 1)


@pytest.mark.slow
def test_it_trains_where_torch_is(parent):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    assert best_healing() == "train"
    assert LayersRung(parent).costly
    whole = parent.of(FIT)
    arrays = arrays_of(whole)
    model = arrays.model
    less = arrays._replace(model=replace(model, layers=model.layers[:1], config=replace(model.config, layers=1)))
    trained = healed(less, whole, FIT, "train", parent.bench).predictor
    head_only = healed(less, whole, FIT, "head", parent.bench).predictor
    assert np.abs(trained.predict_proba(WATCH.texts) - head_only.predict_proba(WATCH.texts)).max() > 1e-3
    assert np.mean(trained.predict_proba(WATCH.texts).argmax(axis=1) == WATCH.labels) > 0.6
    assert not read_graph(trained.model).model.config.normalise
