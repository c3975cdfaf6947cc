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
    values |= _window(config, where) | _experts(config, values["ffn"], where) | _latent(config, where)
    if family == "t5":
        decoder = _first(config, ("num_decoder_layers",), where) or said["layers"]
        values |= {"layers": said["layers"] + decoder, "decoder_layers": decoder}
        values["gated"] = "gated" in str(config.get("feed_forward_proj"))
    try:
        return family_shape(family, values)
    except BadOption as error:
        raise BadOption(f"{where}: {error}") from None


def _first(config: Mapping[str, Any], names: tuple[str, ...], where: str, *, least: int = 1) -> int | None:
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise BadOption(f"{where}: {name}={value!r} is no whole number from {least} up.")
        return value
    return None


def _window(config: Mapping[str, Any], where: str) -> dict[str, int]:
    if config.get("use_sliding_window") is False:
        return {}
    window = _first(config, ("sliding_window",), where)
    if window is None:
        return {}
    usual = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6}.get(str(config.get("model_type")), 0)
    every = _first(config, ("sliding_window_pattern",), where)
    return {"window": window, "global_every": usual if every is None else every}


def _experts(config: Mapping[str, Any], ffn: int, where: str) -> dict[str, Any]:
    def said(*names: str, least: int = 0) -> int | None:
        return _first(config, names, where, least=least)

    count = said("num_local_experts", "num_experts", "n_routed_experts")
    if not count:
        return {}
    return {
        "experts": {
            "count": count,
            "active": said("num_experts_per_tok", least=1) or 1,
            "ffn": said("moe_intermediate_size") or ffn,
            "shared": said("n_shared_experts") or 0,
            "dense_layers": said("first_k_dense_replace") or 0,
            "router_bias": config.get("topk_method") == "noaux_tc",
        }
    }


def _latent(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    if not _first(config, ("kv_lora_rank",), where):
        return {}
    named = {"kv_rank": "kv_lora_rank", "rope": "qk_rope_head_dim", "nope": "qk_nope_head_dim", "value": "v_head_dim"}
    found = {part: _first(config, (name,), where) for part, name in named.items()}
    missing = [named[part] for part, value in found.items() if value is None]
    if missing:
        raise BadOption(f"{where} has kv_lora_rank but not {', '.join(missing)}: latent attention needs all of them.")
    return {"latent": {**found, "q_rank": _first(config, ("q_lora_rank",), where, least=0) or 0}}
