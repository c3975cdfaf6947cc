# SPDX-License-Identifier: Apache-2.0
"""One tiny decoder for all tests of the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from llama.tiny_llama import write_tiny

from bigenough.llama import LlamaModel, load_model


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="session")
def model(gguf: Path) -> LlamaModel:
    return load_model(gguf, threads=1)
