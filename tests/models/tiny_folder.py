# SPDX-License-Identifier: Apache-2.0
"""A decoder with random weights in a folder as transformers writes it, with a byte-level tokenizer of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama.tiny_llama import CHATML
from models.tiny_decoder import HEADS, HIDDEN, KEYS, LAYERS, SPECIAL, WIDTH

DIGITS = {"type": "Digits", "individual_digits": True}
WORDS = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SMOLLM = {"type": "Sequence", "pretokenizers": [DIGITS, WORDS]}
"""How SmolLM's tokenizer cuts texts."""


def write_tokenizer(folder: Path, texts: Sequence[str], size: int, cut: dict[str, Any] = SMOLLM) -> int:
    """tokenizer.json and its config; returns how many tokens there are."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer

    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=letters, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    (folder / "tokenizer.json").write_text(json.dumps({**json.loads(tokenizer.to_str()), "pre_tokenizer": cut}))
    told = {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2], "unk_token": SPECIAL[0], "chat_template": CHATML}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return tokenizer.get_vocab_size()


def write_folder(
    folder: Path,
    kind: str = "llama",
    texts: Sequence[str] = ("pain in the arm since 1999", "the other arm 10 20 2020 1999"),
    *,
    size: int = 420,
    shard: str = "5GB",
    half: bool = False,
    **config: Any,
) -> Any:
    """The folder's model, as transformers has it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    rows = write_tokenizer(folder, texts, size)
    plain = {"sliding_window": None} if kind == "mistral" else {}
    numbers = {
        "vocab_size": rows, "hidden_size": WIDTH, "intermediate_size": HIDDEN, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KEYS, "head_dim": WIDTH // HEADS,
        "max_position_embeddings": 1024, "pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    shape = AutoConfig.for_model(kind, **{**numbers, **plain, **config})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(shape).to(torch.bfloat16 if half else torch.float32)
    for parameter in model.parameters():
        # Biases begin as zeros and norms as ones, which would hide where they belong.
        parameter.data += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder, max_shard_size=shard)
    return model.eval()
