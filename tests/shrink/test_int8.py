# SPDX-License-Identifier: Apache-2.0
"""8 bits: near the parent, never dependent on neighbours, refused with reasons when bad."""

import tempfile
import time
import tracemalloc
import weakref
from dataclasses import replace
from itertools import groupby
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shrink.tiny_parent import tiny_parent, topic_examples

from bigenough.errors import RungFailed
from bigenough.models.encoder import Encoder, tokenised
from bigenough.models.graph import encoder_graph
from bigenough.rungs.fit_memory import FitMemory
from bigenough.rungs.predictors import load_predictor
from bigenough.rungs.trials import Trials
from bigenough.shrink import encoders, int8
from bigenough.shrink.encoders import arrays_of, processor_features, row_seconds
from bigenough.shrink.flips import NOT_FINITE, Variant, saved_bytes
from bigenough.shrink.int8 import Int8Rung, fastest
from bigenough.shrink.int8_graph import Way, int8_graph, whole_numbers
from bigenough.shrink.ranges import RANGES, inner_values, measured, product_inputs, ranges_of
from bigenough.shrink.vocabulary import VocabularyRung

FIT, WATCH = topic_examples(120, 0), topic_examples(60, 1)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return tiny_parent(tmp_path_factory.mktemp("int8"))


@pytest.fixture(scope="module")
def arrays_and_predictor(parent):
    predictor = parent.of(FIT)
    return arrays_of(predictor), predictor


def encoder_of(graph, predictor, *, alone=False):
    return Encoder(graph, predictor.encoder.tokenizer, max_length=40, threads=2, alone=alone)


def ways(arrays, predictor):
    wanted = [*((how, False) for how in RANGES), ("minmax", True)]
    evened, ranges = measured(arrays.model, predictor.encoder.tokenizer, FIT.texts, wanted, threads=1)
    yield from (Way("dynamic", by_column=columns) for columns in (True, False))
    yield Way("dynamic", bits=7)
    yield from (Way("static", ranges=ranges[how, False]) for how in RANGES)
    yield Way("dynamic", evened=evened)
    yield Way("static", ranges=ranges["minmax", True], evened=evened)
    yield from (Way("blocks", bits=bits) for bits in (8, 4))


def test_every_way_is_near_the_parent(arrays_and_predictor):
    arrays, predictor = arrays_and_predictor
    expected = predictor.encoder.embed(WATCH.texts)
    for way in ways(arrays, predictor):
        graph = int8_graph(*arrays, way)
        found = encoder_of(graph, predictor, alone=way.alone).embed(WATCH.texts)
        cosine = (found * expected).sum(axis=1)
        assert cosine.min() > (0.9 if way.bits == 4 else 0.98), way
        assert graph == int8_graph(*arrays, way)


def test_rows_of_a_batch_share_a_dynamic_scale_so_they_run_alone(arrays_and_predictor):
    """The trap: what a text gets would depend on the texts beside it."""
    arrays, predictor = arrays_and_predictor
    graph = int8_graph(*arrays, Way("dynamic"))
    together = encoder_of(graph, predictor)
    one_by_one = np.vstack([together.embed([text]) for text in WATCH.texts])
    assert np.abs(together.embed(WATCH.texts) - one_by_one).max() > 1e-4
    np.testing.assert_array_equal(encoder_of(graph, predictor, alone=True).embed(WATCH.texts), one_by_one)


def test_other_ways_may_share_a_batch(arrays_and_predictor):
    arrays, predictor = arrays_and_predictor
    for way in ways(arrays, predictor):
        if not way.alone:
            encoder = encoder_of(int8_graph(*arrays, way), predictor)
            alone = np.vstack([encoder.embed([text]) for text in WATCH.texts])
            np.testing.assert_allclose(encoder.embed(WATCH.texts), alone, atol=1e-6)


def test_padding_changes_nothing_where_rows_may_share_a_batch(arrays_and_predictor):
    """Not how ``Encoder`` batches, but a graph is there for others too."""
    arrays, predictor = arrays_and_predictor
    ids = np.array([[2, 7, 9, 11, 3], [2, 8, 3, 0, 0]], dtype=np.int32)
    mask = (ids > 0).astype(np.int32)
    for way in ways(arrays, predictor):
        if not way.alone:
            session = encoder_of(int8_graph(*arrays, way), predictor).session
            padded = session.run(None, {"input_ids": ids, "attention_mask": mask})[0][1]
            alone = session.run(None, {"input_ids": ids[1:, :3], "attention_mask": mask[1:, :3]})[0][0]
            np.testing.assert_allclose(padded, alone, atol=1e-5)


def test_layers_with_fewer_heads_than_the_encoder(arrays_and_predictor):
    arrays, predictor = arrays_and_predictor
    heads, width = arrays.model.config.heads, arrays.model.config.width
    kept = np.arange(width // heads)
    first = arrays.model.layers[0]
    three = np.concatenate([kept + part * width for part in range(3)])
    fewer = replace(
        first, qkv=first.qkv[:, three].copy(), qkv_bias=first.qkv_bias[three], attended=first.attended[kept].copy()
    )
    slim = arrays._replace(model=replace(arrays.model, layers=(fewer, *arrays.model.layers[1:])))
    expected = encoder_of(encoder_graph(*slim), predictor).embed(WATCH.texts)
    for way in ways(slim, predictor):
        found = encoder_of(int8_graph(*slim, way), predictor, alone=way.alone).embed(WATCH.texts)
        assert (found * expected).sum(axis=1).min() > (0.9 if way.bits == 4 else 0.98), way


def test_columns_made_alike_lose_less(arrays_and_predictor):
    """One column of values a hundred times the others: evened, the others keep their steps."""
    arrays, predictor = arrays_and_predictor
    layers = []
    for layer in arrays.model.layers:
        scale, shift = layer.norm[0].copy(), layer.norm[1].copy()
        scale[3], shift[5] = 40 * scale[3], 30.0
        layers.append(replace(layer, norm=(scale, shift)))
    # The last layer alone: what a middle one says has passed through fewer products.
    config = replace(arrays.model.config, pooled=())
    wild = arrays._replace(model=replace(arrays.model, config=config, layers=tuple(layers)))
    expected = encoder_of(encoder_graph(*wild), predictor).embed(WATCH.texts)
    evened = measured(wild.model, predictor.encoder.tokenizer, FIT.texts, [], threads=1).evened
    off = [
        np.abs(encoder_of(int8_graph(*wild, way), predictor, alone=True).embed(WATCH.texts) - expected).mean()
        for way in (Way("dynamic"), Way("dynamic", evened=evened))
    ]
    assert off[1] < 0.7 * off[0]


def deep(arrays, layers):
    """The tiny encoder with so many layers."""
    model = arrays.model
    config = replace(model.config, layers=layers)
    return replace(model, config=config, layers=tuple(model.layers[i % 2] for i in range(layers)))


def test_layer_by_layer_the_values_are_those_of_the_whole_encoder(arrays_and_predictor):
    arrays, predictor = arrays_and_predictor
    model, tokenizer = deep(arrays, 4), predictor.encoder.tokenizer
    proto = onnx.load_from_string(encoder_graph(model))
    names = [name for place in range(4) for name in product_inputs(place).values()]
    proto.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    whole = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = []
    for row in tokenised(tokenizer, FIT.texts, model.config.max_length):
        ids = np.array([row], dtype=np.int32)
        expected.append(whole.run(names, {"input_ids": ids, "attention_mask": np.ones_like(ids)}))
    layers = inner_values(model, tokenizer, FIT.texts, lambda place, values: dict(values), threads=1)
    assert [list(layer) for layer in layers] == [list(product_inputs(place).values()) for place in range(4)]
    found = {name: values for layer in layers for name, values in layer.items()}
    for place, name in enumerate(names):
        np.testing.assert_array_equal(found[name], np.concatenate([text[place][0] for text in expected]))


def test_the_values_of_one_layer_are_there_at_a_time(arrays_and_predictor):
    """All values of BERT-base's layers are 1 GB; those of one, and what is made of them, a tenth of that."""
    arrays, predictor = arrays_and_predictor
    peaks = []
    for layers in (2, 12):
        model = deep(arrays, layers)
        tracemalloc.start()
        measured(model, predictor.encoder.tokenizer, FIT.texts * 4, [("minmax", True)], threads=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_the_best_variant_is_kept_and_the_others_are_told_of(parent, tmp_path):
    rung = Int8Rung(parent, allowed_flips=0.2)
    watched = rung.fit_watching(FIT, 4, rung.first_settings(FIT, 4), parent.bench, WATCH)
    variants, kept = watched.record["variants"], watched.record["kept"]
    assert {one["settings"]["kind"] for one in variants} == {"dynamic", "static", "blocks"}
    assert watched.settings == variants[kept]["settings"]
    assert variants[kept]["refused"] is None
    assert all((one["latency_ratio"] is None) == (one["refused"] is not None) for one in variants)
    again = rung.fit(FIT, 4, watched.settings, parent.bench)
    np.testing.assert_allclose(
        again.predict_proba(WATCH.texts), watched.predictor.predict_proba(WATCH.texts), atol=1e-6
    )
    watched.predictor.save(tmp_path)
    loaded = load_predictor(tmp_path, threads=1)
    assert loaded.encoder.alone == watched.record["rows_alone"] == (watched.settings["kind"] == "dynamic")


def test_a_variant_without_numbers_costs_itself_only(parent, tmp_path, monkeypatch):
    def broken(model, table, way):
        if way.kind == "blocks":
            scale, shift = model.norm
            model = replace(model, norm=(np.full_like(scale, np.nan), shift))
        return int8_graph(model, table, way)

    monkeypatch.setattr(int8, "int8_graph", broken)
    rung, memory = Int8Rung(parent, allowed_flips=0.2), FitMemory(tmp_path)
    work = Trials(rung, WATCH, 4, "accuracy", parent.bench, memory, time.monotonic)
    made = work.fitted(FIT, rung.first_settings(FIT, 4), watched=True)
    bad = [one for one in made.record["variants"] if one["settings"]["kind"] == "blocks"]
    assert [(one["refused"], one["max_probability_difference"]) for one in bad] == [(NOT_FINITE, None)] * 2
    assert made.settings["kind"] != "blocks"
    again = work.fitted(FIT, rung.first_settings(FIT, 4), watched=True)
    assert memory.reused == 1
    assert again.record == made.record


@pytest.fixture
def tried_on_a_sample(monkeypatch):
    """Makes int8 rungs that try variants on 12 of 60 rows, all as fast, and find bad what they are told to."""
    monkeypatch.setattr(int8, "LOOKED_AT", 12)
    monkeypatch.setattr(int8, "row_seconds", lambda openers, texts: [1.0] * len(openers))

    class Told(Int8Rung):
        def __init__(self, parent, bad):
            super().__init__(parent, allowed_flips=0.5)
            self.bad, self.looked = bad, []

        def _compared(self, predictor, settings, expected, bench, watch):
            found = super()._compared(predictor, settings, expected, bench, watch)
            self.looked.append((settings, len(watch)))
            return replace(found, refused="it is bad") if self.bad(settings, len(watch)) else found

    return Told


def test_a_variant_that_goes_bad_on_all_rows_makes_room_for_the_next(parent, tried_on_a_sample):
    rung = tried_on_a_sample(parent, lambda settings, rows: [rows for _, rows in rung.looked].count(60) == 1)
    watched = rung.fit_watching(FIT, 4, rung.first_settings(FIT, 4), parent.bench, WATCH)
    assert watched.record["looked_at"] == 12
    first, second = (settings for settings, rows in rung.looked if rows == 60)
    assert watched.settings == second
    variants, kept = watched.record["variants"], watched.record["kept"]
    refused = {repr(one["settings"]): one["refused"] for one in variants}
    assert (refused[repr(first)], refused[repr(second)]) == ("it is bad", None)
    again = watched.predictor.predict_proba(WATCH.texts).argmax(axis=1)
    assert variants[kept]["flips"] == np.mean(again != parent.of(FIT).predict_proba(WATCH.texts).argmax(axis=1))


def test_words_that_go_bad_on_all_rows_only_are_left_as_they_are(tmp_path, tried_on_a_sample, monkeypatch):
    """Of a pruned vocabulary the words in few bits are tried first."""
    monkeypatch.setattr(int8, "WORDS", 0.08)
    whole = tiny_parent(tmp_path)
    parent = replace(whole, rung=VocabularyRung(whole))
    rung = tried_on_a_sample(parent, lambda settings, rows: rows == 60 and settings["words"] is not None)
    watched = rung.fit_watching(FIT, 4, rung.first_settings(FIT, 4), parent.bench, WATCH)
    assert watched.settings["words"] is None
    variants, kept = watched.record["variants"], watched.record["kept"]
    assert variants[kept]["settings"] == watched.settings
    assert rung.looked[-1] == (watched.settings, 60)


def test_words_that_take_few_bytes_already_are_not_coded_anew(tmp_path, tried_on_a_sample):
    """Coded within more bytes than they take, they would be copies of one another in more rows."""
    whole = tiny_parent(tmp_path)
    parent = replace(whole, rung=VocabularyRung(whole))
    table = arrays_of(parent.of(FIT)).table
    assert table.row_bytes < int8.WORDS * 4 * len(table.place) * table.fine.shape[1]
    rung = tried_on_a_sample(parent, lambda settings, rows: False)
    watched = rung.fit_watching(FIT, 4, rung.first_settings(FIT, 4), parent.bench, WATCH)
    graph = onnx.load(str(watched.predictor.model)).graph
    kept = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    for part in ("place", "fine", "fine_scale"):
        assert np.array_equal(kept[f"words.{part}"], getattr(table, part))
    assert {settings["words"] for settings, _ in rung.looked} == {int8.WORDS}
    again = rung.fit(FIT, 4, watched.settings, parent.bench)
    assert again.n_parameters == watched.predictor.n_parameters == parent.of(FIT).n_parameters


def test_when_all_go_bad_it_says_why(parent):
    rung = Int8Rung(parent, allowed_flips=-1.0)
    with pytest.raises(
        RungFailed, match=r"dynamic 8 bits, evened: .* of the labels change.*static 8 bits, minmax ranges, "
    ):
        rung.fit_watching(FIT, 4, rung.first_settings(FIT, 4), parent.bench, WATCH)


@pytest.fixture
def running(parent, monkeypatch):
    """The encoders that were started in this test and are not gone."""
    parent.of(FIT)
    alive, start = weakref.WeakSet(), Encoder.__init__

    def counted(encoder, *arguments, **options):
        start(encoder, *arguments, **options)
        alive.add(encoder)

    monkeypatch.setattr(Encoder, "__init__", counted)
    return alive


def test_a_refused_variant_is_gone_before_the_next_is_made(parent, running, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = []
    bench = replace(parent.bench, say=lambda what, done: left.append((len(running), len(list(tmp_path.iterdir())))))
    rung = Int8Rung(parent, allowed_flips=-1.0)
    with pytest.raises(RungFailed):
        rung.fit_watching(FIT, 4, rung.first_settings(FIT, 4), bench, WATCH)
    assert len(left) >= 9
    assert set(left) == {(0, 0)}


def test_one_encoder_runs_at_a_time(parent, running, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    timed = []
    monkeypatch.setattr(encoders, "perf_counter", lambda: timed.append(len(running)) or time.perf_counter())
    rung = Int8Rung(parent, allowed_flips=0.2)
    watched = rung.fit_watching(FIT, 4, rung.first_settings(FIT, 4), parent.bench, WATCH)
    assert sum(one["refused"] is None for one in watched.record["variants"]) > 2
    assert set(timed) == {1}
    assert list(running) == [watched.predictor.encoder]
    assert [path / "model.onnx" for path in tmp_path.iterdir()] == [watched.predictor.model]


def test_the_parents_copy_never_lies_beside_the_variants(parent, tmp_path, monkeypatch):
    """What is counted is written out first, into the folder for temporary files, which may be memory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own, beside = parent.of(FIT).model, []

    def counted(predictor):
        if predictor.model == own:
            beside.append(len(list(tmp_path.iterdir())))
        return saved_bytes(predictor)

    monkeypatch.setattr(int8, "saved_bytes", counted)
    rung = Int8Rung(parent, allowed_flips=0.2)
    rung.fit_watching(FIT, 4, rung.first_settings(FIT, 4), parent.bench, WATCH)
    assert beside == [0]


def test_timing_takes_turns():
    """A slow spell of the machine meets all encoders."""
    texts, seen = [f"text {i}" for i in range(50)], []

    def opener(name):
        return lambda: SimpleNamespace(embed=lambda given: seen.append((name, *given)))

    assert len(row_seconds([opener("a"), opener("b")], texts)) == 2
    assert [name for name, _ in groupby(seen, key=lambda call: call[0])] == ["a", "b"] * 3
    assert {text for name, text in seen if name == "b"} == set(texts)


def variant(flips, ratio, size=10, refused=None):
    return Variant({}, flips, 0.1, 0.9, 0.9, size, ratio, refused)


def test_the_rule():
    assert fastest([variant(0.0, 1.0), variant(0.01, 0.4)]) == 1
    assert fastest([variant(0.0, 0.43), variant(0.01, 0.4)]) == 0
    assert fastest([variant(0.01, 0.4, 11), variant(0.01, 0.4, 10)]) == 1
    assert fastest([variant(0.0, None, refused="bad"), variant(0.01, 0.9)]) == 1


@given(arrays(np.float32, (5, 4), elements=st.floats(-1000, 1000, width=32)), st.booleans(), st.sampled_from([127, 63]))
def test_whole_numbers_are_within_half_a_step(weight, by_column, most):
    codes, scale = whole_numbers(weight, by_column=by_column, most=most)
    assert np.abs(codes.astype(int)).max() <= most
    assert (np.abs(codes * scale - weight) <= np.maximum(scale, 1e-12) * 0.5001 + 1e-6).all()


@pytest.mark.parametrize("how", RANGES)
def test_ranges_hold_zero(how):
    values = {"a": np.linspace(2, 3, 1000, dtype=np.float32), "b": np.linspace(-3, -2, 1000, dtype=np.float32)}
    found = ranges_of(values, {"up": "a", "down": "b"}, how)
    assert found["up"][0] == 0.0 < found["up"][1] <= 3
    assert -3 <= found["down"][0] < 0.0 == found["down"][1]


def test_processor_features_are_read(tmp_path):
    told = tmp_path / "cpuinfo"
    told.write_text("processor : 0\nflags\t\t: fpu avx2 sse2 avx512_vnni\n\nprocessor : 1\nflags : fpu\n")
    assert processor_features(told) == ["avx2", "avx512_vnni"]
    assert processor_features(tmp_path / "absent") == []
