# SPDX-License-Identifier: Apache-2.0
"""The peers of the tuned rungs: what a user would write with each library, at its defaults unless named otherwise.

    python benchmarks/tuned_peers.py NAME JOB ANSWER

JOB and ANSWER are JSON files. Each peer runs in a process of its own and imports its library there, so that it may have
an environment of its own. The job gives the train rows and the test texts; the test labels never come here. Training
time counts loading the pre-trained weights, not imports.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from speed import peak_mb, speed

SETFIT_BATCH = 16  # its default
LENGTH = 128  # tokens, as in transformers' own text-classification example


@dataclass(frozen=True)
class Job:
    """Train rows, test texts, and what the run is allowed."""

    texts: list[str]
    labels: list[str]
    test: list[str]
    threads: int
    seed: int
    body: str
    timed: bool
    options: dict


class Fitted(NamedTuple):
    """A trained peer: how it answers, seconds of training, bytes of what it saves, and what to know of it."""

    predict: Callable[[Sequence[str]], list[str]]
    seconds: float
    size_bytes: int
    note: str = ""


def transformers_trainer(job: Job) -> Fitted:
    """AutoModelForSequenceClassification and Trainer: 3 epochs, batch 32, its default learning rate 5e-5."""
    return _trainer(job, learning_rate=5e-5, num_train_epochs=3)


def transformers_by_hand(job: Job) -> Fitted:
    """The same with what a practised user sets: learning rate 1e-4, 4 epochs, bfloat16 where the CPU has it."""
    return _trainer(job, learning_rate=1e-4, num_train_epochs=4, bf16=_has_bf16())


def _trainer(job: Job, **settings) -> Fitted:
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    torch.set_num_threads(job.threads)
    set_seed(job.seed)
    began = time.perf_counter()
    classes = sorted(set(job.labels))
    tokenizer = AutoTokenizer.from_pretrained(job.body)
    model = AutoModelForSequenceClassification.from_pretrained(job.body, num_labels=len(classes))
    encoded = tokenizer(job.texts, truncation=True, max_length=LENGTH)
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": classes.index(label)}
        for ids, mask, label in zip(encoded["input_ids"], encoded["attention_mask"], job.labels, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, per_device_train_batch_size=32, seed=job.seed, use_cpu=True, save_strategy="no",
            report_to=[], disable_tqdm=True, logging_strategy="no", **settings,
        )  # fmt: skip
        collate = DataCollatorWithPadding(tokenizer)
        Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate).train()
        seconds = time.perf_counter() - began
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        size = _folder_bytes(Path(folder))
    model.eval()

    def predict(texts: Sequence[str]) -> list[str]:
        codes: list[int] = []
        with torch.inference_mode():
            for start in range(0, len(texts), 32):
                part = list(texts[start : start + 32])
                batch = tokenizer(part, truncation=True, max_length=LENGTH, padding=True, return_tensors="pt")
                codes += model(**batch).logits.argmax(dim=1).tolist()
        return [classes[code] for code in codes]

    return Fitted(predict, seconds, size, ", ".join(f"{name} {value}" for name, value in settings.items()))


def setfit(job: Job) -> Fitted:
    """SetFitModel and its Trainer; ``num_iterations`` and ``max_steps`` only where the job asks for them."""
    import torch
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    torch.set_num_threads(job.threads)
    began = time.perf_counter()
    model = SetFitModel.from_pretrained(job.body, labels=sorted(set(job.labels)), device="cpu")
    rows = Dataset.from_dict({"text": job.texts, "label": job.labels})
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, seed=job.seed, save_strategy="no", report_to="none", show_progress_bar=False,
            **job.options,
        )  # fmt: skip
        Trainer(model=model, args=arguments, train_dataset=rows).train()
        seconds = time.perf_counter() - began
        saved = Path(folder) / "saved"
        model.save_pretrained(saved)
        size = _folder_bytes(saved)

    def predict(texts: Sequence[str]) -> list[str]:
        return [str(label) for label in model.predict(list(texts), show_progress_bar=False)]

    own = setfit_steps(job.labels)
    capped = ", ".join(f"{name} {value}" for name, value in job.options.items())
    return Fitted(predict, seconds, size, f"{capped}; its defaults: {own:,} steps" if capped else f"{own:,} steps")


def setfit_steps(labels: Sequence[str]) -> int:
    """Steps of setfit's default sampling: the rarer of positive and negative pairs repeated up to the other's number.

    A row paired with itself counts, as in ``setfit.sampler.shuffle_combinations``.

    >>> setfit_steps(["a", "a", "b", "b"])
    1
    """
    sizes = Counter(labels).values()
    positive = sum(n * (n + 1) // 2 for n in sizes)
    negative = len(labels) * (len(labels) + 1) // 2 - positive
    return -(-2 * max(positive, negative) // SETFIT_BATCH)


def model2vec(job: Job) -> Fitted:
    """Distil a static model from the body, then StaticModelForClassification, both at their defaults."""
    import torch
    from model2vec.distill import distill
    from model2vec.train import StaticModelForClassification

    torch.set_num_threads(job.threads)
    began = time.perf_counter()
    static = distill(job.body, device="cpu")
    distilled = time.perf_counter() - began
    model = StaticModelForClassification.from_static_model(model=static)
    model.fit(job.texts, job.labels, device="cpu", random_seed=job.seed)
    seconds = time.perf_counter() - began
    pipeline = model.to_pipeline()
    with tempfile.TemporaryDirectory() as folder:
        pipeline.save_pretrained(folder)
        size = _folder_bytes(Path(folder))
    note = f"served as its pipeline; {distilled:.0f} s of the training are the distillation"
    return Fitted(lambda texts: [str(label) for label in pipeline.predict(list(texts))], seconds, size, note)


def fasttext(job: Job) -> Fitted:
    """train_supervised at its defaults."""
    return _fasttext(job)


def fasttext_tutorial(job: Job) -> Fitted:
    """The settings that fastText's own tutorial arrives at: learning rate 1, 25 epochs, words and their pairs."""
    return _fasttext(job, lr=1.0, epoch=25, wordNgrams=2)


def _fasttext(job: Job, **settings) -> Fitted:
    import fasttext as library

    classes = sorted(set(job.labels))
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            f"__label__{classes.index(label)} {_one_line(text)}\n"
            for text, label in zip(job.texts, job.labels, strict=True)
        ]
        rows = Path(folder) / "train.txt"
        rows.write_text("".join(lines), encoding="utf-8")
        began = time.perf_counter()
        model = library.train_supervised(str(rows), thread=job.threads, seed=job.seed, verbose=0, **settings)
        seconds = time.perf_counter() - began
        model.save_model(str(Path(folder) / "model.bin"))
        size = (Path(folder) / "model.bin").stat().st_size

    def predict(texts: Sequence[str]) -> list[str]:
        found, _ = model.predict([_one_line(text) for text in texts])  # a list: one text alone fails with numpy 2
        return [classes[int(labels[0].removeprefix("__label__"))] if labels else classes[0] for labels in found]

    return Fitted(predict, seconds, size, ", ".join(f"{name} {value}" for name, value in settings.items()))


def sklearn_svc(job: Job) -> Fitted:
    """Tf-idf of words and characters with LinearSVC."""
    from sklearn.svm import LinearSVC

    return _sklearn(job, LinearSVC())


def sklearn_logistic(job: Job) -> Fitted:
    """Tf-idf of words and characters with LogisticRegression."""
    from sklearn.linear_model import LogisticRegression

    return _sklearn(job, LogisticRegression(max_iter=1000))


def _sklearn(job: Job, head) -> Fitted:
    import pickle

    from peers import linear_pipeline

    began = time.perf_counter()
    model = linear_pipeline(head).fit(job.texts, job.labels)
    seconds = time.perf_counter() - began
    return Fitted(lambda texts: model.predict(list(texts)).tolist(), seconds, len(pickle.dumps(model)), "size: pickled")


PEERS: dict[str, Callable[[Job], Fitted]] = {
    "transformers": transformers_trainer,
    "transformers, by hand": transformers_by_hand,
    "setfit": setfit,
    "model2vec": model2vec,
    "fastText": fasttext,
    "fastText, tutorial": fasttext_tutorial,
    "tf-idf + LinearSVC": sklearn_svc,
    "tf-idf + LogisticRegression": sklearn_logistic,
}
SAME_BODY = ("transformers", "transformers, by hand", "setfit")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _has_bf16() -> bool:
    """Whether the CPU computes in bfloat16; without, torch emulates it and is slower than in float32."""
    return any(flag in Path("/proc/cpuinfo").read_text() for flag in ("amx_bf16", "avx512_bf16"))


def main(name: str, job: str, answer: str) -> None:
    given = Job(**json.loads(Path(job).read_text(encoding="utf-8")))
    fitted = PEERS[name](given)
    said = {
        "predicted": fitted.predict(given.test),
        "train_seconds": fitted.seconds,
        "size_bytes": fitted.size_bytes,
        "note": fitted.note,
        **(speed(fitted.predict, given.test) if given.timed else {}),
        "peak_mb": peak_mb(),
    }
    Path(answer).write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main(*sys.argv[1:])
