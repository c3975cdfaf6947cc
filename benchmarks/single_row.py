# SPDX-License-Identifier: Apache-2.0
"""One row at a time, in process: specialists beside a bare scikit-learn pipeline and a bare onnxruntime call."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import peers
import sets

ROUNDS = 7
CALLS = 200


def _ms(call: Callable[[str], object], texts: list[str]) -> float:
    times = []
    for text in texts:
        began = time.perf_counter()
        call(text)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def _bare_onnx(model: Path, threads: int) -> Callable[[str], object]:
    """The same graph and tokenizer with nothing around them: tokenise, run."""
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(model / "model.onnx"), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)

    def call(text: str) -> object:
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int32)
        return session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})

    return call


def run(data: Path, *, threads: int) -> dict[str, dict[str, float]]:
    """Median milliseconds a row on banking77, interleaved over rounds; the figure is the median round."""
    import bigenough
    from bigenough.rungs.predictors import load_predictor

    split = sets.load(data, "banking77")
    texts = split.test["text"].to_list()[:CALLS]
    with tempfile.TemporaryDirectory() as scratch:
        study = bigenough.fit(
            split.train, label="label", text="text", test=split.test, out=Path(scratch) / "study", trials=1,
            rungs=sets.CORE_RUNGS, shrink="none",
        )  # fmt: skip
        calls: dict[str, Callable[[str], object]] = {}
        for name, candidate in study.candidates.items():
            predictor = load_predictor(candidate.model, threads=threads)
            calls[name] = lambda text, predictor=predictor: predictor.predict_proba([text])
            if name == "frozen":
                calls["bare onnxruntime, same graph"] = _bare_onnx(candidate.model, threads)
        pipeline = peers.linear_pipeline().fit(split.train["text"].to_list(), split.train["label"].to_list())
        calls["bare scikit-learn pipeline"] = lambda text: pipeline.predict([text])
        rounds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                rounds[name].append(_ms(call, texts))
    print("single row: done", file=sys.stderr)
    return {
        name: {"median": statistics.median(each), "low": min(each), "high": max(each)} for name, each in rounds.items()
    }


def table(results: dict[str, dict[str, float]]) -> str:
    """The results as Markdown, with the two ratios that matter."""
    lines = ["| banking77, one row | ms, median round [min, max] |", "| --- | --- |"]
    lines += [f"| {name} | {e['median']:.3f} [{e['low']:.3f}, {e['high']:.3f}] |" for name, e in results.items()]
    frozen = results["frozen"]["median"] / results["bare onnxruntime, same graph"]["median"]
    linear = results["linear"]["median"] / results["bare scikit-learn pipeline"]["median"]
    lines += ["", f"frozen / bare onnxruntime: {frozen:.2f}; linear / bare scikit-learn pipeline: {linear:.2f}"]
    return "\n".join(lines)
