# SPDX-License-Identifier: Apache-2.0
"""All labels of a row beside one reading of its prompt, and beside torch: ``python benchmarks/label_scoring.py DATA``.

DATA is the folder of ``sets.py``. Cost: for each row in turn, in one process, (a) its whole prompt is read once from an
empty cache, which is what any answer at all costs, and (b) all its labels are scored, with what rows share kept as the
rung keeps it; a third figure (c) scores them with nothing kept. Agreement: the same file in transformers, de-quantised
to float32, on the same tokens. llama.cpp multiplies 4-bit weights by activations in 8 bits, so the two cannot agree to
the last digit; how far they do is what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sets

SET = "banking77"
ROWS, TIMED = 50, 50


def run(data: Path, *, threads: int, rows: int = ROWS, timed: int = TIMED, torch_rows: bool = True) -> dict[str, Any]:
    from bigenough.chat.prompt import Prompt
    from bigenough.llama import load_model, resolve_gguf
    from bigenough.llama.labels import LabelScorer
    from bigenough.llama.talk import ROW, talk_of
    from bigenough.rungs.class_texts import readable_names
    from bigenough.storage import user_cache

    split = sets.load(data, SET)
    labels = tuple(readable_names(sorted(split.train["label"].unique())))
    texts = split.test.sample(max(rows, timed), seed=0)["text"].to_list()
    weights = resolve_gguf(cache=user_cache(os.environ))
    model = load_model(weights.path, threads=threads)
    talk = talk_of(model, Prompt(labels).messages(ROW))
    scorer = LabelScorer(talk, labels)
    figures: dict[str, Any] = {
        "set": SET, "model": weights.as_json(), "labels": len(labels), "threads": threads,
        "cost": cost(scorer, texts[:timed]),
    }  # fmt: skip
    if torch_rows:
        figures["agreement"] = agreement(scorer, texts[:rows], weights.path, threads)
    return figures


def cost(scorer: Any, texts: list[str]) -> dict[str, Any]:
    """Seconds of wall clock and of the processor, the three ways in turn for each row."""
    from bigenough.llama.labels import LabelScorer, read_once

    model = scorer.talk.model
    bare = model.context(4096)
    cold = LabelScorer(scorer.talk, scorer.labels)
    prompts = [scorer.prompt_tokens(text) for text in texts]
    ways = {
        "bare": lambda row: read_once(bare, prompts[row]),
        "kept": lambda row: scorer.log_probabilities(texts[row]),
        "cold": lambda row: _cold(cold, texts[row]),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for ask in ways.values():  # the first time of each fills caches
        ask(0)
    for row in range(len(texts)):
        # Who goes first changes from row to row, so that no way has the quieter machine.
        for name in list(ways) if row % 2 == 0 else list(ways)[::-1]:
            began = time.perf_counter(), time.process_time()
            ways[name](row)
            seconds[name].append((time.perf_counter() - began[0], time.process_time() - began[1]))
    found: dict[str, Any] = {
        "rows": len(texts),
        "prompt_tokens": _spread([len(prompt) for prompt in prompts]),
        "row_tokens": _spread([len(prompt) - len(scorer.talk.before) for prompt in prompts]),
        "tree_tokens": sum(len(group.trie.tokens) for group in scorer._groups),
        "label_tokens": sum(len(scorer.talk.answer(label)) for label in scorer.labels),
    }
    for place, clock in enumerate(("wall", "cpu")):
        by_way = {name: [each[place] for each in pairs] for name, pairs in seconds.items()}
        found[f"{clock}_ms"] = {name: _spread([1000 * each for each in times]) for name, times in by_way.items()}
        found[f"{clock}_ratio"] = {
            name: _spread([a / b for a, b in zip(by_way[name], by_way["bare"], strict=True)])
            for name in ("kept", "cold")
        }
    return found


def _cold(scorer: Any, text: str) -> Any:
    scorer._read = False
    return scorer.log_probabilities(text)


def agreement(scorer: Any, texts: list[str], path: Path, threads: int) -> dict[str, Any]:
    """Spearman's rank correlation of the labels' scores with torch's, a row, and how often the best is the same."""
    from scipy.stats import spearmanr

    reference = _Torch(path, threads)
    correlations, same, in_five, differences, gaps = [], [], [], [], []
    for text in texts:
        ours = scorer.log_probabilities(text)
        theirs = reference.scores(scorer.prompt_tokens(text), [scorer.talk.answer(each) for each in scorer.labels])
        correlations.append(float(spearmanr(ours, theirs).statistic))
        best, other = int(ours.argmax()), int(theirs.argmax())
        same.append(best == other)
        in_five.append(other in ours.argsort()[-5:])
        differences.append(float(np.abs(ours - theirs).mean()))
        gaps.append(float(theirs[other] - theirs[best]))
    return {
        "rows": len(texts), "spearman": _spread(correlations), "top1_same": sum(same), "top1_in_our_five": sum(in_five),
        "mean_difference_nats": _spread(differences), "torch_gap_between_the_two_best_nats": _spread(gaps),
    }  # fmt: skip


class _Torch:
    """The file in transformers: the prompt once, then all labels in one padded batch upon its cache."""

    def __init__(self, path: Path, threads: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        self.torch = torch
        self.model = AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, dtype=torch.float32)
        self.model.eval()

    def scores(self, prompt: np.ndarray, answers: list[np.ndarray]) -> np.ndarray:
        torch = self.torch
        longest = max(map(len, answers))
        batch = torch.zeros((len(answers), longest), dtype=torch.long)
        for row, answer in enumerate(answers):
            batch[row, : len(answer)] = torch.tensor(answer.astype(np.int64))
        with torch.no_grad():
            read = self.model(torch.tensor(prompt[None].astype(np.int64)), use_cache=True)
            cache = read.past_key_values
            cache.batch_repeat_interleave(len(answers))
            # Padding comes after a label's end, where nothing that counts can see it.
            said = self.model(batch[:, :-1], past_key_values=cache).logits
            logits = torch.cat([read.logits[:, -1:].expand(len(answers), 1, -1), said], dim=1)
            found = torch.log_softmax(logits.double(), dim=-1).gather(2, batch[:, :, None])[:, :, 0]
            mask = torch.arange(longest)[None] < torch.tensor([len(each) for each in answers])[:, None]
            return (found * mask).sum(dim=1).numpy()


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def table(figures: Mapping[str, Any]) -> str:
    """The page's part of it."""
    cost = figures["cost"]
    lines = [
        f"{figures['set']}, {figures['labels']} labels, {figures['model']['name']}, threads: {figures['threads']}, "
        f"{cost['rows']} rows: a prompt of {cost['prompt_tokens']['median']:.0f} tokens (median), of which "
        f"{cost['row_tokens']['median']:.0f} are the row's own; the labels' {cost['label_tokens']:,} tokens are "
        f"{cost['tree_tokens']:,} as a tree.",
        "",
        "| | ms a row, median [min, max] | of the processor | times the bare reading |",
        "| --- | --- | --- | --- |",
    ]
    for name, title in (
        ("bare", "*the prompt read once, no label*"),
        ("kept", "**all labels**, what rows share kept"),
        ("cold", "**all labels**, nothing kept"),
    ):
        ratio = "1" if name == "bare" else _shown(cost["wall_ratio"][name], 2)
        lines.append(f"| {title} | {_shown(cost['wall_ms'][name])} | {_shown(cost['cpu_ms'][name])} | {ratio} |")
    if said := figures.get("agreement"):
        lines += [
            "",
            f"Beside the same file in transformers (float32) on {said['rows']} rows: rank correlation of the labels "
            f"{_shown(said['spearman'], 3)} a row, the same best label on {said['top1_same']}, torch's best among our "
            f"five best on {said['top1_in_our_five']}; a label's log-probability differs by "
            f"{_shown(said['mean_difference_nats'], 2)} nats on average. llama.cpp reads the 4-bit weights with 8-bit "
            "activations, torch with 32-bit ones.",
        ]
    return "\n".join(lines)


def _shown(spread: Mapping[str, float], digits: int = 0) -> str:
    return f"{spread['median']:.{digits}f} [{spread['low']:.{digits}f}, {spread['high']:.{digits}f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=ROWS, help="compared with torch")
    parser.add_argument("--timed", type=int, default=TIMED)
    parser.add_argument("--out", type=Path, help="in place of benchmarks/results/label_scoring.json")
    given = parser.parse_args()
    from run import write_figures

    out = given.out or Path(__file__).parent / "results" / "label_scoring.json"
    figures = run(given.data, threads=given.threads, rows=given.rows, timed=given.timed, torch_rows=given.rows > 0)
    write_figures(out, figures)
    print(table(figures))
    print(json.dumps(figures["cost"]["cpu_ratio"]))


if __name__ == "__main__":
    main()
