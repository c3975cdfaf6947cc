# SPDX-License-Identifier: Apache-2.0
"""What an encoder that teaches knows of words that no training text holds.

Its vocabulary has some twenty thousand whole words, and tuning has changed what it makes of all of them. A student
that begins with nothing can be told of each word alone, as if it were a text; one that stands on token vectors can
begin with those of the teacher in place of the plain encoder's. Which of the two is done is the student's matter.
"""

from __future__ import annotations

from collections.abc import Callable

from tokenizers import Tokenizer

from bigenough.errors import UnsupportedModel
from bigenough.models.encoder import Encoder
from bigenough.models.token_table import TokenTable, distilled, token_weights
from bigenough.models.tokenizer_file import n_ids
from bigenough.rungs.predictors.encoder import EncoderPredictor
from bigenough.rungs.protocol import Predictor
from bigenough.shrink.encoders import arrays_of

__all__ = ["TOKEN", "teacher_table", "tokenizer_of", "vocabulary_words"]

TOKEN = 12
"""Characters of running text that an encoder reads in the time that one token takes, with the special ones beside it:
three tokens of about four characters."""


def tokenizer_of(teacher: Predictor) -> Tokenizer | None:
    """That of an encoder; None of another teacher."""
    return teacher.encoder.tokenizer if isinstance(teacher, EncoderPredictor) else None


def vocabulary_words(tokenizer: Tokenizer) -> list[str]:
    """The tokens that are whole words: letters alone, written as one token wherever they stand. In the order of ids."""
    weights = token_weights(tokenizer)
    written = {i: tokenizer.decode([i], skip_special_tokens=False).strip() for i in range(len(weights)) if weights[i]}
    words = {word: i for i, word in written.items() if word.isalpha()}
    cut = tokenizer.encode_batch(list(words), add_special_tokens=False)
    return [word for (word, i), own in zip(words.items(), cut, strict=True) if own.ids == [i]]


def teacher_table(teacher: Predictor, threads: int, say: Callable[[float], None]) -> TokenTable | None:
    """The token vectors distilled from an encoder; None of another teacher, or a graph that keeps its arrays.

    Args:
        teacher: whose they are.
        threads: onnxruntime's.
        say: hears the share that is done.
    """
    if not isinstance(teacher, EncoderPredictor):
        return None
    try:
        words = arrays_of(teacher).model.words
    except UnsupportedModel:
        return None
    tokenizer = teacher.encoder.tokenizer
    if n_ids(tokenizer) > len(words):
        return None
    # Started afresh: the teacher's own may be one that remembers texts, and token ids are what is asked about here.
    encoder = Encoder(teacher.model, tokenizer, max_length=teacher.encoder.max_length, threads=threads)
    return TokenTable(distilled(encoder, words, say), tokenizer)
