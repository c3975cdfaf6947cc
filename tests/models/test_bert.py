# SPDX-License-Identifier: Apache-2.0
"""Weights that cannot be read."""

from __future__ import annotations

import pytest
from models.tiny_bert import write_model

from bigenough.models.bert import UnsupportedModel, read_bert


@pytest.mark.parametrize("left", [0, 6, 200, -1])
def test_a_download_that_was_cut_short_says_so(tmp_path, left):
    model = write_model(tmp_path / "model")
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(UnsupportedModel, match=r"model\.safetensors cannot be read as safetensors .*download it again"):
        read_bert(model)
