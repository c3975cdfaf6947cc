# SPDX-License-Identifier: Apache-2.0
"""On what a training runs, and in which number format: the GPU if there is one, and half the bits where they are fast.

It changes no global state of torch for longer than a block lasts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

__all__ = ["Machine", "borrowed", "is_no_memory", "this_machine"]

Precision = Literal["bf16", "fp16", "fp32"]
_NO_MEMORY = (
    *("out of memory", "not enough memory", "DefaultCPUAllocator", "can't allocate memory"),
    *("bad_alloc", "CUBLAS_STATUS_ALLOC_FAILED"),
)


@dataclass(frozen=True)
class Machine:
    """A device and the number format of its matrix products; weights and optimiser stay in 32 bits."""

    device: torch.device
    precision: Precision

    @property
    def attention(self) -> str:
        """The fastest way to compute attention, as transformers calls it: on a CPU, for short texts, the plain one.

        With 32 rows of a dozen tokens torch's fused kernel takes more than half of a whole step there.
        """
        return "eager" if self.device.type == "cpu" else "sdpa"

    def autocast(self) -> AbstractContextManager[object]:
        """A block whose matrix products run in the machine's precision (Micikevicius et al. 2018)."""
        import torch

        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16 if self.precision == "bf16" else torch.float16)

    def release(self) -> None:
        """Give back memory that is kept for later use, after it ran out."""
        import torch

        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def this_machine(device: torch.device | None = None) -> Machine:
    """The GPU, else the CPU; bf16 where the hardware multiplies it itself, fp16 on older GPUs."""
    import torch

    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        return Machine(device, "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16")
    return Machine(device, "bf16" if _cpu_has_bf16() else "fp32")


def _cpu_has_bf16() -> bool:
    """Whether torch says that this CPU has AVX-512 BF16 or AMX; emulated, bf16 is slower than 32 bits."""
    import torch

    said: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(said.get("avx512_bf16") or said.get("amx_bf16") or said.get("bf16"))


def is_no_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; not every library has an exception of its own for that."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(sign in str(error) for sign in _NO_MEMORY)


@contextmanager
def borrowed(threads: int, seed: int) -> Iterator[None]:
    """A block with so many threads and torch's random numbers begun at ``seed``; both are as before afterwards."""
    import torch

    before = torch.get_num_threads()
    with torch.random.fork_rng():
        try:
            torch.set_num_threads(threads)
            torch.manual_seed(seed)
            yield
        finally:
            torch.set_num_threads(before)
