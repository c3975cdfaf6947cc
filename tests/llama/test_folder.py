# SPDX-License-Identifier: Apache-2.0
"""A folder as transformers writes it, read by llama.cpp: the same tokens, the same scores, or a refusal."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")

from models.tiny_folder import WORDS, write_folder, write_tokenizer

from bigenough.errors import UnsupportedModel
from bigenough.llama import load_model, resolve_gguf
from bigenough.llama.folder import PROBES, folder_as_gguf
from bigenough.models.gguf_weights import read_gguf

KINDS = {
    "llama": {},
    "llama, tied": {"tie_word_embeddings": True},
    "llama, biases": {"attention_bias": True},
    "llama, turning faster": {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
    "llama, another norm": {"rms_norm_eps": 2e-3},
    "llama, wide heads": {"head_dim": 24},
    "llama, more tokens than names": {"vocab_size": 450},
    "mistral": {},
    "qwen2": {},
    "qwen3": {},
}


def told_by_llama(path, tokens):
    """The log-probabilities of what may come after each token."""
    model = load_model(path, threads=1)
    places, owners = np.arange(len(tokens), dtype=np.int32), [[0]] * len(tokens)
    read = model.context(len(tokens)).read(tokens, places, owners, np.ones(len(tokens), bool))
    return np.array([scores - np.logaddexp.reduce(scores.astype(np.float64)) for _, scores in read])


def told_by_torch(model, tokens):
    import torch

    with torch.no_grad():
        return model.float()(torch.from_numpy(tokens.astype(np.int64))[None]).logits[0].log_softmax(-1).numpy()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "model"
    write_folder(folder)
    return folder


def rewritten(whole, tmp_path, file="config.json", **changes):
    """A copy of the folder, with other values in one of its JSON files; None takes one out."""
    shutil.copytree(whole, tmp_path / "model")
    path = tmp_path / "model" / file
    told = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in told.items() if value is not None}))


@pytest.mark.parametrize("name", KINDS)
def test_it_says_what_the_folders_model_says(name, tmp_path):
    model = write_folder(tmp_path / "model", name.partition(",")[0], **KINDS[name])
    found = resolve_gguf(str(tmp_path / "model"), cache=tmp_path / "cache")
    assert (found.name, found.source) == ("model", "folder")
    tokens = load_model(found.path, threads=1).tokens("pain in the other arm since 2020, and 1999.")
    wanted = told_by_torch(model, tokens)
    assert np.ptp(wanted, axis=1).min() > 0.3, "a model that says the same of every token proves nothing"
    assert np.abs(told_by_llama(found.path, tokens) - wanted).max() < 0.003


def test_a_config_of_earlier_transformers(whole, tmp_path):
    """The base of the turning stood beside the rest; what was stretched, in ``rope_scaling``."""
    rewritten(whole, tmp_path, rope_theta=500.0, rope_scaling=None, rope_parameters=None)
    source = read_gguf(folder_as_gguf(tmp_path / "model", tmp_path / "cache"))
    assert source.fact("rope.freq_base") == 500.0


def test_shards_and_brain_floats(tmp_path):
    """One file or several, 32 bits or bf16: the arrays that transformers has are those of the file."""
    model = write_folder(tmp_path / "model", shard="20KB", half=True)
    assert len(list((tmp_path / "model").glob("*.safetensors"))) > 1
    source = read_gguf(folder_as_gguf(tmp_path / "model", tmp_path / "cache"))
    for name, array in model.state_dict().items():
        assert np.allclose(source.array(name), array.float().numpy(), atol=1e-6), name


def test_texts_become_the_tokens_of_the_folders_tokenizer(tmp_path):
    from tokenizers import Tokenizer

    write_folder(tmp_path / "model", size=600, texts=[*PROBES, "1999 1999 2020"])
    path = folder_as_gguf(tmp_path / "model", tmp_path / "cache")
    assert read_gguf(path).fields["tokenizer.ggml.pre"].value == "smollm"
    own, model = Tokenizer.from_file(str(tmp_path / "model" / "tokenizer.json")), load_model(path, threads=1)
    for text in ("since 1999 I've 23 pains!", "  Größe\n\n12.5 %", "頭痛 😀"):
        assert model.tokens(text).tolist() == own.encode(text, add_special_tokens=False).ids
    assert model.tokens("<|im_end|>", special=True).tolist() == [2]
    assert model.ends(2)
    assert model.begin is None
    assert model.talk(["user"], ["hi"]) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_another_way_to_cut_words_is_found(tmp_path):
    write_folder(tmp_path / "model", texts=[*PROBES, "1999 1999 2020"], size=600)
    write_tokenizer(tmp_path / "model", [*PROBES, "1999 1999 2020"], 600, cut=WORDS)
    path = folder_as_gguf(tmp_path / "model", tmp_path / "cache")
    assert read_gguf(path).fields["tokenizer.ggml.pre"].value == "gpt-2"


def test_a_way_to_cut_words_that_llama_does_not_know(tmp_path, monkeypatch):
    monkeypatch.setattr("bigenough.llama.folder.WORD_CUTS", ("smollm", "gpt-2"))
    vowels = {"type": "Split", "pattern": {"Regex": "[aeiou]+"}, "behavior": "Isolated", "invert": False}
    write_folder(tmp_path / "model", texts=PROBES, size=600)
    cut = {"type": "Sequence", "pretokenizers": [vowels, {**WORDS, "use_regex": False}]}
    write_tokenizer(tmp_path / "model", PROBES, 600, cut=cut)
    with pytest.raises(UnsupportedModel, match=r"other tokens than the tokenizer in .* of 16 texts"):
        folder_as_gguf(tmp_path / "model", tmp_path / "cache")


def test_it_is_made_once_and_again_when_the_folder_changes(tmp_path):
    write_folder(tmp_path / "model")
    first = folder_as_gguf(tmp_path / "model", tmp_path / "cache")
    made = first.stat().st_mtime_ns
    assert folder_as_gguf(tmp_path / "model", tmp_path / "cache") == first
    assert first.stat().st_mtime_ns == made
    told = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**told, "rms_norm_eps": 0.5}))
    assert folder_as_gguf(tmp_path / "model", tmp_path / "cache") != first


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_file_that_is_missing(name, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "model")
    (tmp_path / "model" / name).unlink()
    with pytest.raises(UnsupportedModel, match=f"lacks {name}"):
        folder_as_gguf(tmp_path / "model", tmp_path / "cache")


YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "mamba"}, "model_type 'mamba'"),
        ({"hidden_act": "gelu"}, "activation 'gelu'"),
        ({"rope_parameters": YARN}, "turns positions"),
        ({"rope_scaling": YARN}, "turns positions"),
        ({"rope_parameters": {"full_attention": YARN}}, "turns positions"),
        ({"rope_scaling": "linear"}, "turns positions"),
        ({"model_type": "mistral", "sliding_window": 64}, "the last 64 only"),
        ({"model_type": "mistral"}, "the last 4096 only"),
        ({"num_hidden_layers": 3}, "lack 9 arrays"),
        ({"num_hidden_layers": 1}, "not known what it does"),
        ({"num_key_value_heads": 2}, "asks for"),
        ({"hidden_size": "wide"}, "whole number hidden_size"),
        ({"num_attention_heads": 0}, "whole number num_attention_heads above zero"),
        ({"rms_norm_eps": "small"}, "a number rms_norm_eps"),
        ({"vocab_size": None}, "whole number vocab_size"),
        ({"vocab_size": 2**31 - 1}, "vocab_size above zero and at most 1,000,000"),
        ({"max_position_embeddings": 2**40}, "max_position_embeddings above zero and at most"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e300}}, "a number rope_theta above zero"),
        ({"tie_word_embeddings": "false"}, "true or false for tie_word_embeddings. Got 'false'"),
        ({"vocab_size": 99}, "do not belong together"),
    ],
)
def test_a_config_that_says_something_else(changes, said, whole, tmp_path):
    rewritten(whole, tmp_path, **changes)
    with pytest.raises(UnsupportedModel, match=said):
        folder_as_gguf(tmp_path / "model", tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.gguf"))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
@pytest.mark.parametrize("text", ["{", "[]", '"\\ud800'])
def test_a_damaged_file(name, text, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "model")
    (tmp_path / "model" / name).write_text(text)
    with pytest.raises(UnsupportedModel, match=name):
        folder_as_gguf(tmp_path / "model", tmp_path / "cache")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (None, "an object weight_map. Got none"),
        ([1], r"an object weight_map. Got \[1\]"),
        ({}, "lacks model.safetensors"),
        ({"model.norm.weight": "../secret.safetensors"}, "lacks ../secret.safetensors"),
        ({"model.norm.weight": 7}, "a text model.norm.weight. Got 7"),
    ],
)
def test_an_index_of_shards_that_leads_nowhere(named, said, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "secret.safetensors")
    (tmp_path / "model" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": named}))
    with pytest.raises(UnsupportedModel, match=said):
        folder_as_gguf(tmp_path / "model", tmp_path / "cache")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ([1], r"a list chat_template of objects. Got \[1\]"),
        ([{"name": "default"}], "a text template. Got none"),
        ([{"name": ["default"], "template": "x"}], "a text name"),
    ],
)
def test_chat_templates_that_make_no_sense(template, said, whole, tmp_path):
    rewritten(whole, tmp_path, "tokenizer_config.json", chat_template=template)
    with pytest.raises(UnsupportedModel, match=rf"model/tokenizer_config\.json .*{said}"):
        folder_as_gguf(tmp_path / "model", tmp_path / "cache")


@pytest.mark.parametrize("text", ["[1]", "[" * 100_000], ids=["list", "nested without end"])
def test_a_tokenizer_config_that_is_no_object(text, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "model")
    (tmp_path / "model" / "tokenizer_config.json").write_text(text)
    with pytest.raises(UnsupportedModel, match="do not fit together"):
        folder_as_gguf(tmp_path / "model", tmp_path / "cache")


@settings(max_examples=60)
@given(data=st.data(), file=st.sampled_from(["config.json", "tokenizer_config.json", "tokenizer.json"]))
def test_any_key_may_go_or_change(data, file, whole):
    """It becomes a file that llama.cpp reads, or the refusal says of which folder."""
    key = data.draw(st.sampled_from(sorted(json.loads((whole / file).read_text()))))
    odd = [None, True, False, -1, 0, 1, 2, 7, 2**31, 10**30, 0.5, 1e300, float("inf"), "", "12", [], [1], {}, {"a": 1}]
    with tempfile.TemporaryDirectory() as place:
        rewritten(whole, Path(place), file, **{key: data.draw(st.sampled_from(odd))})
        try:
            made = folder_as_gguf(Path(place) / "model", Path(place) / "cache")
        except UnsupportedModel as error:
            said = str(error)
        else:
            said = f"{place}: {load_model(made, threads=1).begin}"
        assert place in said


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e6])
def test_numbers_that_16_bits_cannot_hold(number, whole, tmp_path):
    from safetensors.numpy import load_file, save_file

    shutil.copytree(whole, tmp_path / "model")
    arrays = load_file(whole / "model.safetensors")
    arrays["model.layers.1.mlp.up_proj.weight"][3, 3] = number
    save_file(arrays, tmp_path / "model" / "model.safetensors")
    with pytest.raises(UnsupportedModel, match=r"numbers in 'model\.layers\.1\.mlp"):
        folder_as_gguf(tmp_path / "model", tmp_path / "cache")


def test_a_begin_token_that_two_files_disagree_on(whole, tmp_path):
    rewritten(whole, tmp_path, "tokenizer_config.json", add_bos_token=True)
    with pytest.raises(UnsupportedModel, match=r"begins a text with token None, and llama.cpp would with 1"):
        folder_as_gguf(tmp_path / "model", tmp_path / "cache")


def test_a_begin_token(whole, tmp_path):
    first = {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    known = {"<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}}
    post = {"type": "TemplateProcessing", "single": [first, text], "pair": [first, text], "special_tokens": known}
    rewritten(whole, tmp_path, "tokenizer.json", post_processor=post)
    model = load_model(folder_as_gguf(tmp_path / "model", tmp_path / "cache"), threads=1)
    assert model.begin == 1


def test_a_tokenizer_that_changes_texts_first(whole, tmp_path):
    rewritten(whole, tmp_path, "tokenizer.json", normalizer={"type": "Lowercase"})
    with pytest.raises(UnsupportedModel, match="changes texts before it cuts them"):
        folder_as_gguf(tmp_path / "model", tmp_path / "cache")


def test_what_a_kill_left_is_swept_up_by_the_next(whole, tmp_path):
    left = tmp_path / "cache" / "gguf" / ".abc.12345678.tmp"
    left.mkdir(parents=True)
    (left / "model.gguf").write_bytes(b"half")
    folder_as_gguf(whole, tmp_path / "cache")
    assert not left.exists()


def test_two_processes_make_it_once(whole, tmp_path):
    made = "import sys; from pathlib import Path; from bigenough.llama.folder import folder_as_gguf as f\n"
    made += "path = f(Path(sys.argv[1]), Path(sys.argv[2])); print(path, path.stat().st_mtime_ns)"
    command = [sys.executable, "-c", made, str(whole), str(tmp_path / "cache")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (each.communicate()[0] for each in both)
    assert first == second != ""


def test_a_tokenizer_that_disagrees_with_the_weights(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "model")
    write_tokenizer(tmp_path / "model", PROBES, 600)
    with pytest.raises(UnsupportedModel, match="do not belong together"):
        folder_as_gguf(tmp_path / "model", tmp_path / "cache")


def test_a_tokenizer_of_another_kind(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "model")
    told = json.loads((whole / "tokenizer.json").read_text())
    (tmp_path / "model" / "tokenizer.json").write_text(json.dumps({**told, "decoder": None}))
    with pytest.raises(UnsupportedModel, match="does not stand on bytes"):
        folder_as_gguf(tmp_path / "model", tmp_path / "cache")


def test_weights_that_were_cut_short(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnsupportedModel, match="cannot be read as safetensors"):
        folder_as_gguf(tmp_path / "model", tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.gguf"))
