# SPDX-License-Identifier: Apache-2.0
"""Run a GGUF file for a moment and print its speed: ``python -m bigenough.atlas.runtime FILE THREADS TOKENS``.

A process of its own, since llama.cpp writes its log to the error stream and cannot be stopped from inside when its
threads wait for each other on a busy machine.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

__all__ = ["write"]


def write(file: Path, threads: int, tokens: int) -> float:
    """Tokens per second of one request; loads ``xllamacpp``."""
    xllamacpp = importlib.import_module("xllamacpp")
    settings = xllamacpp.CommonParams()
    settings.model.path = str(file)
    settings.n_ctx, settings.n_parallel = 512, 1
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    request = {
        "prompt": "The history of the city begins",
        "n_predict": tokens,
        "temperature": 0.0,
        "ignore_eos": True,
        "cache_prompt": False,
    }
    told = xllamacpp.Server(settings).handle_completions(request)
    return float(told["timings"]["predicted_per_second"])


if __name__ == "__main__":
    sys.stdout.write(f"\n{write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))!r}\n")
