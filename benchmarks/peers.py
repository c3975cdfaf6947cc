# SPDX-License-Identifier: Apache-2.0
"""The same recipes written directly in scikit-learn and onnxruntime, with no bigenough around them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sets import Split


class Outcome(NamedTuple):
    """What a peer said of the official test rows, what it reached, and what it took."""

    predicted: list[str]
    accuracy: float
    macro_f1: float
    seconds: float


def _outcome(gold: list[str], predicted: np.ndarray, began: float) -> Outcome:
    from sklearn.metrics import accuracy_score, f1_score

    labels = sorted(set(gold))
    f1 = f1_score(gold, predicted, labels=labels, average="macro", zero_division=0)
    seconds = time.perf_counter() - began
    return Outcome([str(label) for label in predicted], float(accuracy_score(gold, predicted)), float(f1), seconds)


def linear_pipeline(head=None):
    """Word 1-2-grams and characters 2-5, sublinear tf-idf, and a linear SVM at its default C or another head."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    return make_pipeline(make_union(words, characters), head or LinearSVC())


def linear(split: Split) -> Outcome:
    """The linear rung's peer, trained on all of train."""
    began = time.perf_counter()
    model = linear_pipeline().fit(split.train["text"].to_list(), split.train["label"].to_list())
    return _outcome(split.test["label"].to_list(), model.predict(split.test["text"].to_list()), began)


def embed(session, tokenizer, texts: list[str]) -> np.ndarray:
    """Sentence vectors by a bare onnxruntime session, in batches of 32 sorted by length."""
    encoded = [tokenizer.encode(text) for text in texts]
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i].ids))
    vectors: list[np.ndarray | None] = [None] * len(texts)
    for start in range(0, len(order), 32):
        part = order[start : start + 32]
        width = max(len(encoded[i].ids) for i in part)
        ids = np.zeros((len(part), width), dtype=np.int32)
        mask = np.zeros((len(part), width), dtype=np.int32)
        for row, i in enumerate(part):
            ids[row, : len(encoded[i].ids)] = encoded[i].ids
            mask[row, : len(encoded[i].ids)] = 1
        (out,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
        for row, i in enumerate(part):
            vectors[i] = out[row]
    return np.stack(vectors)


def frozen(split: Split, graph: Path, tokenizer_file: Path, *, threads: int) -> Outcome:
    """The frozen rung's peer: the same graph and tokenizer, logistic regression at its default C."""
    import onnxruntime
    from sklearn.linear_model import LogisticRegression
    from tokenizers import Tokenizer

    began = time.perf_counter()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    head = LogisticRegression(max_iter=2000)
    head.fit(embed(session, tokenizer, split.train["text"].to_list()), split.train["label"].to_list())
    predicted = head.predict(embed(session, tokenizer, split.test["text"].to_list()))
    return _outcome(split.test["label"].to_list(), predicted, began)
