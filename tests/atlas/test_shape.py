# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigenough.atlas import facts
from bigenough.atlas.architecture import conventions, shape_of
from bigenough.atlas.config import shape_from_config
from bigenough.atlas.gguf import RECIPES, file_bits, mixture_bits
from bigenough.atlas.shape import Experts, Latent, Shape, parameters
from bigenough.errors import BadOption, InputError

LLAMA = {
    "model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 131072, "tie_word_embeddings": False,
}  # fmt: skip

SHAPED = [row for row in facts.models() if shape_of(row) is not None]
# the atlas prints these counts in full; the others are rounded by their authors
IN_FULL = [row for row in SHAPED if row.total_params % 100_000]


def contradicts_itself(row):
    """Whether the atlas records that the dimensions of a model's own paper do not go together."""
    return any(one.column in ("layers", "hidden", "heads", "head_dim") for one in row.conflicts)


def test_most_decoders_recount():
    assert len(SHAPED) >= 90
    assert len(IN_FULL) == 56


def test_no_count_in_full_with_a_shape_goes_unchecked():
    full = [row for row in facts.models() if row.total_params and row.total_params % 100_000 and row not in IN_FULL]
    assert not [row.name for row in full if row.layers or row.hidden]


@pytest.mark.parametrize("row", [row for row in IN_FULL if not contradicts_itself(row)], ids=lambda row: row.name)
def test_full_counts_are_recomputed_exactly(row):
    assert parameters(shape_of(row)).total == row.total_params


@pytest.mark.parametrize(
    "row", [row for row in SHAPED if row not in IN_FULL and not contradicts_itself(row)], ids=lambda row: row.name
)
def test_rounded_counts_are_met(row):
    assert parameters(shape_of(row)).total == pytest.approx(row.total_params, rel=0.03)


def test_one_published_shape_contradicts_itself():
    assert [row.name for row in SHAPED if contradicts_itself(row)] == ["GPT-3 XL"]
    row = facts.model("GPT-3 XL")
    assert [one.value for one in row.conflicts] == [16]  # 24 heads of 128 are printed beside a hidden size of 2048
    printed, whole = shape_of(row), replace(shape_of(row), heads=16, kv_heads=16)
    assert parameters(printed).total == pytest.approx(1.15 * row.total_params, rel=0.01)
    assert parameters(whole).total == pytest.approx(row.total_params, rel=0.005)


def test_cores_keep_copies_of_norms_and_biases():
    shape = shape_of(facts.model("GPT-J-6B"))
    single = parameters(replace(shape, cores=0)).total
    assert single == 6_050_882_784  # the checkpoint that transformers loads
    seven_copies = 28 * (2 + 1) * 4096 + 2 * 4096
    assert parameters(shape).total == single + 7 * seven_copies + 8 * 4096 == 6_053_381_344


def test_active_parameters_of_experts():
    mixtral = parameters(shape_of(facts.model("Mixtral 8x7B")))
    assert mixtral.active == pytest.approx(12.9e9, rel=0.01)
    deepseek = parameters(shape_of(facts.model("DeepSeek-V3")))
    assert deepseek.active == pytest.approx(37e9, rel=0.02)


def test_every_model_with_conventions_is_in_the_atlas():
    names = {row.name for row in facts.models()}
    assert set(conventions()["models"]) <= names
    assert {model["family"] for model in conventions()["models"].values()} <= set(conventions()["families"])


def test_config_of_transformers():
    shape = shape_from_config(LLAMA)
    assert parameters(shape).total == 8030261248
    assert shape.attention == "GQA"
    gemma = shape_from_config({**LLAMA, "model_type": "gemma2", "sliding_window": 4096, "head_dim": 256})
    assert (gemma.window, gemma.global_every, gemma.head_dim) == (4096, 2, 256)
    latent = {
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "qk_nope_head_dim": 128,
        "v_head_dim": 128,
        "q_lora_rank": 1536,
    }
    experts = {"n_routed_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 2048, "n_shared_experts": 1}
    deepseek = shape_from_config(
        {**LLAMA, "model_type": "deepseek_v3", **latent, **experts, "first_k_dense_replace": 3}
    )
    assert deepseek.attention == "MLA"
    assert deepseek.experts.count == 256


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model_type": "lama"}, "llama"),
        ({"num_hidden_layers": 0}, "num_hidden_layers=0"),
        ({"num_hidden_layers": True}, "num_hidden_layers=True"),
        ({"hidden_size": -4096}, "hidden_size=-4096"),
        ({"hidden_size": None}, "hidden"),
        ({"num_key_value_heads": 5}, "5 key-value heads do not divide 32"),
        ({"num_attention_heads": 30, "num_key_value_heads": 30}, "30 heads do not divide"),
        ({"num_local_experts": "many"}, "num_local_experts='many'"),
        ({"num_local_experts": 4, "num_experts_per_tok": 9}, "config.json: 9 active experts of 4"),
        ({"sliding_window": 4096, "sliding_window_pattern": "x"}, "sliding_window_pattern='x'"),
        ({"kv_lora_rank": 4}, "but not qk_rope_head_dim"),
        ({"model_type": "t5", "num_decoder_layers": "x"}, "num_decoder_layers='x'"),
    ],
)
def test_contradictory_configs_are_told(change, told):
    with pytest.raises(InputError, match=told):
        shape_from_config({**LLAMA, **change})


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: Shape(2, 64, 4, 128, 100, decoder_layers=3), "3 decoder layers of 2"),
        (lambda: Shape(2, 64, 4, 128, 100, global_every=2), "without a window"),
        (lambda: Shape(2, 64, 4, 128, 100, kind="oracle"), "none of"),  # type: ignore[arg-type]
        (lambda: Experts(8, 9, 128), "9 active experts of 8"),
        (lambda: Latent(0, 64, 128, 128), "kv_rank=0"),
        (lambda: parameters(Shape(2, 64, 4, 128, 100, experts=Experts(8, 2, 64, dense_layers=2))), "leave none"),
    ],
)
def test_contradictory_shapes_are_told(build, told):
    with pytest.raises(BadOption, match=told):
        build()


@st.composite
def shapes(draw):
    kv_heads, group, width = draw(st.integers(1, 8)), draw(st.integers(1, 8)), draw(st.sampled_from([32, 64, 128]))
    heads = kv_heads * group
    return Shape(
        layers=draw(st.integers(1, 40)), hidden=heads * width, heads=heads, kv_heads=kv_heads, head_dim=width,
        ffn=draw(st.integers(1, 64)) * 64, vocab=draw(st.integers(1, 2000)) * 32,
        tied=draw(st.booleans()), gated=draw(st.booleans()),
    )  # fmt: skip


@given(shapes())
def test_every_layer_adds_the_same(shape):
    counts = [parameters(replace(shape, layers=shape.layers + more)).total for more in (0, 1, 2)]
    assert counts[2] - counts[1] == counts[1] - counts[0] > 0
    assert parameters(replace(shape, tied=True)).total <= parameters(replace(shape, tied=False)).total


@given(shapes(), st.integers(2, 16), st.data())
def test_active_never_exceeds_total(shape, count, data):
    mixed = replace(shape, experts=Experts(count, data.draw(st.integers(1, count)), 64))
    found = parameters(mixed)
    assert found.active <= found.total
    assert (found.active == found.total) == (mixed.experts.active == count)


@given(shapes(), st.sampled_from(sorted(RECIPES)))
def test_recipes_stay_between_their_narrowest_and_32_bits(shape, recipe):
    assert 1.5 <= mixture_bits(recipe, shape) <= 32


def test_recipes_widen_with_their_number():
    widths = [mixture_bits(f"Q{n}_K_M", shape_from_config(LLAMA)) for n in (3, 4, 5)]
    assert widths == sorted(widths)
    unknown = file_bits("Q4_K_M")
    assert unknown.low <= mixture_bits("Q4_K_M", shape_from_config(LLAMA)) <= unknown.high


def test_folder_with_a_config(tmp_path):
    from bigenough.atlas.subject import subject

    (tmp_path / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    assert subject(str(tmp_path)).params == 8030261248
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, "num_hidden_layers": 10**12}), encoding="utf-8")
    with pytest.raises(BadOption, match="more than 10"):
        subject(str(tmp_path))
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadOption, match="no JSON"):
        subject(str(tmp_path))
