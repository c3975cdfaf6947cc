# SPDX-License-Identifier: Apache-2.0
"""llama.cpp's C functions, out of the shared library that the package ``xllamacpp`` carries.

Its Python interface gives no logits; its library exports the functions that do. The package is not imported: asking
where it lies runs none of its code.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Mapping, Sequence
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bigenough.errors import MissingExtra, RungFailed
from bigenough.llama.layout import (
    CONTEXT_DEFAULTS,
    KNOWN,
    MODEL_DEFAULTS,
    RETURNED,
    Batch,
    ContextParams,
    ModelParams,
    TokenDataArray,
    differences,
)

__all__ = ["Library", "UnknownRuntime", "library"]

PACKAGE = "xllamacpp"
COMMAND = f"pip install '{PACKAGE}=={KNOWN[-1]}'"

_ERROR = 4
"""``GGML_LOG_LEVEL_ERROR``."""
_LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, c_char_p, c_void_p)

_COMPLAINTS: deque[str] = deque(maxlen=5)


def _hear(level: int, text: bytes | None, _: Any) -> None:
    if level == _ERROR and text:
        _COMPLAINTS.append(" ".join(text.decode("utf-8", "replace").split()))


_HEAR = _LogCallback(_hear)
"""Lives as long as the module: llama.cpp keeps its address."""

_text, _model, _context, _vocab, _memory, _sampler = c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p
SIGNATURES: Mapping[str, tuple[Any, Sequence[Any]]] = {
    "llama_backend_init": (None, ()),
    "llama_log_set": (None, (_LogCallback, c_void_p)),
    "llama_model_default_params": (RETURNED["llama_model_default_params"], ()),
    "llama_context_default_params": (RETURNED["llama_context_default_params"], ()),
    "llama_model_load_from_file": (_model, (_text, ModelParams)),
    "llama_model_free": (None, (_model,)),
    "llama_init_from_model": (_context, (_model, ContextParams)),
    "llama_free": (None, (_context,)),
    "llama_n_ctx": (c_uint32, (_context,)),
    "llama_n_batch": (c_uint32, (_context,)),
    "llama_n_ubatch": (c_uint32, (_context,)),
    "llama_n_seq_max": (c_uint32, (_context,)),
    "llama_n_threads": (c_int32, (_context,)),
    "llama_n_threads_batch": (c_int32, (_context,)),
    "llama_get_memory": (_memory, (_context,)),
    "llama_memory_clear": (None, (_memory, c_bool)),
    "llama_memory_seq_rm": (c_bool, (_memory, c_int32, c_int32, c_int32)),
    "llama_decode": (c_int32, (_context, Batch)),
    "llama_get_logits_ith": (POINTER(c_float), (_context, c_int32)),
    "llama_model_get_vocab": (_vocab, (_model,)),
    "llama_model_n_ctx_train": (c_int32, (_model,)),
    "llama_model_n_params": (c_uint64, (_model,)),
    "llama_model_has_encoder": (c_bool, (_model,)),
    "llama_model_is_recurrent": (c_bool, (_model,)),
    "llama_model_is_hybrid": (c_bool, (_model,)),
    "llama_model_is_diffusion": (c_bool, (_model,)),
    "llama_model_chat_template": (_text, (_model, _text)),
    "llama_model_meta_val_str": (c_int32, (_model, _text, c_char_p, c_size_t)),
    "llama_vocab_type": (c_int32, (_vocab,)),
    "llama_vocab_n_tokens": (c_int32, (_vocab,)),
    "llama_vocab_bos": (c_int32, (_vocab,)),
    "llama_vocab_is_eog": (c_bool, (_vocab, c_int32)),
    "llama_vocab_get_add_bos": (c_bool, (_vocab,)),
    "llama_tokenize": (c_int32, (_vocab, _text, c_int32, c_void_p, c_int32, c_bool, c_bool)),
    "llama_detokenize": (c_int32, (_vocab, c_void_p, c_int32, c_char_p, c_int32, c_bool, c_bool)),
    "llama_chat_apply_template": (c_int32, (_text, c_void_p, c_size_t, c_bool, c_char_p, c_int32)),
    "llama_sampler_init_grammar": (_sampler, (_vocab, _text, _text)),
    "llama_sampler_apply": (None, (_sampler, POINTER(TokenDataArray))),
    "llama_sampler_accept": (None, (_sampler, c_int32)),
    "llama_sampler_free": (None, (_sampler,)),
}


class UnknownRuntime(RungFailed):
    """The installed llama.cpp is not one whose structures are known here."""


class Library:
    """The functions of ``SIGNATURES``, by their names, and what llama.cpp last complained about."""

    def __init__(self, path: Path, version: str) -> None:
        self.version = version
        try:
            handle = ctypes.CDLL(str(path))
            for name, (result, arguments) in SIGNATURES.items():
                function = getattr(handle, name)
                function.restype, function.argtypes = result, arguments
                setattr(self, name, function)
        except (OSError, AttributeError) as error:
            raise _unknown(f"{path} cannot be used ({error})") from error
        self.llama_log_set(_HEAR, None)
        self.model_defaults()
        self.context_defaults()
        self.llama_backend_init()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no function {name!r}: it is not among SIGNATURES")

    def model_defaults(self) -> ModelParams:
        """A fresh structure with llama.cpp's own values. Raises ``UnknownRuntime`` when they are not the known ones."""
        return self._checked("llama_model_default_params", MODEL_DEFAULTS)  # type: ignore[return-value]

    def context_defaults(self) -> ContextParams:
        """The same for a context."""
        return self._checked("llama_context_default_params", CONTEXT_DEFAULTS)  # type: ignore[return-value]

    def complaints(self) -> str:
        """What llama.cpp said of errors since this was last asked; a sentence if it said nothing."""
        said = "; ".join(dict.fromkeys(_COMPLAINTS)) or "llama.cpp gave no reason"
        _COMPLAINTS.clear()
        return said

    def _checked(self, function: str, expected: Mapping[str, Any]) -> ctypes.Structure:
        found: ctypes.Structure = getattr(self, function)().it
        if wrong := differences(found, dict(expected)):
            raise _unknown(f"{PACKAGE} {self.version} lays its structures out differently ({function}: {wrong[0]})")
        return found


@cache
def library() -> Library:
    """The one library of this process.

    Raises:
        MissingExtra: the package is not installed.
        UnknownRuntime: it is a version that nobody compared with ``layout``, or its structures look different.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtra("A language model on this machine", PACKAGE, "pip install 'bigenough[llm]'")
    version = _version()
    if version not in KNOWN:
        raise _unknown(f"{PACKAGE} {version} is installed, whose structures are not known here")
    found = sorted(Path(spec.origin).parent.glob(f"{PACKAGE}*.so")) or sorted(Path(spec.origin).parent.glob("*.pyd"))
    if not found:
        raise _unknown(f"{Path(spec.origin).parent} holds no shared library of {PACKAGE}")
    return Library(found[0], version)


def _version() -> str:
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return "of an unknown version"


def _unknown(found: str) -> UnknownRuntime:
    return UnknownRuntime(f"{found}. Tested with {PACKAGE} {', '.join(KNOWN)}. Install it: {COMMAND}")
