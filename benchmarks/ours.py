# SPDX-License-Identifier: Apache-2.0
"""bigenough's side of the long tables, one piece of work a process: ``python ours.py WORK JOB ANSWER``.

``study`` runs a whole study, ``rung`` fits one rung on given rows at its first settings, ``speed`` times saved models
in turn. ``asked`` fits one rung and asks it row by row, ``endpoint`` does so with a model behind a server, and
``tuned_mini`` with one that is tuned first. JOB and ANSWER are JSON files.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from speed import interleaved, peak_mb

if TYPE_CHECKING:
    from bigenough.rungs.protocol import Predictor, Workbench
    from bigenough.task import Examples

CACHE = Path("~/.cache/bigenough").expanduser()


def study(job: dict[str, Any]) -> dict[str, Any]:
    """``bigenough.fit`` as a user calls it; the figures are read from the study's folder afterwards."""
    import bigenough

    found = bigenough.fit(job["train"], "label", text="text", test=job["test"], out=job["out"], **job["options"])
    return {"sentence": found.verdict.sentence, "answer": found.verdict.answer}


def rung(job: dict[str, Any]) -> dict[str, Any]:
    """One rung, by "module:Class", fitted on the given rows and asked about the test texts."""
    model, seconds, settings = _fitted(job, {})
    predicted = [job["classes"][code] for code in model.predict_proba(job["test"]).argmax(axis=1)]
    return {"predicted": predicted, "train_seconds": seconds, "settings": settings}


def asked(job: dict[str, Any]) -> dict[str, Any]:
    """The same at its first settings with ``changes``, as loaded from its saved files, and each text by itself."""
    model, seconds, settings = _fitted(job, job["changes"])
    return {**_saved_and_asked(model, job), "train_seconds": seconds, "settings": settings}


def asked_alike(job: dict[str, Any]) -> dict[str, Any]:
    """Ways that differ only in what is made of the scores, by name: each text is read once for all of them.

    The time of a row is that of its reading; a head takes microseconds.
    """
    fitted = {name: _fitted(job, changes) for name, changes in job["ways"].items()}
    heads = {name: model.head for name, (model, _, _) in fitted.items()}
    model = next(iter(fitted.values()))[0]
    codes: dict[str, list[int]] = {name: [] for name in heads}

    def read(loaded: Any, text: str) -> None:
        scores = loaded.scores([text])
        for name, head in heads.items():
            codes[name].append(int(head.probabilities(scores).argmax()))

    said = _saved_and_read(model, job, read)
    return {
        "ways": {
            name: {
                **said, "predicted": [job["classes"][code] for code in codes[name]],
                "train_seconds": seconds, "settings": settings,
            }
            for name, (_, seconds, settings) in fitted.items()
        }
    }  # fmt: skip


def endpoint(job: dict[str, Any]) -> dict[str, Any]:
    """A model behind a server of this machine, one request at a time; the server's processor time counts too.

    Replies are kept in ``store``, so processor time is that of the ``timed_rows`` that were not in it yet.
    """
    import psutil

    from bigenough.chat.terms import Terms
    from bigenough.rungs.generalist import GeneralistRung

    terms = Terms(Path(job["store"]), concurrency=1, timeout_s=600.0)
    made = GeneralistRung(job["url"], job["model"], terms=terms, described=False)
    examples, bench = _prepared(job)
    settings = {**made.first_settings(examples, len(job["classes"])), **job["changes"]}
    model, texts = made.fit(examples, len(job["classes"]), settings, bench), job["test"]
    server = psutil.Process(job["server"])
    cpu, began, since = _cpu_s(server), time.perf_counter(), time.time()
    answers = model.answers(texts)
    used = {"cpu_s": _cpu_s(server) - cpu, "asked_s": time.perf_counter() - began}
    new = {text for text, answer in zip(texts, answers, strict=True) if answer.reply.at >= since}
    tally = model.tally(texts)
    return {
        "predicted": [job["classes"][code] for code in model.predict_proba(texts).argmax(axis=1)],
        "ms": 1000 * statistics.median(answer.reply.latency_s for answer in answers),
        **used,
        "timed_rows": len(new),
        "unnamed": sum(tally["failures"].values()),
        "tally": tally,
        "structured": model.structured,
        "settings": settings,
    }


def tuned_mini(job: dict[str, Any]) -> dict[str, Any]:
    """The tuned language model, trained within ``minutes`` with sight of the select rows, and asked row by row."""
    from bigenough.rungs.tuned_mini import TunedMiniRung

    examples, bench = _prepared(job)
    bench.fit_minutes, bench.scratch = job["minutes"], Path(job["scratch"])
    bench.scratch.mkdir(parents=True, exist_ok=True)
    watch = _examples(job["select"]["texts"], job["select"]["labels"], job["classes"])
    made, k = TunedMiniRung(), len(job["classes"])
    began = time.perf_counter()
    seen = made.fit_watching(examples, k, made.first_settings(examples, k), bench, watch)
    seconds = time.perf_counter() - began
    said = _saved_and_asked(seen.predictor, job)
    return {**said, "train_seconds": seconds, "settings": dict(seen.settings), "record": dict(seen.record)}


def speed(job: dict[str, Any]) -> dict[str, Any]:
    """Saved models by name, timed in turn on the same texts."""
    from bigenough.rungs.predictors import load_predictor

    models = {name: load_predictor(Path(path), threads=job["threads"]) for name, path in job["models"].items()}
    return interleaved({name: model.predict_proba for name, model in models.items()}, job["texts"])


def _fitted(job: dict[str, Any], changes: dict[str, Any]) -> tuple[Predictor, float, dict[str, Any]]:
    """The rung's model, the seconds of its fit, and the settings."""
    module, _, name = job["rung"].partition(":")
    made = getattr(importlib.import_module(module), name)()
    for library in getattr(made, "requires", ()):  # nobody's imports count
        imported = importlib.import_module(library)
        if library == "transformers":
            _ = imported.BertModel  # until a model is named, transformers is an empty shell
    examples, bench = _prepared(job)
    began = time.perf_counter()
    settings = {**made.first_settings(examples, len(job["classes"])), **changes}
    model = made.fit(examples, len(job["classes"]), settings, bench)
    return model, time.perf_counter() - began, settings


def _prepared(job: dict[str, Any]) -> tuple[Examples, Workbench]:
    from bigenough.rungs.protocol import Workbench

    classes = tuple(job["classes"])
    bench = Workbench(seed=job["seed"], threads=job["threads"], cache=CACHE, offline=True, class_names=classes)
    return _examples(job["texts"], job["labels"], job["classes"]), bench


def _examples(texts: list[str], labels: list[str], classes: list[str]) -> Examples:
    import numpy as np

    from bigenough.task import Examples

    codes = np.array([classes.index(label) for label in labels], dtype=np.int64)
    return Examples(texts, codes, np.arange(len(codes)))


def _saved_and_asked(model: Predictor, job: dict[str, Any]) -> dict[str, Any]:
    """What the model says of each text by itself, loaded from its files: the fitted one remembers texts it has read."""
    codes: list[int] = []
    said = _saved_and_read(model, job, lambda loaded, text: codes.append(int(loaded.predict_proba([text]).argmax())))
    return {"predicted": [job["classes"][code] for code in codes], **said}


def _saved_and_read(model: Predictor, job: dict[str, Any], read: Callable[[Any, str], None]) -> dict[str, Any]:
    """The model loaded from its files reads each test text in turn, and is timed."""
    from bigenough.rungs.predictors import load_predictor

    with TemporaryDirectory() as folder:
        model.save(Path(folder))
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        loaded, times = load_predictor(Path(folder), threads=job["threads"]), []
        loaded.predict_proba(job["texts"][:1])  # the first call fills caches
        cpu, began = _cpu_s(), time.perf_counter()
        for text in job["test"]:
            start = time.perf_counter()
            read(loaded, text)
            times.append(1000 * (time.perf_counter() - start))
        used = {"cpu_s": _cpu_s() - cpu, "asked_s": time.perf_counter() - began, "timed_rows": len(times)}
    return {"ms": statistics.median(times), **used, "unnamed": 0, "size_bytes": size}


def _cpu_s(*others: Any) -> float:
    """Processor time of this process, all its threads, and of the others, in seconds."""
    return time.process_time() + sum(sum(other.cpu_times()[:2]) for other in others)


WORK = {
    "study": study, "rung": rung, "asked": asked, "asked_alike": asked_alike, "endpoint": endpoint,
    "tuned_mini": tuned_mini, "speed": speed,
}  # fmt: skip


def main(work: str, job: str, answer: str) -> None:
    said = WORK[work](json.loads(Path(job).read_text(encoding="utf-8")))
    Path(answer).write_text(json.dumps({**said, "peak_mb": peak_mb()}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
