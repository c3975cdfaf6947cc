# SPDX-License-Identifier: Apache-2.0
"""A language model read from a GGUF file: its vocabulary, its chat template, and the contexts it is run in."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import RungFailed, TamperedArtefact
from bigenough.llama.context import Context
from bigenough.llama.header import read_header
from bigenough.llama.layout import ChatMessage
from bigenough.llama.library import Library, UnknownRuntime, library

__all__ = ["LlamaModel", "load_model"]

Tokens = NDArray[np.int32]

SPM = 1
"""``LLAMA_VOCAB_TYPE_SPM``: this tokenizer puts a space before every text by itself."""


class LlamaModel:
    """A decoder in memory, mapped from its file. Its methods may be called from several threads.

    Args:
        path: the GGUF file.
        threads: the most threads a context uses; None takes as many as this process may run on.
        vocabulary_only: leave the weights where they are; it then makes tokens and no more.

    Raises:
        TamperedArtefact: the file is not whole, or llama.cpp cannot read it.
        RungFailed: it is no plain decoder.
        MissingExtra, UnknownRuntime: llama.cpp is not there as it is known here.
    """

    def __init__(self, path: Path, *, threads: int | None = None, vocabulary_only: bool = False) -> None:
        self.path = path
        read_header(path)
        self.threads = threads or len(os.sched_getaffinity(0))
        self.library: Library = library()
        params = self.library.model_defaults()
        params.n_gpu_layers = 0
        params.vocab_only = vocabulary_only
        self._pointer = self.library.llama_model_load_from_file(os.fsencode(path), params)
        if not self._pointer:
            raise TamperedArtefact(
                f"{path} cannot be read as a GGUF model ({self.library.complaints()}). It may be damaged, or newer "
                "than this llama.cpp. Copy the whole folder again from where it came, or name another file."
            )
        weakref.finalize(self, self.library.llama_model_free, self._pointer)
        self._vocab = self.library.llama_model_get_vocab(self._pointer)
        self.vocabulary = int(self.library.llama_vocab_n_tokens(self._vocab))
        self._refuse_other_kinds()

    @property
    def n_parameters(self) -> int:
        """How many numbers the file holds."""
        return int(self.library.llama_model_n_params(self._pointer))

    @property
    def longest(self) -> int:
        """The tokens it was trained to read at once."""
        return int(self.library.llama_model_n_ctx_train(self._pointer))

    @cached_property
    def template(self) -> str | None:
        """The chat template in the file, as Jinja source; None if it has none."""
        found = self.library.llama_model_chat_template(self._pointer, None)
        return None if found is None else found.decode("utf-8", "replace")

    @cached_property
    def begin(self) -> int | None:
        """The token that has to come before everything; None if the model wants none."""
        if not self.library.llama_vocab_get_add_bos(self._vocab):
            return None
        token = int(self.library.llama_vocab_bos(self._vocab))
        return token if token >= 0 else None

    @cached_property
    def spaces_by_itself(self) -> bool:
        """Whether its tokenizer puts a space before every text."""
        return int(self.library.llama_vocab_type(self._vocab)) == SPM

    def ends(self, token: int) -> bool:
        """Whether a token is one of those that end an answer."""
        return bool(self.library.llama_vocab_is_eog(self._vocab, token))

    def metadata(self, key: str) -> str | None:
        """A plain value of the file's header, such as ``general.license``; None if it is not there."""
        buffer = ctypes.create_string_buffer(65536)
        length = self.library.llama_model_meta_val_str(self._pointer, key.encode(), buffer, len(buffer))
        return None if length < 0 else buffer.value.decode("utf-8", "replace")

    def tokens(self, text: str, *, special: bool = False) -> Tokens:
        """A text's tokens, (n,) int32. Only with ``special`` does text like ``<|im_end|>`` become a control token.

        Lone surrogates become "?".
        """
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        out = np.empty(room, np.int32)
        count = self.library.llama_tokenize(self._vocab, data, len(data), out.ctypes.data, room, False, special)
        if count < 0:
            raise UnknownRuntime(f"llama.cpp cut {len(data)} bytes into {-count} tokens, more than there are bytes.")
        return out[:count].copy()

    def text(self, tokens: Sequence[int] | Tokens) -> str:
        """What tokens say; control tokens say nothing."""
        given = np.ascontiguousarray(tokens, np.int32)
        told, say = (self._vocab, given.ctypes.data, len(given)), self.library.llama_detokenize
        buffer = ctypes.create_string_buffer(64 + 64 * len(given))
        length = say(*told, buffer, len(buffer), False, False)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = say(*told, buffer, len(buffer), False, False)
        if length < 0:
            raise UnknownRuntime(f"llama.cpp asked for {len(buffer)} bytes to say {len(given)} tokens, then for more.")
        return buffer.raw[:length].decode("utf-8", "replace")

    def talk(self, roles: Sequence[str], contents: Sequence[str], *, answer: bool = True) -> str | None:
        """The messages in the file's own chat template, with ``answer`` up to where the next answer begins.

        None when the file has no template, or one that llama.cpp, which knows templates by sight and runs no Jinja,
        does not recognise.
        """
        if self.template is None:
            return None
        encoded = [
            (role.encode(), content.encode("utf-8", "replace")) for role, content in zip(roles, contents, strict=True)
        ]
        messages = (ChatMessage * len(encoded))(*[ChatMessage(*each) for each in encoded])
        template, room = self.template.encode(), 1024 + 2 * sum(len(content) + 64 for _, content in encoded)
        apply = self.library.llama_chat_apply_template
        buffer = ctypes.create_string_buffer(room)
        length = apply(template, messages, len(encoded), answer, buffer, room)
        if length > room:
            buffer = ctypes.create_string_buffer(length)
            length = apply(template, messages, len(encoded), answer, buffer, length)
        return None if length < 0 else buffer.raw[:length].decode("utf-8", "replace")

    def context(self, tokens: int, *, sequences: int = 1) -> Context:
        """Room to read so many tokens in, shared by so many sequences."""
        return Context(self.library, self, self._pointer, tokens, sequences, self.threads, self.vocabulary)

    def grammar(self, source: str) -> int:
        """A sampler that allows what a GBNF grammar allows; whoever asks for it frees it."""
        made = self.library.llama_sampler_init_grammar(self._vocab, source.encode(), b"root")
        if not made:
            raise UnknownRuntime(f"llama.cpp refused a grammar: {self.library.complaints()}")
        return int(made)

    def _refuse_other_kinds(self) -> None:
        lib, model = self.library, self._pointer
        for ask, what in (
            (lib.llama_model_has_encoder, "has an encoder"),
            (lib.llama_model_is_recurrent, "is recurrent"),
            (lib.llama_model_is_hybrid, "is partly recurrent"),
            (lib.llama_model_is_diffusion, "is a diffusion model"),
        ):
            if ask(model):
                raise RungFailed(
                    f"{self.path} {what}; what it has read cannot be shared between labels. "
                    "Name a plain decoder, such as those of the Llama, Qwen or SmolLM families."
                )


def load_model(path: Path, *, threads: int | None = None) -> LlamaModel:
    """The model in a GGUF file."""
    return LlamaModel(path, threads=threads)
