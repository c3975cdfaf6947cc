# SPDX-License-Identifier: Apache-2.0
"""Where a model reads: the cache of what was read, and the log-probabilities of what may come next."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import RungFailed
from bigenough.llama.layout import Batch
from bigenough.llama.library import Library, UnknownRuntime

__all__ = ["BATCH", "MOST_SEQUENCES", "OUTPUTS", "Context", "log_softmax_at"]

BATCH = 256
"""Tokens in one call. Twice as many read hardly faster on a processor, and take twice the memory."""
OUTPUTS = 128
"""Tokens in one call whose next-token scores are kept: vocabulary × 4 bytes each."""
MOST_SEQUENCES = 256
"""``LLAMA_MAX_SEQ``, compiled into llama.cpp."""
_PAGE = 256
"""llama.cpp rounds the room of a cache up to a multiple of this."""

Logits = NDArray[np.float32]


class Context:
    """A cache that holds up to ``tokens`` tokens, each belonging to one or more of ``sequences`` sequences.

    What one call computes depends on what is in the cache and in the call, and on nothing before that was forgotten:
    flash attention, whose sums depend on how many threads there are, is off.
    """

    def __init__(
        self, lib: Library, owner: Any, model: int, tokens: int, sequences: int, threads: int, vocabulary: int
    ) -> None:
        self._lib, self._owner, self.vocabulary = lib, owner, vocabulary
        self.room = -(-tokens // _PAGE) * _PAGE
        params = lib.context_defaults()
        params.n_ctx = self.room
        params.n_batch = params.n_ubatch = BATCH
        params.n_seq_max, params.kv_unified = sequences, True
        # One score a sequence is the least that llama.cpp makes room for; it aborts the process otherwise.
        params.n_outputs_max, params.n_outputs_max_per_seq = max(OUTPUTS, sequences), 0
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = 0
        self._pointer = lib.llama_init_from_model(model, params)
        if not self._pointer:
            raise RungFailed(
                f"llama.cpp cannot make room for {self.room} tokens ({lib.complaints()}). Memory may be short."
            )
        # The model stays until the context is gone: the finalizers of a collected cycle run in no order.
        weakref.finalize(self, _release, lib.llama_free, self._pointer, owner)
        self._check(sequences, threads)
        self._memory = lib.llama_get_memory(self._pointer)

    def read(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        sequences: Sequence[Sequence[int]],
        wanted: NDArray[np.bool_],
    ) -> Iterator[tuple[int, Logits]]:
        """Read n tokens and give, for each wanted one, its place and the (vocabulary,) scores of what may come next.

        The scores are valid until the next step of the iterator.

        Args:
            tokens: (n,).
            positions: (n,) places in their sequences; within a sequence they rise without a gap.
            sequences: (n) the sequences a token belongs to; within a call they only get fewer along a sequence.
            wanted: (n,) which scores are asked for.
        """
        for first, last in _calls(wanted):
            part = slice(first, last)
            self._decode(tokens[part], positions[part], sequences[part], wanted[part])
            for place in np.flatnonzero(wanted[part]):
                pointer = self._lib.llama_get_logits_ith(self._pointer, int(place))
                if not pointer:
                    raise UnknownRuntime(f"llama.cpp gave no scores for token {place}: {self._lib.complaints()}")
                yield first + int(place), np.ctypeslib.as_array(pointer, (self.vocabulary,))

    def forget(self, position: int) -> None:
        """Drop what was read from this position on, in every sequence."""
        if position == 0:
            self._lib.llama_memory_clear(self._memory, False)
        elif not self._lib.llama_memory_seq_rm(self._memory, -1, position, -1):
            raise RungFailed("This model cannot forget part of what it read. Name a plain decoder.")

    def _decode(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        sequences: Sequence[Sequence[int]],
        wanted: NDArray[np.bool_],
    ) -> None:
        tokens = np.ascontiguousarray(tokens, np.int32)
        positions = np.ascontiguousarray(positions, np.int32)
        counts = np.array([len(each) for each in sequences], np.int32)
        flat = np.array([one for each in sequences for one in each], np.int32)
        starts = (flat.ctypes.data + 4 * (np.cumsum(counts) - counts)).astype(np.uintp)
        marks = wanted.astype(np.int8)
        batch = Batch(
            len(tokens), tokens.ctypes.data, None, positions.ctypes.data, counts.ctypes.data, starts.ctypes.data,
            marks.ctypes.data,
        )  # fmt: skip
        code = self._lib.llama_decode(self._pointer, batch)
        if code != 0:
            raise RungFailed(
                f"llama.cpp could not read {len(tokens)} tokens (code {code}: {self._lib.complaints()}); its cache "
                f"holds {self.room}."
            )

    def _check(self, sequences: int, threads: int) -> None:
        """That the context is what was asked for: structures laid out otherwise would show here."""
        lib, at = self._lib, self._pointer
        found = (
            lib.llama_n_ctx(at), lib.llama_n_batch(at), lib.llama_n_ubatch(at), lib.llama_n_seq_max(at),
            lib.llama_n_threads(at), lib.llama_n_threads_batch(at),
        )  # fmt: skip
        asked = (self.room, BATCH, BATCH, sequences, threads, threads)
        if found != asked:
            raise UnknownRuntime(f"llama.cpp made a context of {found} where {asked} was asked for; its build is new.")


def _release(free: Callable[[int], None], pointer: int, owner: Any) -> None:
    """Free a context; its finalizer holds the owner until then."""
    free(pointer)


def log_softmax_at(logits: Logits, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
    """The logarithms of the softmax of (v,) scores, at (m,) tokens alone.

    >>> bool(np.allclose(log_softmax_at(np.zeros(4, np.float32), np.array([1, 3])), -np.log(4)))
    True
    """
    highest = logits.max()
    total = np.exp(logits - highest).sum(dtype=np.float32)
    found: NDArray[np.float32] = logits[tokens] - highest - np.log(total)
    return found


def _calls(wanted: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Stretches of at most ``BATCH`` tokens with at most ``OUTPUTS`` wanted ones, in order.

    >>> list(_calls(np.array([False] * 300 + [True])))
    [(0, 256), (256, 301)]
    """
    first = outputs = 0
    for place, is_wanted in enumerate(wanted.tolist()):
        if place - first == BATCH or outputs + is_wanted > OUTPUTS:
            yield first, place
            first, outputs = place, 0
        outputs += is_wanted
    if first < len(wanted):
        yield first, len(wanted)
