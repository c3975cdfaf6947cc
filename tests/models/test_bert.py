# SPDX-License-Identifier: Apache-2.0
"""Weights that cannot be read."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from models.tiny_bert import tiny_arrays, write_model

from bigenough.errors import UnsupportedModel
from bigenough.models.bert import read_bert


@pytest.mark.parametrize("left", [0, 6, 200, -1])
def test_a_download_that_was_cut_short_says_so(tmp_path, left):
    model = write_model(tmp_path / "model")
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(UnsupportedModel, match=r"model\.safetensors cannot be read as safetensors .*download it again"):
        read_bert(model)


def test_brain_floats_are_read_as_they_are(tmp_path):
    """Many encoders are published in bf16, which numpy has no name for: the upper half of a float32."""
    upper = {name: array.view(np.uint32) & 0xFFFF0000 for name, array in tiny_arrays().items()}
    full = write_model(tmp_path / "full", arrays={name: bits.view(np.float32) for name, bits in upper.items()})
    half = write_model(tmp_path / "half")
    header, data = {}, b""
    for name, bits in upper.items():
        begin, data = len(data), data + (bits >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": bits.shape, "data_offsets": [begin, len(data)]}
    told = json.dumps(header).encode()
    (half / "model.safetensors").write_bytes(struct.pack("<Q", len(told)) + told + data)
    assert np.array_equal(read_bert(half).words, read_bert(full).words)
    assert np.array_equal(read_bert(half).layers[1].widen, read_bert(full).layers[1].widen)
