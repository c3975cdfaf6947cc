# SPDX-License-Identifier: Apache-2.0
"""A model folder's tokenizer, and whether it can be that of the weights beside it.

One of another model that gives no higher ids cannot be told from the right one, and is not refused.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from bigenough.errors import UnsupportedModel
from bigenough.models.bert import BertModel

__all__ = ["check_tokenizer", "n_ids", "tokenizer_beside"]


def tokenizer_beside(body: BertModel, folder: Path) -> Tokenizer:
    """The ``tokenizer.json`` of a folder. Raises ``UnsupportedModel``: unreadable, or not that of the weights."""
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exceptions
        raise UnsupportedModel(f"{path} is not a tokenizer that can be read: {error}") from error
    check_tokenizer(tokenizer, body, str(folder))
    return tokenizer


def check_tokenizer(tokenizer: Tokenizer, body: BertModel, where: str) -> None:
    """Raise ``UnsupportedModel`` when the tokenizer knows tokens that the encoder has no vector for."""
    if n_ids(tokenizer) > len(body.words):
        raise UnsupportedModel(
            f"The tokenizer of {where} gives token ids up to {n_ids(tokenizer) - 1:,}; its weights have vectors for "
            f"{len(body.words):,} tokens. The two come from different models: take both from one folder."
        )


def n_ids(tokenizer: Tokenizer) -> int:
    """One more than its highest id: its size, unless some ids stand for nothing."""
    return 1 + max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
