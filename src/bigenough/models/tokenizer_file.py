# SPDX-License-Identifier: Apache-2.0
"""A model folder's tokenizer, and whether it can be that of the weights beside it.

It decides what is refused (ids that no vector belongs to, a tokenizer that breaks on a text) and what is only said:
many vectors that no token belongs to. One of another model with about as many tokens cannot be told from the right one.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, normalizers

from bigenough.errors import UnsupportedModel
from bigenough.models.bert import CONFIG, BertModel, in_lower_case, vocabulary_rows
from bigenough.models.folder_json import read_object

__all__ = ["check_tokenizer", "n_ids", "read_tokenizer", "tokenizer_beside", "vocabulary_note"]

TOKENIZER = "tokenizer.json"
PROBE = "A text: 1 ☃"
"""Words, marks, a digit, and a character that few vocabularies hold."""
PADDED = 128
"""Sizes of vocabularies are filled up to a multiple of this at most, so that fewer rows than this stand for nothing."""


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a ``tokenizer.json``. Raises ``UnsupportedModel``: unreadable, or it breaks on a text."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.encode(PROBE)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # tokenizers raises bare Exceptions, and panics, which are none
        raise UnsupportedModel(
            f"{path} is not a tokenizer that can be read: {error}. Save or download it again."
        ) from error
    return tokenizer


def tokenizer_beside(body: BertModel, folder: Path) -> Tokenizer:
    """The ``tokenizer.json`` of a folder, which also puts texts into lower case where the folder says so.

    Raises ``UnsupportedModel``: unreadable, or not that of the weights.
    """
    tokenizer = read_tokenizer(folder / TOKENIZER)
    if in_lower_case(folder):
        lower, own = normalizers.Lowercase(), tokenizer.normalizer
        tokenizer.normalizer = lower if own is None else normalizers.Sequence([lower, own])
    check_tokenizer(tokenizer, body, str(folder))
    return tokenizer


def check_tokenizer(tokenizer: Tokenizer, body: BertModel, where: str) -> None:
    """Raise ``UnsupportedModel`` when it gives ids that the encoder has no vector for, or leaves no room for a text."""
    special = _around(tokenizer)
    highest = max([n_ids(tokenizer) - 1, *special])
    if highest >= len(body.words):
        raise UnsupportedModel(
            f"The tokenizer of {where} gives token ids up to {highest:,}; its weights have vectors for "
            f"{len(body.words):,} tokens. The two come from different models: take both from one folder."
        )
    longest = body.config.max_length
    if longest <= len(special):
        raise UnsupportedModel(
            f"The encoder of {where} reads {longest} tokens of a text, and its tokenizer adds {len(special)} to each: "
            "nothing of the text is left. Raise max_seq_length in sentence_bert_config.json, or name another model."
        )


def vocabulary_note(folder: Path) -> str | None:
    """A sentence, without its stop, where the weights have far more token vectors than their tokenizer has tokens.

    Raises:
        UnsupportedModel: config.json or tokenizer.json is missing or cannot be read.
    """
    rows = vocabulary_rows(read_object(folder / CONFIG), folder / CONFIG)
    tokenizer = read_tokenizer(folder / TOKENIZER)
    reached = {*tokenizer.get_vocab(with_added_tokens=True).values(), *_around(tokenizer)}
    unreached = rows - len(reached)
    if unreached < PADDED:
        return None
    return (
        f"its weights have vectors for {rows:,} tokens and its tokenizer has {len(reached):,}, so that {unreached:,} "
        "vectors stand for no token; if the tokenizer is another model's, every text is misread: compare "
        f"{TOKENIZER} with the one that was published with these weights"
    )


def n_ids(tokenizer: Tokenizer) -> int:
    """One more than its highest id: its size, unless some ids stand for nothing."""
    return 1 + max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)


def _around(tokenizer: Tokenizer) -> list[int]:
    """The ids that it puts around every text; those that fill up a length are none of them."""
    empty = tokenizer.encode("")
    return [token for token, said in zip(empty.ids, empty.attention_mask, strict=True) if said]
