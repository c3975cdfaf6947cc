# SPDX-License-Identifier: Apache-2.0
"""A language model's folder made into a GGUF file that llama.cpp reads, once, and kept.

How a tokenizer cuts texts into words has a name in GGUF files that no folder states. Each name that llama.cpp knows for
byte-level tokenizers is tried until its tokens are those of the folder's own tokenizer on texts full of digits, marks,
spaces and scripts; where none is, the folder is refused: a model that reads tokens it has not learned talks nonsense.
One difference is left: tokenizers such as Qwen's put letters and their accents together first (Unicode's form NFC),
and llama.cpp takes a text as it comes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bigenough.errors import TamperedArtefact, UnsupportedModel
from bigenough.llama.model import LlamaModel
from bigenough.models.decoder_folder import decoder_files, folder_facts, with_weights
from bigenough.models.decoder_vocabulary import PRE, folder_tokenizer
from bigenough.models.gguf_weights import GgufModel, write_gguf
from bigenough.storage import atomic_folder, content_hash, sha256_once

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["folder_as_gguf"]

VERSION = 1
"""Of the way in which files are made; another one makes them anew."""
WORD_CUTS = (
    "smollm", "qwen2", "llama-bpe", "gpt-2", "tekken", "qwen35", "gpt-4o", "llama4", "deepseek-llm", "deepseek-coder",
    "deepseek-v3", "falcon", "falcon3", "starcoder", "refact", "command-r", "mpt", "olmo", "dbrx", "exaone",
    "minerva-7b", "megrez", "superbpe", "seed-coder", "hunyuan", "kimi-k2", "stablelm2", "granite-docling",
    "minimax-m2", "default",
)  # fmt: skip
"""Names that llama.cpp has for ways of cutting texts into words (``llama-vocab.cpp``); those it does not know fail."""
PROBES = (
    "Hello world, this isn't the end: it's John's and WE'VE said I'll, they'd, you're.",
    "0 12 345 6789 01234567890 3.14159 1,000,000 2026-11-26 v2.0 7th 50% 1st22nd x1y22z333",
    "  two  spaces   three\tand\t\ttabs \n\n lines\r\nand\n\n\nmore   \n",
    "snake_case camelCase SCREAMING kebab-case a/b\\c http://example.org/?q=1&r=[2]#x user@example.org",
    "!!! ??? ... --- ___ === ((())) [[]] {{}} <<>> \"quoted\" 'single' `tick` ~^|*+$#@",
    "Füße, naïve café, Ærøskøbing, Łódź; Москва и Київ; Αθήνα; עברית; العربية; हिन्दी; ไทย",
    "日本語のテキスト、中文文本。한국어 문장 😀👍🏽 👩‍👩‍👧 ™ © ½ ² ① №",
    "def f(x):\n    return {'a': [1, 2], \"b\": x**2 != 3}\n\n\t# done;;\n",
    "A", " ", "\n", "a b", " lead", "trail ", "I'M HE'S", "don’t “curly” – dash — ellipsis…",
)  # fmt: skip


def folder_as_gguf(folder: Path, cache: Path) -> Path:
    """The GGUF file, in 16 bits, of the model in a folder, under ``cache``; made where it is not there yet.

    Raises:
        UnsupportedModel: the folder's model or tokenizer is of a kind that is not known here, or lacks parts.
        MissingExtra: gguf or xllamacpp is not installed.
        OutOfDisk: there is no room for the file.
    """
    hashes = {path.relative_to(folder).as_posix(): sha256_once(path) for path in decoder_files(folder)}
    made = cache / "gguf" / content_hash(hashes, folder.name, VERSION, length=24)
    file = made / f"{folder.name}.gguf"
    if not file.is_file():
        with _alone(made.parent):
            if not file.is_file():
                _make(folder, file)
    return file


def _make(folder: Path, file: Path) -> None:
    own = folder_tokenizer(folder)
    facts = folder_facts(folder, pre=WORD_CUTS[0])
    with atomic_folder(file.parent) as scratch:
        named = _with_word_cut(facts, _word_cut(folder, own, facts, scratch / "vocabulary.gguf"))
        written = scratch / file.name
        write_gguf(written, with_weights(named), {}, "F16")
        with written.open("rb") as whole:
            os.fsync(whole.fileno())
        try:
            model = LlamaModel(written, threads=1)
        except TamperedArtefact as error:
            raise UnsupportedModel(
                f"llama.cpp does not read what the folder {folder} became: {error} Name a GGUF file of this model."
            ) from error
        _check_begin(folder, own, model)


def _word_cut(folder: Path, own: Tokenizer, facts: GgufModel, scratch: Path) -> str:
    """The first name under which llama.cpp's tokens are those of the folder's own tokenizer."""
    wanted = [own.encode(text, add_special_tokens=False).ids for text in PROBES]
    nearest, most = "", -1
    for name in WORD_CUTS:
        found = _tokens(_with_word_cut(facts, name), scratch)
        same = sum(one == other for one, other in zip(found, wanted, strict=True)) if found else -1
        if same == len(PROBES):
            return name
        if same > most:
            nearest, most = name, same
    raise UnsupportedModel(
        f"llama.cpp cuts texts into other tokens than the tokenizer in {folder} does: under the nearest of its ways, "
        f"{nearest!r}, {most} of {len(PROBES)} texts come out the same. Its model would read what it has not learned. "
        "Name another model, or a GGUF file of this one that its makers published."
    )


def _check_begin(folder: Path, own: Tokenizer, model: LlamaModel) -> None:
    """That a text begins with the token that the folder's own tokenizer puts there, or with none."""
    plain, whole = (own.encode("A", add_special_tokens=special).ids for special in (False, True))
    wanted = whole[0] if len(whole) > len(plain) and whole[1 : 1 + len(plain)] == plain else None
    if model.begin != wanted:
        raise UnsupportedModel(
            f"The tokenizer in {folder} begins a text with token {wanted}, and llama.cpp would with {model.begin}: "
            "tokenizer.json and tokenizer_config.json disagree. Name a GGUF file of this model."
        )


def _tokens(facts: GgufModel, scratch: Path) -> list[list[int]]:
    """What llama.cpp makes of the probes; nothing where it does not know the name."""
    write_gguf(scratch, facts, {}, "F16")
    try:
        model = LlamaModel(scratch, threads=1, vocabulary_only=True)
    except TamperedArtefact:
        return []
    finally:
        scratch.unlink()
    return [model.tokens(text).tolist() for text in PROBES]


def _with_word_cut(source: GgufModel, pre: str) -> GgufModel:
    return replace(source, fields={**source.fields, PRE: source.fields[PRE]._replace(value=pre)})


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """One process at a time makes files here, and sweeps up what a kill left of earlier ones."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in cache.glob(".*.tmp"):
            shutil.rmtree(left, ignore_errors=True)
        yield
