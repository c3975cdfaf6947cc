# SPDX-License-Identifier: Apache-2.0
"""Arrays come back out of a graph as they went in."""

from dataclasses import replace

import numpy as np
import pytest
from models.tiny_bert import VOCABULARY, WIDTH, tiny_config, tiny_tokenizer, write_model

from bigenough.errors import UnsupportedModel
from bigenough.models.bert import read_bert
from bigenough.models.encoder import Encoder
from bigenough.models.graph import encoder_graph
from bigenough.models.graph_reading import read_graph
from bigenough.models.word_table import WordTable
from bigenough.shrink.int8_graph import Way, int8_graph
from bigenough.shrink.structure import narrowed

TEXTS = ["lost card", "please pay my money to the account", "zz top, what a plot!", ""]


@pytest.fixture(params=[("mean", True, "gelu"), ("mean", False, "relu"), ("cls", True, "gelu_new")])
def model(request, tmp_path):
    pooling, normalise, activation = request.param
    config = tiny_config(hidden_act=activation)
    return read_bert(write_model(tmp_path / "model", config, pooling=pooling, normalise=normalise))


def embedded(graph, config):
    return Encoder(graph, tiny_tokenizer(), max_length=config.max_length, threads=1).embed(TEXTS)


def test_the_graph_of_what_was_read_has_the_same_bytes(model, tmp_path):
    graph = encoder_graph(model)
    assert encoder_graph(*read_graph(graph)) == graph
    (tmp_path / "model.onnx").write_bytes(graph)
    found = read_graph(tmp_path / "model.onnx")
    assert found.model.config == model.config
    assert found.n_parameters == model.n_parameters


def test_pooled_layers_come_back(model):
    beside = replace(model, config=replace(model.config, pooled=(0, 1)))
    graph = encoder_graph(beside)
    assert read_graph(graph).model.config.pooled == (0, 1)
    assert encoder_graph(*read_graph(graph)) == graph
    assert embedded(graph, model.config).shape == (len(TEXTS), 3 * WIDTH)


@pytest.mark.parametrize("coarse", [0, 30])
def test_coded_words_come_back_too(model, coarse):
    ids = np.arange(len(VOCABULARY))
    table = WordTable.of(model.words, ids[:20], ids[20 : 20 + coarse], np.where(ids < 20 + coarse, ids, 4))
    graph = encoder_graph(model, table)
    found = read_graph(graph)
    assert encoder_graph(*found) == graph
    assert found.table is not None
    np.testing.assert_array_equal(found.model.words, table.decoded())
    plain = encoder_graph(replace(model, words=table.decoded()))
    np.testing.assert_allclose(embedded(graph, model.config), embedded(plain, model.config), atol=1e-6)


def test_layers_with_fewer_heads_and_neurons(model):
    """A layer whose lost heads and neurons add nothing gives what the whole one gives."""
    head = WIDTH // model.config.heads
    attended, narrow = model.layers[0].attended.copy(), model.layers[0].narrow.copy()
    attended[head : 2 * head], narrow[::2] = 0, 0
    silent = replace(model.layers[0], attended=attended, narrow=narrow)
    rng = np.random.default_rng(0)
    said = rng.standard_normal((50, WIDTH)).astype(np.float32), rng.standard_normal((50, 64)).astype(np.float32)
    less = narrowed(silent, *said, head_size=head, heads=0.25, neurons=0.5)
    assert (less.qkv.shape, less.widen.shape) == ((WIDTH, 3 * (WIDTH - head)), (WIDTH, 32))
    whole, cut = (replace(model, layers=(layer, model.layers[1])) for layer in (silent, less))
    graph = encoder_graph(cut)
    np.testing.assert_allclose(embedded(graph, model.config), embedded(encoder_graph(whole), model.config), atol=1e-5)
    assert encoder_graph(*read_graph(graph)) == graph
    assert read_graph(graph).model.config == model.config


def test_a_graph_of_whole_numbers_is_refused(model):
    with pytest.raises(UnsupportedModel, match="of 32 bits"):
        read_graph(int8_graph(model, None, Way("blocks")))


def test_a_graph_of_others_is_refused(model):
    import onnx

    proto = onnx.load_from_string(encoder_graph(model))
    proto.producer_name = "somebody"
    with pytest.raises(UnsupportedModel, match="somebody"):
        read_graph(proto.SerializeToString())
