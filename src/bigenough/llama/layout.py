# SPDX-License-Identifier: Apache-2.0
"""The structures of llama.cpp's C interface as the builds in ``KNOWN`` lay them out in memory.

They travel by value, so a field more or less would not fail: it would shift all that follows. Whoever adds a build to
``KNOWN`` compares its ``llama.h`` with this file field by field.
"""

from __future__ import annotations

import ctypes
from ctypes import c_bool, c_float, c_int8, c_int32, c_size_t, c_uint32, c_void_p
from typing import Any

__all__ = ["CONTEXT_DEFAULTS", "KNOWN", "MODEL_DEFAULTS", "Batch", "ChatMessage", "ContextParams", "ModelParams",
           "TokenDataArray", "differences"]  # fmt: skip

KNOWN = ("2026.10.11549",)
"""Versions of the package ``xllamacpp`` whose ``llama.h`` this file was written from."""

_HIDDEN = 64
"""Spare bytes behind a structure that is returned: a larger one than expected would write there and not elsewhere."""


class ModelParams(ctypes.Structure):
    """``struct llama_model_params``."""

    _fields_ = (
        ("devices", c_void_p),
        ("tensor_buft_overrides", c_void_p),
        ("n_gpu_layers", c_int32),
        ("split_mode", c_int32),
        ("load_mode", c_int32),
        ("lazy_mode", c_int32),
        ("main_gpu", c_int32),
        ("tensor_split", c_void_p),
        ("progress_callback", c_void_p),
        ("progress_callback_user_data", c_void_p),
        ("kv_overrides", c_void_p),
        ("vocab_only", c_bool),
        ("check_tensors", c_bool),
        ("use_extra_bufts", c_bool),
        ("no_host", c_bool),
        ("no_alloc", c_bool),
        ("load_mtp", c_bool),
    )


class ContextParams(ctypes.Structure):
    """``struct llama_context_params``."""

    _fields_ = (
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("n_seq_max", c_uint32),
        ("n_rs_seq", c_uint32),
        ("n_outputs_max", c_uint32),
        ("n_outputs_max_per_seq", c_uint32),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        ("ctx_type", c_int32),
        ("rope_scaling_type", c_int32),
        ("pooling_type", c_int32),
        ("attention_type", c_int32),
        ("flash_attn_type", c_int32),
        ("rope_freq_base", c_float),
        ("rope_freq_scale", c_float),
        ("yarn_ext_factor", c_float),
        ("yarn_attn_factor", c_float),
        ("yarn_beta_fast", c_float),
        ("yarn_beta_slow", c_float),
        ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float),
        ("cb_eval", c_void_p),
        ("cb_eval_user_data", c_void_p),
        ("type_k", c_int32),
        ("type_v", c_int32),
        ("moe_cache_size", c_size_t),
        ("abort_callback", c_void_p),
        ("abort_callback_data", c_void_p),
        ("embeddings", c_bool),
        ("offload_kqv", c_bool),
        ("no_perf", c_bool),
        ("op_offload", c_bool),
        ("swa_full", c_bool),
        ("kv_unified", c_bool),
        ("samplers", c_void_p),
        ("n_samplers", c_size_t),
        ("ctx_other", c_void_p),
    )


class Batch(ctypes.Structure):
    """``struct llama_batch``."""

    _fields_ = (
        ("n_tokens", c_int32),
        ("token", c_void_p),
        ("embd", c_void_p),
        ("pos", c_void_p),
        ("n_seq_id", c_void_p),
        ("seq_id", c_void_p),
        ("logits", c_void_p),
    )


class ChatMessage(ctypes.Structure):
    """``struct llama_chat_message``."""

    _fields_ = (("role", ctypes.c_char_p), ("content", ctypes.c_char_p))


class TokenDataArray(ctypes.Structure):
    """``struct llama_token_data_array``; its data are (int32 id, float logit, float p) each."""

    _fields_ = (("data", c_void_p), ("size", c_size_t), ("selected", ctypes.c_int64), ("sorted", c_bool))


class _ReturnedModelParams(ctypes.Structure):
    _fields_ = (("it", ModelParams), ("hidden", c_int8 * _HIDDEN))


class _ReturnedContextParams(ctypes.Structure):
    _fields_ = (("it", ContextParams), ("hidden", c_int8 * _HIDDEN))


RETURNED = {
    "llama_model_default_params": _ReturnedModelParams,
    "llama_context_default_params": _ReturnedContextParams,
}

MODEL_DEFAULTS: dict[str, Any] = {
    "devices": None, "tensor_buft_overrides": None, "n_gpu_layers": -1, "split_mode": 1, "load_mode": -1,
    "lazy_mode": 1, "main_gpu": 0, "tensor_split": None, "progress_callback": None,
    "progress_callback_user_data": None, "kv_overrides": None, "vocab_only": False, "check_tensors": False,
    "use_extra_bufts": True, "no_host": False, "no_alloc": False, "load_mtp": False,
}  # fmt: skip
CONTEXT_DEFAULTS: dict[str, Any] = {
    "n_ctx": 512, "n_batch": 2048, "n_ubatch": 512, "n_seq_max": 1, "n_rs_seq": 0, "n_outputs_max": 0,
    "n_outputs_max_per_seq": 1, "n_threads": 4, "n_threads_batch": 4, "ctx_type": 0, "rope_scaling_type": -1,
    "pooling_type": -1, "attention_type": -1, "flash_attn_type": -1, "rope_freq_base": 0.0, "rope_freq_scale": 0.0,
    "yarn_ext_factor": -1.0, "yarn_attn_factor": -1.0, "yarn_beta_fast": -1.0, "yarn_beta_slow": -1.0,
    "yarn_orig_ctx": 0, "defrag_thold": -1.0, "cb_eval": None, "cb_eval_user_data": None, "type_k": 1, "type_v": 1,
    "moe_cache_size": 0, "abort_callback": None, "abort_callback_data": None, "embeddings": False,
    "offload_kqv": True, "no_perf": True, "op_offload": True, "swa_full": True, "kv_unified": False,
    "samplers": None, "n_samplers": 0, "ctx_other": None,
}  # fmt: skip
"""What llama.cpp fills in; a structure that is laid out otherwise would show other values."""


def differences(found: ctypes.Structure, expected: dict[str, Any]) -> list[str]:
    """The fields whose values are not the expected ones, with both.

    >>> differences(ModelParams(), {"n_gpu_layers": 0, "split_mode": 1})
    ['split_mode is 0, not 1']
    """
    values = {name: getattr(found, name) for name in expected}
    return [f"{name} is {values[name]}, not {value}" for name, value in expected.items() if values[name] != value]
