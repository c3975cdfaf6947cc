# SPDX-License-Identifier: Apache-2.0
"""Shapes from the ``config.json`` that comes with a model's weights."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bigenough.atlas.architecture import conventions, family_shape
from bigenough.atlas.names import nearest
from bigenough.atlas.shape import Shape
from bigenough.errors import BadOption

__all__ = ["shape_from_config"]

# what each dimension is called, over the families
_NAMES = MappingProxyType(
    {
        "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
        "hidden": ("hidden_size", "n_embd", "d_model", "dim"),
        "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
        "kv_heads": ("num_key_value_heads", "num_kv_heads"),
        "head_dim": ("head_dim", "d_kv"),
        "ffn": ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "hidden_dim", "ffn_hidden_size"),
        "vocab": ("vocab_size",),
        "context": ("max_position_embeddings", "n_positions", "n_ctx", "seq_length", "max_seq_len"),
    }
)
_REQUIRED = ("layers", "hidden", "heads", "vocab")
_MODEL_TYPES = MappingProxyType(
    {"gemma3_text": "gemma3", "smollm3": "llama", "stablelm": "llama", "olmo": "llama", "deepseek": "deepseek_v2"}
)


def shape_from_config(config: Mapping[str, Any], *, where: str = "config.json") -> Shape:
    """The shape that a ``config.json`` of transformers describes.

    Example:
        >>> shape_from_config({"model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096,
        ...     "num_attention_heads": 32, "num_key_value_heads": 8,
        ...     "intermediate_size": 14336, "vocab_size": 128256}).attention
        'GQA'
    """
    text = config.get("text_config")
    if isinstance(text, Mapping):
        config = {"model_type": config.get("model_type", ""), **text}
    family = _MODEL_TYPES.get(str(config.get("model_type", "")), str(config.get("model_type", "")))
    families = conventions()["families"]
    if family not in families:
        raise BadOption(
            f"{where}: model_type={config.get('model_type')!r} is a family whose conventions "
            f"are not known. {nearest(family, families)}"
        )
    said = {name: found for name, names in _NAMES.items() if (found := _first(config, names, where)) is not None}
    missing = [name for name in _REQUIRED if name not in said]
    if missing:
        raise BadOption(
            f"{where} does not say {', '.join(missing)} (as "
            f"{', '.join(_NAMES[missing[0]])}): it is no whole model's config."
        )
    values: dict[str, Any] = {"ffn": 4 * said["hidden"], **said}
    if "tie_word_embeddings" in config and families[family].get("output_head", True):
        values["tied"] = bool(config["tie_word_embeddings"])
    if config.get("multi_query"):
        values["kv_heads"] = 1
    values |= _window(config) | _experts(config, values["ffn"]) | _latent(config)
    if family == "t5":
        values |= {"layers": said["layers"] + int(config.get("num_decoder_layers", said["layers"]))}
        values |= {
            "decoder_layers": int(config.get("num_decoder_layers", said["layers"])),
            "gated": "gated" in str(config.get("feed_forward_proj")),
        }
    return family_shape(family, values)


def _first(config: Mapping[str, Any], names: tuple[str, ...], where: str) -> int | None:
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise BadOption(f"{where}: {name}={value!r} is no whole number above zero.")
        return value
    return None


def _window(config: Mapping[str, Any]) -> dict[str, int]:
    window = config.get("sliding_window")
    if not isinstance(window, int) or config.get("use_sliding_window") is False:
        return {}
    every = config.get("sliding_window_pattern") or {"gemma2": 2, "gemma3": 6, "gemma3_text": 6}.get(
        str(config.get("model_type")), 0
    )
    return {"window": window, "global_every": int(every)}


def _experts(config: Mapping[str, Any], ffn: int) -> dict[str, Any]:
    count = config.get("num_local_experts") or config.get("num_experts") or config.get("n_routed_experts")
    if not count:
        return {}
    return {
        "experts": {
            "count": count,
            "active": config.get("num_experts_per_tok", 1),
            "ffn": config.get("moe_intermediate_size") or ffn,
            "shared": config.get("n_shared_experts") or 0,
            "dense_layers": config.get("first_k_dense_replace") or 0,
            "router_bias": config.get("topk_method") == "noaux_tc",
        }
    }


def _latent(config: Mapping[str, Any]) -> dict[str, Any]:
    if not config.get("kv_lora_rank"):
        return {}
    return {
        "latent": {
            "kv_rank": config["kv_lora_rank"],
            "rope": config["qk_rope_head_dim"],
            "nope": config["qk_nope_head_dim"],
            "value": config["v_head_dim"],
            "q_rank": config.get("q_lora_rank") or 0,
        }
    }
