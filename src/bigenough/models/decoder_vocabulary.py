# SPDX-License-Identifier: Apache-2.0
"""The tokenizer of a language model's folder, as the entries of a GGUF file's metadata.

It decides what each token is called and of which kind it is. How a text is cut into words before tokens are merged has
a name in GGUF files, out of a list that llama.cpp knows, and no tokenizer.json states that name: which of them it is
can only be tried out, by whoever has llama.cpp (``bigenough.llama.folder``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigenough.errors import MissingExtra, UnsupportedModel
from bigenough.models.folder_json import flag, integer, listing, read_object, section, text
from bigenough.models.gguf_weights import Field
from bigenough.models.tokenizer_file import read_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["PRE", "folder_tokenizer", "vocabulary_fields"]

PRE = "tokenizer.ggml.pre"
"""The entry that names how a text is cut into words."""
UINT32, INT32, BOOL, STRING, ARRAY = 4, 5, 7, 8, 9
"""Types of GGUF entries (ggml's ``docs/gguf.md``)."""
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Kinds of tokens (llama.h, ``llama_token_type``)."""


def folder_tokenizer(folder: Path) -> Tokenizer:
    """The folder's own tokenizer, which any other has to agree with.

    Raises:
        UnsupportedModel: tokenizer.json is missing, cannot be read, is no byte-level BPE, or changes texts by more than
            Unicode's form NFC.
    """
    path = folder / "tokenizer.json"
    raw, found = read_object(path), read_tokenizer(path)
    kind = text(section(raw, "model", path), "type", path)
    if kind != "BPE" or "ByteLevel" not in _kinds(raw.get("decoder")):
        raise UnsupportedModel(
            f"{path} is a {kind} tokenizer that does not stand on bytes. Folders of models with byte-level BPE "
            "(Qwen, SmolLM, Llama 3.0) can be used. Convert another with llama.cpp's convert_hf_to_gguf.py, and "
            "name the GGUF file."
        )
    if (raw.get("normalizer") or {"type": "NFC"}).get("type") != "NFC":
        raise UnsupportedModel(
            f"{path} changes texts before it cuts them ({raw['normalizer']}), which llama.cpp does not. Name a GGUF "
            "file of this model that its makers published."
        )
    return found


def _kinds(part: Any) -> set[str]:
    """The kinds of a tokenizer's decoder and of those that it is made of."""
    if not isinstance(part, dict):
        return set()
    return {str(part.get("type"))}.union(*(_kinds(each) for each in part.get("decoders", ())))


def vocabulary_fields(folder: Path, rows: int, pre: str) -> dict[str, Field]:
    """The tokens, their kinds, the merges, the special tokens and the chat template.

    Args:
        folder: with tokenizer.json, and tokenizer_config.json and a chat template where it has them.
        rows: how many rows the token matrix has; those without a token are called ``[PAD123]``, as llama.cpp does.
        pre: the name of the way in which texts are cut into words.

    Raises:
        UnsupportedModel: the tokenizer has tokens beyond the matrix, or cannot be read.
        MissingExtra: the package gguf is not installed.
    """
    raw = read_object(folder / "tokenizer.json")
    tokens, kinds = _tokens(folder, raw, rows)
    special = _special(folder, rows)
    fields = {
        "tokenizer.ggml.model": Field("gpt2", STRING, None),
        PRE: Field(pre, STRING, None),
        "tokenizer.ggml.tokens": Field(tokens, ARRAY, STRING),
        "tokenizer.ggml.token_type": Field(kinds, ARRAY, INT32),
        "tokenizer.ggml.merges": Field(list(special.merges), ARRAY, STRING),
    }
    names = {"unk": "unknown", "pad": "padding", "sep": "seperator"}
    for kind, token in special.special_token_ids.items():
        fields[f"tokenizer.ggml.{names.get(kind, kind)}_token_id"] = Field(token, UINT32, None)
    # Where nothing says that a text begins with a token of its own, none does; llama.cpp would add one by itself.
    for kind, adds in {"bos": False, **special.add_special_token}.items():
        fields[f"tokenizer.ggml.add_{kind}_token"] = Field(adds, BOOL, None)
    template = _template(folder, special.chat_template)
    if template is not None:
        fields["tokenizer.chat_template"] = Field(template, STRING, None)
    return fields


def _tokens(folder: Path, raw: Mapping[str, Any], rows: int) -> tuple[list[str], list[int]]:
    """The name and the kind of each row of the token matrix."""
    tokens, kinds = [f"[PAD{row}]" for row in range(rows)], [UNUSED] * rows
    path = folder / "tokenizer.json"
    added = {integer(each, "id", path, low=0): each for each in listing(raw, "added_tokens", path)}
    vocabulary = section(section(raw, "model", path), "vocab", path)
    named = {integer(vocabulary, name, path, low=0): name for name in vocabulary}
    named |= {row: text(each, "content", path) for row, each in added.items()}
    if named and max(named) >= rows:
        raise UnsupportedModel(
            f"The tokenizer in {folder} has a token {max(named)}, and the weights have {rows} rows for tokens: they do "
            "not belong together. Save or download both again."
        )
    for row, name in named.items():
        tokens[row], kinds[row] = name, NORMAL
        if row in added:
            # Some models do not mark their turns' tokens as special; llama.cpp's converter goes by their look too.
            looks_special = re.fullmatch(r"<\|.*\|>", name) is not None
            kinds[row] = CONTROL if flag(added[row], "special", path) or looks_special else USER_DEFINED
    return tokens, kinds


def _special(folder: Path, rows: int) -> Any:
    try:
        from gguf import SpecialVocab
    except ImportError as error:
        raise MissingExtra("A language model's folder", "gguf", "pip install 'bigenough[llm]'") from error
    try:
        return SpecialVocab(folder, load_merges=True, n_vocab=rows)
    except Exception as error:  # it takes the files as they come
        raise UnsupportedModel(
            f"The tokenizer files in {folder} do not fit together ({error}). Save or download them again."
        ) from error


def _template(folder: Path, found: Any) -> str | None:
    """The chat template; of several the one that is called default."""
    if isinstance(found, str) or found is None:
        return found
    path = folder / "tokenizer_config.json"
    several = listing({"chat_template": found}, "chat_template", path)
    named = {text(each, "name", path): text(each, "template", path) for each in several}
    return named.get("default")
