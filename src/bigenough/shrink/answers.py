# SPDX-License-Identifier: Apache-2.0
"""What a teacher said of texts, so that none is read twice, in one run or after a kill."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from bigenough.storage import write_bytes

__all__ = ["Answers"]

_DIGEST = 16


@dataclass(eq=False)
class Answers:
    """Class probabilities by text: in memory, and what was put in a folder, one file a reading, whole or absent.

    The folder belongs to one model; whoever makes it sees to that.
    """

    folder: Path | None
    n_classes: int
    _said: dict[bytes, NDArray[np.float64]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for path in [] if self.folder is None else sorted(self.folder.glob("*.npz")):
            self._read(path)

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Those of which nothing is known, each once."""
        return [text for text in dict.fromkeys(texts) if _digest(text) not in self._said]

    def put(self, texts: Sequence[str], probability: NDArray[np.float64], *, keep: bool) -> None:
        """Remember (n, k) probabilities of n texts; ``keep`` has them found after a kill. Raises ``OutOfDisk``."""
        digests = [_digest(text) for text in texts]
        self._said.update(zip(digests, probability, strict=True))
        if keep and self.folder is not None:
            buffer, joined = BytesIO(), b"".join(digests)
            np.savez(buffer, digests=np.frombuffer(joined, np.uint8).reshape(-1, _DIGEST), probability=probability)
            write_bytes(self.folder / f"{hashlib.sha256(joined).hexdigest()[:12]}.npz", buffer.getvalue())

    def of(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The (n, k) probabilities of texts of which none is missing."""
        return np.array([self._said[_digest(text)] for text in texts]).reshape(len(texts), self.n_classes)

    @staticmethod
    def drop(folder: Path) -> None:
        """Delete what was kept there: all is learned from it that was to be learned."""
        shutil.rmtree(folder, ignore_errors=True)

    def _read(self, path: Path) -> None:
        """One that cannot be read is no answer: the teacher is asked again."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                digests, probability = arrays["digests"], arrays["probability"]
        except (BadZipFile, EOFError, KeyError, OSError, ValueError):
            return
        if digests.shape == (len(probability), _DIGEST) and probability.shape[1:] == (self.n_classes,):
            self._said.update(zip(map(bytes, digests), probability, strict=True))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()
