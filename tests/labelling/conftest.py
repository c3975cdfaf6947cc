# SPDX-License-Identifier: Apache-2.0
"""The endpoint that labels by a rule, and a real one where the packages for it are installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chat.servers import llama_url
from labelling.stub import Stub, served

from bigenough.chat.terms import Terms

__all__ = ["llama_url"]


@pytest.fixture
def stub() -> Iterator[Stub]:
    with served() as one:
        yield one


@pytest.fixture
def terms(tmp_path: Path) -> Terms:
    return Terms(tmp_path / "replies.sqlite", account="labelling", backoff_s=0.01, tries=2)
