# SPDX-License-Identifier: Apache-2.0
"""A decoder with random weights and a tokenizer made of given texts, in a real GGUF file of some 200 kB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from llama.tiny_llama import CHATML

WIDTH, LAYERS, HEADS, KEYS, HIDDEN = 32, 2, 2, 1, 64
SIZE = WIDTH // HEADS
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def learned_tokens(texts: Sequence[str], size: int) -> tuple[list[str], list[str]]:
    """Tokens and merges of byte-level BPE, learned from the texts."""
    import json

    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer

    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    letters = ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts, BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=letters, show_progress=False)
    )
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return tokens, [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]


def write_decoder(
    path: Path,
    texts: Sequence[str] = ("pain in the arm", "the other arm"),
    *,
    architecture: str = "llama",
    size: int = 400,
    tied: bool = True,
    seed: int = 0,
    extra: dict[str, np.ndarray] | None = None,
) -> Path:
    """The file; the same bytes for the same arguments."""
    from gguf import GGUFWriter, TokenType

    tokens, merges = learned_tokens(texts, size)
    writer = GGUFWriter(str(path), architecture)
    writer.add_context_length(1024)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEYS)
    writer.add_key_length(SIZE)
    writer.add_value_length(SIZE)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    if architecture == "llama":
        writer.add_rope_dimension_count(SIZE)
        writer.add_vocab_size(len(tokens))
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL] * len(SPECIAL) + [TokenType.NORMAL] * (len(tokens) - len(SPECIAL)))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHATML)
    rng = np.random.default_rng(seed)
    for name, array in {**_weights(len(tokens), architecture, rng, tied), **(extra or {})}.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _weights(vocabulary: int, architecture: str, rng: np.random.Generator, tied: bool) -> dict[str, np.ndarray]:
    def random(rows: int, columns: int) -> np.ndarray:
        return (rng.normal(size=(rows, columns)) / np.sqrt(columns)).astype(np.float32)

    def near_one(size: int) -> np.ndarray:
        return (1 + 0.1 * rng.normal(size=size)).astype(np.float32)

    weights = {
        "token_embd.weight": rng.normal(size=(vocabulary, WIDTH)).astype(np.float32),
        "output_norm.weight": near_one(WIDTH),
    }
    if not tied:
        weights["output.weight"] = random(vocabulary, WIDTH)
    for i in range(LAYERS):
        at = f"blk.{i}."
        weights |= {
            f"{at}attn_norm.weight": near_one(WIDTH),
            f"{at}attn_q.weight": random(WIDTH, WIDTH),
            f"{at}attn_k.weight": random(KEYS * SIZE, WIDTH),
            f"{at}attn_v.weight": random(KEYS * SIZE, WIDTH),
            f"{at}attn_output.weight": random(WIDTH, WIDTH),
            f"{at}ffn_norm.weight": near_one(WIDTH),
            f"{at}ffn_gate.weight": random(HIDDEN, WIDTH),
            f"{at}ffn_up.weight": random(HIDDEN, WIDTH),
            f"{at}ffn_down.weight": random(WIDTH, HIDDEN),
        }
        if architecture == "qwen2":
            sizes = {"q": WIDTH, "k": KEYS * SIZE, "v": KEYS * SIZE}
            weights |= {f"{at}attn_{part}.bias": 0.1 * near_one(size) for part, size in sizes.items()}
        if architecture == "qwen3":
            weights |= {f"{at}attn_{part}_norm.weight": near_one(SIZE) for part in "qk"}
    return weights
