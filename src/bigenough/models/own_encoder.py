# SPDX-License-Identifier: Apache-2.0
"""An encoder that nobody else has: its graph lies on disk only as long as somebody uses it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from tokenizers import Tokenizer

from bigenough.models.encoder import Encoder
from bigenough.storage import write_bytes

__all__ = ["OwnEncoder", "OwnGraph"]


class OwnGraph:
    """A graph's file in a temporary folder, which goes when nobody holds this any more. Raises ``OutOfDisk``.

    Attributes:
        path: the ONNX file.
    """

    def __init__(self, graph: bytes) -> None:
        self._folder = TemporaryDirectory(prefix="bigenough-")
        self.path = Path(self._folder.name) / "model.onnx"
        write_bytes(self.path, graph)


class OwnEncoder(Encoder):
    """An encoder whose graph lies in a temporary folder, which goes when the encoder does, and who else holds it.

    A search makes one for each of its trials, of some 90 MB each; those that are worth keeping are saved by whoever
    keeps them. The other arguments are ``Encoder``'s. Raises ``OutOfDisk``.

    Attributes:
        path: the ONNX file.
    """

    def __init__(
        self,
        graph: bytes | OwnGraph,
        tokenizer: Tokenizer,
        *,
        max_length: int,
        threads: int | None = None,
        alone: bool = False,
    ) -> None:
        self._graph = graph if isinstance(graph, OwnGraph) else OwnGraph(graph)
        self.path = self._graph.path
        super().__init__(self.path, tokenizer, max_length=max_length, threads=threads, alone=alone)
