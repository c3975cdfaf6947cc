# SPDX-License-Identifier: Apache-2.0
"""The public sets that the benchmarks run on, read from a folder that the user names."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import polars as pl


class Split(NamedTuple):
    """One official set: what may be learned from, and what is asked in the end."""

    name: str
    train: pl.DataFrame
    test: pl.DataFrame


OFFICIAL = ("banking77", "clinc150", "snips", "sms_spam", "sst2", "ag_news", "tweet_emotion")
LANGUAGES = ("yor", "ibo", "pcm")
NAMES = (*OFFICIAL, *(f"masakhanews-{language}" for language in LANGUAGES))

CORE_RUNGS = ("majority", "linear", "static", "frozen")
CORE = ("--rungs", ",".join(CORE_RUNGS), "--shrink", "none")
"""The ladder of the core install, as it is: what tuning and shrinking add has tables of its own."""


def load(data: Path, name: str) -> Split:
    """One set by name; clinc150 in scope (without 'oos'), masakhanews a language at a time."""
    if name.startswith("masakhanews-"):
        language = name.split("-")[1]
        folder, prefix = data / "masakhanews", f"{language}."
    else:
        folder, prefix = data / name, ""
    frames = [
        pl.read_csv(folder / f"{prefix}{part}.csv", schema_overrides={"label": pl.String, "text": pl.String})
        for part in ("train", "test")
    ]
    train, test = (frame.select("text", "label").filter(pl.col("label") != "oos") for frame in frames)
    return Split(name, train, test)
