# SPDX-License-Identifier: Apache-2.0
"""Texts to vectors: independent of batch, order, threads; bounded for long texts."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from models.tiny_bert import forward, tiny_arrays, tiny_tokenizer, write_model

from bigenough.errors import TamperedArtefact
from bigenough.models import resolve
from bigenough.models.bert import read_bert
from bigenough.models.encoder import SLOW_FUSIONS, Encoder
from bigenough.models.graph import encoder_graph
from bigenough.models.prepared import prepared_encoder

TEXTS = [
    "lost card",
    "",
    "how to transfer money?",
    "good film!",
    "lost card",
    "é unknown ☃",
    "a " * 500,
    "\ud800 half a pair",
]


@pytest.fixture
def prepared(tmp_path):
    weights = resolve(str(write_model(tmp_path / "model")), cache=tmp_path, offline=True)
    return prepared_encoder(weights, cache=tmp_path)


def test_a_text_has_the_vector_of_berts_equations(prepared):
    encoder = prepared.start(threads=1)
    found = encoder.embed(["how to transfer money?", ""])
    ids = tiny_tokenizer().encode("how to transfer money?").ids
    np.testing.assert_allclose(found[0], forward(tiny_arrays(), ids), atol=5e-6)
    np.testing.assert_allclose(found[1], forward(tiny_arrays(), [3, 4]), atol=5e-6)


def test_neighbours_order_and_threads_make_no_difference(prepared):
    one, two = prepared.start(threads=1), prepared.start(threads=2)
    together = two.embed(TEXTS)
    np.testing.assert_allclose(np.concatenate([two.embed([text]) for text in TEXTS]), together, atol=1e-6)
    np.testing.assert_allclose(two.embed(TEXTS[::-1])[::-1], together, atol=1e-6)
    np.testing.assert_allclose(one.embed(TEXTS), together, atol=1e-6)


def test_many_texts_come_back_in_their_order(prepared, monkeypatch):
    monkeypatch.setattr("bigenough.models.encoder.WINDOW", 5)
    encoder, said = prepared.start(threads=1), []
    texts = [f"{'a ' * (i % 7)}card {'z' * (i % 3)}" for i in range(23)]
    found = encoder.embed(texts, say=said.append)
    np.testing.assert_allclose(found, np.concatenate([encoder.embed([text]) for text in texts]), atol=1e-6)
    assert said[-1] == 1.0
    assert said == sorted(said)


def test_no_texts(prepared):
    assert prepared.start(threads=1).embed([]).shape == (0, 32)


def test_ten_megabytes_cost_what_their_beginning_costs(prepared):
    encoder = prepared.start(threads=1)
    np.testing.assert_array_equal(encoder.embed(["pay " * 2_500_000]), encoder.embed(["pay " * 2000]))


def test_the_real_encoder_knows_a_paraphrase(tmp_path):
    prepared = prepared_encoder(resolve("minilm", cache=tmp_path, offline=True), cache=tmp_path)
    a, b, c = prepared.start(threads=2).embed(
        ["My card was stolen", "Somebody took my bank card", "The soup is too salty"]
    )
    assert a @ b > 0.6 > 0.3 > a @ c
    assert prepared.n_parameters == 22_466_304


def test_a_prepared_graph_is_checked_and_not_built_again(prepared, tmp_path):
    before = prepared.model.stat().st_mtime_ns
    assert prepared_encoder(prepared.weights, cache=tmp_path).model.stat().st_mtime_ns == before
    prepared.model.write_bytes(prepared.model.read_bytes()[:-1] + b"?")
    with pytest.raises(TamperedArtefact):
        prepared_encoder(prepared.weights, cache=tmp_path)


def test_onnxruntime_does_not_put_the_slow_norm_back(tmp_path):
    """Five times as slow as an addition and a norm: what it makes of them where it knows their shapes."""
    proto, made = onnx.load_from_string(encoder_graph(read_bert(write_model(tmp_path / "model")))), {}
    shape = ["batch", "length", 32]
    proto.graph.value_info.append(onnx.helper.make_tensor_value_info("tokens", onnx.TensorProto.FLOAT, shape))
    for name, off in (("as it is", []), ("as we start it", SLOW_FUSIONS)):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / f"{name}.onnx")
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        onnxruntime.InferenceSession(proto.SerializeToString(), options, disabled_optimizers=off)
        made[name] = {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}
    assert "SkipLayerNormalization" in made["as it is"]
    assert "SkipLayerNormalization" not in made["as we start it"]


def test_a_text_of_no_token_at_all_has_a_vector(tmp_path, prepared):
    tokenizer = prepared.tokenizer
    tokenizer.post_processor = None
    encoder = Encoder(prepared.model, tokenizer, max_length=8, threads=1)
    found = encoder.embed(["", "card", ""])
    np.testing.assert_allclose(found[0], forward(tiny_arrays(), [0]), atol=5e-6)
    np.testing.assert_array_equal(found[0], found[2])


def test_lower_case_where_the_folder_asks_for_it(tmp_path):
    folder = write_model(tmp_path / "model")
    tokenizer = tiny_tokenizer()
    tokenizer.normalizer = None
    tokenizer.save(str(folder / "tokenizer.json"))
    found = {}
    for asked in (False, True):
        (folder / "sentence_bert_config.json").write_text(json.dumps({"do_lower_case": asked}))
        weights = resolve(str(folder), cache=tmp_path, offline=True)
        found[asked] = prepared_encoder(weights, cache=tmp_path).start(threads=1).embed(["Card LOST", "card lost"])
    assert not np.allclose(found[False][0], found[False][1])
    np.testing.assert_array_equal(found[True][0], found[True][1])
    np.testing.assert_array_equal(found[True][1], found[False][1])
