# SPDX-License-Identifier: Apache-2.0
"""GGUF files out and in again: the same bytes where nothing changed, known errors where something was packed."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gguf")

from models.tiny_decoder import HEADS, KEYS, LAYERS, WIDTH, write_decoder

from bigenough.errors import UnsupportedModel, WeightsNotFound
from bigenough.models.gguf_weights import read_gguf, write_gguf

QUERY = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return read_gguf(write_decoder(tmp_path_factory.mktemp("gguf") / "tiny.gguf"))


def rewritten(path, source, changed, packing):
    write_gguf(path, source, changed, packing)
    return read_gguf(path)


def test_what_is_not_changed_keeps_its_bytes(tiny, tmp_path):
    """A file in 8 bits, written again in 8 bits, is that file, metadata and tokenizer included."""
    once = rewritten(tmp_path / "once.gguf", tiny, {}, "Q8_0")
    write_gguf(tmp_path / "twice.gguf", once, {}, "Q8_0")
    assert (tmp_path / "twice.gguf").read_bytes() == (tmp_path / "once.gguf").read_bytes()
    assert {**once.fields, "general.file_type": 0} == {**tiny.fields, "general.file_type": 0}
    assert once.fields["general.file_type"].value == 7


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_arrays_go_back_to_where_they_came_from(architecture, tmp_path):
    source = read_gguf(write_decoder(tmp_path / "source.gguf", architecture=architecture, tied=False))
    back = rewritten(tmp_path / "back.gguf", source, dict(source.arrays()), "F16")
    for name, array in source.arrays():
        assert np.allclose(back.array(name), array, atol=2e-3), name


def test_rows_of_a_rotated_head_are_pairs_in_the_file_and_halves_in_transformers(tiny):
    """Row 2i + j of a head in the file is row i + j · size / 2 in transformers."""
    packed, size = tiny.tensors["blk.0.attn_q.weight"].data, WIDTH // HEADS
    array = tiny.array(QUERY)
    for head in range(HEADS):
        for pair in range(size // 2):
            for which in range(2):
                assert (packed[head * size + 2 * pair + which] == array[head * size + pair + which * size // 2]).all()
    assert len(tiny.array("model.layers.0.self_attn.k_proj.weight")) == KEYS * size


@pytest.mark.parametrize(("packing", "steps"), [("Q8_0", 127), ("Q4_1", 15), ("Q4_0", 8)])
def test_a_packed_matrix_is_near_what_was_packed(tiny, tmp_path, packing, steps):
    """Each block of 32 is off by half a step at most; a step is the block's range over how many there are."""
    wanted = np.random.default_rng(1).normal(size=(WIDTH, WIDTH)).astype(np.float32)
    found = rewritten(tmp_path / "new.gguf", tiny, {QUERY: wanted}, packing)
    assert found.tensors["blk.0.attn_q.weight"].packing == packing
    span = np.ptp(wanted, axis=1) if packing == "Q4_1" else np.abs(wanted).max(axis=1)
    # Q4_0 has one number more below zero than above it, so the largest may be off by a whole step.
    allowed = span / steps * (1.01 if packing == "Q4_0" else 0.51) + 2e-3
    assert (np.abs(found.array(QUERY) - wanted).max(axis=1) <= allowed).all()


def test_tokens_keep_eight_bits_and_what_is_no_matrix_keeps_32(tiny, tmp_path):
    found = rewritten(tmp_path / "new.gguf", tiny, {}, "Q4_1")
    packings = {name: tensor.packing for name, tensor in found.tensors.items()}
    assert packings["token_embd.weight"] == "Q8_0"
    assert {packing for name, packing in packings.items() if "norm" in name} == {"F32"}
    assert {packings[f"blk.{i}.ffn_up.weight"] for i in range(LAYERS)} == {"Q4_1"}


def test_what_is_narrower_already_is_not_packed_again(tiny, tmp_path):
    narrow = rewritten(tmp_path / "narrow.gguf", tiny, {}, "Q4_1")
    wide = rewritten(tmp_path / "wide.gguf", narrow, {QUERY: tiny.array(QUERY)}, "Q8_0")
    assert wide.tensors["blk.0.attn_q.weight"].packing == "Q8_0"
    assert wide.tensors["blk.1.attn_q.weight"].packing == "Q4_1"
    assert (wide.tensors["blk.1.attn_q.weight"].data == narrow.tensors["blk.1.attn_q.weight"].data).all()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk here that is always full")
def test_a_full_disk_leaves_no_file_open(tiny):
    with pytest.raises(OSError, match="No space") as raised:
        write_gguf(Path("/dev/full"), tiny, {}, "Q8_0")
    assert raised.traceback  # which keeps the writer alive
    assert "/dev/full" not in {str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()}


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(WeightsNotFound, match="There is no file"):
        read_gguf(tmp_path / "absent.gguf")
    (tmp_path / "text.gguf").write_text("this is a text and no model at all")
    with pytest.raises(UnsupportedModel, match="is no GGUF file that can be read"):
        read_gguf(tmp_path / "text.gguf")


def test_a_file_that_was_cut_short(tiny, tmp_path):
    whole = tiny.path.read_bytes()
    for length in (10, 200, len(whole) // 2):
        (tmp_path / "cut.gguf").write_bytes(whole[:length])
        with pytest.raises(UnsupportedModel, match="cut short"):
            read_gguf(tmp_path / "cut.gguf")


def test_another_architecture(tmp_path):
    source = read_gguf(write_decoder(tmp_path / "other.gguf", architecture="gemma2"))
    with pytest.raises(UnsupportedModel, match="architecture 'gemma2'"):
        source.array(QUERY)


def test_a_tensor_that_nobody_knows(tmp_path):
    """Stretched contexts come with factors for the rotation; training without them would learn another model."""
    extra = {"rope_freqs.weight": np.ones(8, np.float32)}
    source = read_gguf(write_decoder(tmp_path / "stretched.gguf", extra=extra))
    with pytest.raises(UnsupportedModel, match=r"'rope_freqs\.weight'"):
        source.array(QUERY)
