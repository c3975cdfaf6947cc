# SPDX-License-Identifier: Apache-2.0
"""The ONNX graph against BERT's equations in numpy, and against torch's own numbers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from models.tiny_bert import (
    DISTILBERT_CONFIG,
    VOCABULARY,
    as_distilbert,
    forward,
    tiny_arrays,
    tiny_config,
    write_model,
)

from bigenough.errors import UnsupportedModel
from bigenough.models import resolve
from bigenough.models.bert import read_bert
from bigenough.models.graph import encoder_graph
from bigenough.models.prepared import prepared_encoder


def started(folder):
    return onnxruntime.InferenceSession(encoder_graph(read_bert(folder)), providers=["CPUExecutionProvider"])


def run(session, rows):
    """Rows of several lengths in one padded batch."""
    longest = max(map(len, rows))
    ids = np.array([list(row) + [0] * (longest - len(row)) for row in rows], np.int32)
    mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows], np.int32)
    return session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


def random_rows(lengths, seed=3):
    rng = np.random.default_rng(seed)
    return [rng.integers(2, len(VOCABULARY), length) for length in lengths]


@pytest.mark.parametrize(("pooling", "normalise"), [("mean", True), ("mean", False), ("cls", True)])
@pytest.mark.parametrize("lengths", [(1,), (2, 9), (40, 3, 17, 1)])
def test_the_graph_computes_berts_equations_whatever_the_padding(tmp_path, pooling, normalise, lengths):
    session = started(write_model(tmp_path / "m", pooling=pooling, normalise=normalise))
    rows = random_rows(lengths)
    expected = [forward(tiny_arrays(), row, pooling=pooling, normalise=normalise) for row in rows]
    np.testing.assert_allclose(run(session, rows), expected, atol=5e-6)


@pytest.mark.parametrize(("named", "activation"), [("gelu", "gelu"), ("gelu_new", "gelu_new"), ("relu", "relu")])
def test_activations(tmp_path, named, activation):
    session = started(write_model(tmp_path / "m", tiny_config(hidden_act=named)))
    rows = random_rows((7, 12))
    np.testing.assert_allclose(
        run(session, rows), [forward(tiny_arrays(), r, activation=activation) for r in rows], atol=5e-6
    )


def test_distilbert_names(tmp_path):
    arrays = tiny_arrays()
    session = started(write_model(tmp_path / "m", DISTILBERT_CONFIG, as_distilbert(arrays)))
    del arrays["embeddings.token_type_embeddings.weight"]
    rows = random_rows((5, 11))
    np.testing.assert_allclose(run(session, rows), [forward(arrays, row) for row in rows], atol=5e-6)


def test_roberta_counts_positions_from_behind_its_padding_token(tmp_path):
    config = tiny_config(model_type="roberta", pad_token_id=1, layer_norm_eps=1e-5)
    arrays = {f"roberta.{name}": array for name, array in tiny_arrays().items()}
    folder = write_model(tmp_path / "m", config, arrays)
    rows = random_rows((38, 4))
    expected = [forward(tiny_arrays(), row, epsilon=1e-5, first_position=2) for row in rows]
    np.testing.assert_allclose(run(started(folder), rows), expected, atol=5e-6)
    assert read_bert(folder).config.max_length == 38
    unsaid = {key: value for key, value in config.items() if key != "pad_token_id"}  # transformers takes 1 then
    again = run(started(write_model(tmp_path / "unsaid", unsaid, arrays)), rows)
    np.testing.assert_allclose(again, expected, atol=5e-6)


def test_old_names_of_layer_norm_and_half_precision_are_read(tmp_path):
    arrays = tiny_arrays()
    old = {
        "bert."
        + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array.astype(
            np.float16
        )
        for name, array in arrays.items()
    }
    session = started(write_model(tmp_path / "m", arrays=old))
    rounded = {name: array.astype(np.float16) for name, array in arrays.items()}
    rows = random_rows((6,))
    np.testing.assert_allclose(run(session, rows), [forward(rounded, row) for row in rows], atol=5e-6)


@pytest.mark.parametrize(("pooling", "normalise"), [("mean", True), ("mean", False), ("cls", True)])
def test_pooled_layers_stand_before_the_last_one(tmp_path, pooling, normalise):
    model = read_bert(write_model(tmp_path / "m", pooling=pooling, normalise=normalise))
    rows = random_rows((9, 4, 1))

    def vectors(layers, pooled=()):
        config = replace(model.config, layers=layers, pooled=pooled)
        graph = encoder_graph(replace(model, layers=model.layers[:layers], config=config))
        return run(onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]), rows)

    together = vectors(2, pooled=(0, 1))
    share = 3**-0.5 if normalise else 1.0
    np.testing.assert_allclose(together, share * np.hstack([vectors(0), vectors(1), vectors(2)]), atol=2e-6)
    if normalise:
        np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)


def test_the_same_arrays_give_the_same_bytes(tmp_path):
    folder = write_model(tmp_path / "m")
    assert encoder_graph(read_bert(folder)) == encoder_graph(read_bert(folder))


def test_parity_with_torch_on_real_weights(tmp_path):
    """The numbers in the file came from torch; how is written in it."""
    golden = json.loads((Path(__file__).parent / "minilm_torch.json").read_text(encoding="utf-8"))["sentences"]
    prepared = prepared_encoder(resolve("all-MiniLM-L6-v2", cache=tmp_path, offline=True), cache=tmp_path)
    found = prepared.start(threads=2).embed([sentence["text"] for sentence in golden])
    np.testing.assert_allclose(found[:, :16], [sentence["first"] for sentence in golden], atol=2e-6)
    np.testing.assert_allclose(found.sum(axis=1, dtype=float), [sentence["sum"] for sentence in golden], atol=2e-5)
    assert prepared.max_length == 256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2'.*distilbert"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"hidden_act": "swish"}, "activation 'swish'"),
        ({"vocab_size": 7}, r"word_embeddings.*shape .* asks for \(7, 32\)"),
        ({"num_hidden_layers": 1}, "has 2 layers; .*says 1"),
        ({"num_hidden_layers": 3}, "no array 'encoder.layer.2"),
        ({"num_attention_heads": 5}, "5 heads"),
    ],
)
def test_what_is_not_known_exactly_is_refused(tmp_path, change, message):
    folder = write_model(tmp_path / "m", tiny_config(**change))
    with pytest.raises(UnsupportedModel, match=message):
        read_bert(folder)


def test_unknown_pooling_and_unknown_parts_are_refused(tmp_path):
    with pytest.raises(UnsupportedModel, match="pooling_mode_max_tokens"):
        read_bert(write_model(tmp_path / "max", pooling="max"))
    folder = write_model(tmp_path / "dense")
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 3, "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UnsupportedModel, match="Dense"):
        read_bert(folder)


def test_a_pickle_is_never_read(tmp_path):
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsupportedModel, match="never from a pickle"):
        read_bert(folder)
