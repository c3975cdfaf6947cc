# SPDX-License-Identifier: Apache-2.0
"""An encoder as torch module and back: the same computation, the same arrays."""

from dataclasses import replace

import numpy as np
import pytest
from models.tiny_bert import DISTILBERT_CONFIG, as_distilbert, tiny_arrays, tiny_config, tiny_tokenizer, write_model

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bigenough.models.bert import read_bert  # noqa: E402
from bigenough.models.encoder import Encoder  # noqa: E402
from bigenough.models.graph import encoder_graph  # noqa: E402
from bigenough.rungs.training.body import arrays_back, torch_body  # noqa: E402
from bigenough.rungs.training.lora import folded, with_lora  # noqa: E402
from bigenough.rungs.training.machine import Machine  # noqa: E402
from bigenough.rungs.training.network import Network, built, optimiser_of  # noqa: E402
from bigenough.rungs.training.recipe import Recipe  # noqa: E402
from bigenough.rungs.training.rows import Rows, token_ids, used_tokens  # noqa: E402

TEXTS = ["lost card", "please help, how to pay my card account?", "", "top up", "the film is awful and not good!"]
CPU = Machine(torch.device("cpu"), "fp32")


def as_family(family):
    arrays = tiny_arrays(seed=3)
    if family == "distilbert":
        return DISTILBERT_CONFIG, as_distilbert(arrays)
    if family == "bert":
        return tiny_config(hidden_act="gelu_new"), arrays
    named = {f"roberta.{name}": array for name, array in arrays.items()}
    del named["roberta.embeddings.token_type_embeddings.weight"]
    named["roberta.embeddings.token_type_embeddings.weight"] = arrays["embeddings.token_type_embeddings.weight"][:1]
    return tiny_config(model_type=family, type_vocab_size=1, pad_token_id=1, hidden_act="relu"), named


def body_of(tmp_path, family="bert", pooling="mean"):
    config, arrays = as_family(family)
    return read_bert(write_model(tmp_path / family, config, arrays, pooling=pooling, normalise=False))


def rows_of(body):
    ids = token_ids(tiny_tokenizer(), TEXTS, body.config.max_length)
    used = used_tokens(ids)
    return Rows.of(ids, used), used


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "xlm-roberta", "camembert"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_torch_and_onnx_give_the_same_vectors(tmp_path, family, pooling):
    body = body_of(tmp_path, family, pooling)
    rows, used = rows_of(body)
    assert len(used) < len(body.words)
    network = built(body, used, Recipe(), np.ones(body.config.width), None, CPU).eval()
    with torch.no_grad():
        network.head.weight.copy_(torch.eye(body.config.width))
        network.head.bias.zero_()
        found = network(rows.batch(np.arange(len(TEXTS)), CPU.device)).numpy()
    expected = Encoder(encoder_graph(body), tiny_tokenizer(), max_length=body.config.max_length).embed(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_arrays_come_back_as_they_went(tmp_path):
    body = body_of(tmp_path)
    _, used = rows_of(body)
    back = arrays_back(torch_body(body, used, 0.1), body, used)
    np.testing.assert_array_equal(back.words, body.words)
    np.testing.assert_array_equal(back.positions, body.positions)
    for one, other in zip(back.layers, body.layers, strict=True):
        for name, value in vars(other).items():
            np.testing.assert_array_equal(vars(one)[name], value, err_msg=name)


def test_layers_may_be_narrower_than_their_config_says(tmp_path):
    body = body_of(tmp_path)
    top = body.layers[1]
    thin = replace(top, widen=top.widen[:, :24], widen_bias=top.widen_bias[:24], narrow=top.narrow[:24])
    size = body.config.width // body.config.heads
    heads = [np.arange(part * 32 + size, part * 32 + 3 * size) for part in range(3)]  # the middle two of four heads
    kept = np.concatenate(heads)
    thin = replace(thin, qkv=top.qkv[:, kept], qkv_bias=top.qkv_bias[kept], attended=top.attended[size : 3 * size])
    thinner = replace(body, layers=(body.layers[0], thin))
    rows, used = rows_of(body)
    network = built(thinner, used, Recipe(), np.ones(2), None, CPU).eval()
    assert network(rows.batch(np.arange(5), CPU.device)).shape == (5, 2)
    back, _, _ = network.arrays(thinner, used)
    np.testing.assert_array_equal(back.layers[1].qkv, thin.qkv)
    np.testing.assert_array_equal(back.layers[1].narrow, thin.narrow)


def test_padding_changes_nothing(tmp_path):
    body = body_of(tmp_path)
    rows, used = rows_of(body)
    network = built(body, used, Recipe(), np.ones(32), None, CPU).eval()
    torch.nn.init.normal_(network.head.weight)
    with torch.no_grad():
        together = network(rows.batch(np.arange(len(TEXTS)), CPU.device))
        alone = torch.cat([network(rows.batch(np.array([i]), CPU.device)) for i in range(len(TEXTS))])
    np.testing.assert_allclose(together.numpy(), alone.numpy(), atol=1e-4)


def test_folding_lora_in_keeps_what_it_computes(tmp_path):
    pytest.importorskip("peft")
    body = body_of(tmp_path)
    rows, used = rows_of(body)
    module = with_lora(torch_body(body, used, 0.0), 4)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.1)
    network = Network(module, torch.nn.Linear(32, 3), "mean").eval()
    batch = rows.batch(np.arange(len(TEXTS)), CPU.device)
    with torch.no_grad():
        before = network(batch)
        network.body = folded(network.body)
        np.testing.assert_allclose(network(batch).numpy(), before.numpy(), atol=1e-4)
    back = arrays_back(network.body, body, used)
    assert np.abs(back.layers[0].qkv - body.layers[0].qkv).max() > 0
    np.testing.assert_array_equal(back.words, body.words)


def test_frozen_layers_do_not_learn_and_rates_fall_with_depth(tmp_path):
    body = body_of(tmp_path)
    _, used = rows_of(body)
    recipe = Recipe(frozen_layers=1, layer_decay=0.5)
    network = built(body, used, recipe, np.ones(2), None, CPU)
    assert all("encoder.layer.1" in name or name.startswith("head.") for name in network.learned())
    whole = built(body, used, replace(recipe, frozen_layers=0), np.ones(2), None, CPU)
    rates = {round(group["highest"] / 1e-4, 6) for group in optimiser_of(whole, recipe, 2).param_groups}
    assert rates == {20.0, 1.0, 0.5, 0.25}
    shifts = [g["weight_decay"] for g in optimiser_of(whole, recipe, 2).param_groups for p in g["params"] if p.ndim < 2]
    assert set(shifts) == {0.0}
