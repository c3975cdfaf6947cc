# SPDX-License-Identifier: Apache-2.0
"""A study on an encoder's folder with something wrong in it: the other rungs are raced, and what is odd is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from models.tiny_bert import VOCABULARY, tiny_arrays, tiny_config, write_model

import bigenough
from bigenough.storage import read_json

FAST = {"label": "chapter", "text": "term", "trials": 1, "shrink": "none"}
WORDS = "embeddings.word_embeddings.weight"


def without_heads(folder: Path) -> None:
    told = read_json(folder / "config.json")
    del told["num_attention_heads"]
    (folder / "config.json").write_text(json.dumps(told))


def with_a_tokenizer_that_panics(folder: Path) -> None:
    told = read_json(folder / "tokenizer.json")
    told["post_processor"]["special_tokens"] = {}
    (folder / "tokenizer.json").write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_heads, "model/config.json should have a whole number num_attention_heads or n_heads above zero."),
        (with_a_tokenizer_that_panics, "model/tokenizer.json is not a tokenizer that can be read"),
    ],
)
def test_a_broken_folder_costs_only_the_rungs_that_stand_on_it(
    diagnoses: pl.DataFrame, tmp_path: Path, spoil, said: str
):
    spoil(write_model(tmp_path / "model"))
    study = bigenough.fit(
        diagnoses, out=tmp_path / "study", rungs=("majority", "linear", "static", "frozen"),
        encoder=str(tmp_path / "model"), **FAST,
    )  # fmt: skip
    assert set(study.candidates) == {"majority", "linear"}
    left_out = {each.candidate: each.reason for each in study.verdict.left_out}
    assert set(left_out) == {"static", "frozen"}
    assert all(said in reason for reason in left_out.values()), left_out


def test_a_tokenizer_with_far_fewer_tokens_is_told_of_everywhere(diagnoses: pl.DataFrame, tmp_path: Path, told):
    size = len(VOCABULARY)
    arrays = tiny_arrays()
    spare = tiny_arrays(seed=1)[WORDS].repeat(3, axis=0)
    words = {WORDS: np.concatenate([arrays[WORDS], spare])}
    folder = write_model(tmp_path / "model", tiny_config(vocab_size=4 * size), {**arrays, **words})
    study = bigenough.fit(
        diagnoses, out=tmp_path / "study", rungs=("static", "frozen"), encoder=str(folder), progress=told, **FAST
    )
    note = (
        f"its weights have vectors for {4 * size} tokens and its tokenizer has {size}, so that {3 * size} vectors "
        "stand for no token"
    )
    assert sum(f"The encoder model: {note}" in said for said in told.notes) == 1, told.notes
    for candidate in study.candidates.values():
        assert read_json(candidate.folder / "candidate.json")["weights"]["note"].startswith(note)
    assert f"Said of the encoders:</p><ul><li><strong>static, frozen</strong>: {note}" in study.report.read_text()
    assert f"- Of the encoder model: {note}" in (study.path / "specialist" / "README.md").read_text()
