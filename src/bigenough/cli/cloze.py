# SPDX-License-Identifier: Apache-2.0
"""``bigenough cloze MODEL [FILE]``: how often a language model guesses the last word of a passage."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bigenough.cli.shown import AsJson, print_json

if TYPE_CHECKING:
    from bigenough.llama.cloze import Guess
    from bigenough.quantity import Quantity

__all__ = ["cloze_command"]

SHIPPED = "passages.csv"
"""Famous public-domain passages, each with its source, beside the code that reads them."""
CAVEAT = (
    "These passages are famous, so models have them by heart: this shows that a model runs and has read books. "
    "Give a FILE of passages that it cannot know, such as LAMBADA's or your own, to measure anything."
)


def cloze_command(
    model: Annotated[
        str,
        typer.Argument(help="A GGUF file, a model's folder, or a model that a package ships.", show_default=False),
    ],
    file: Annotated[
        Path | None,
        typer.Argument(
            help="JSONL, CSV, TSV or Parquet with a column of passages, or plain text with one a line; "
            "by default a few famous ones.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(help="The column with the passages.", show_default=False)] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Read only the first so many.", show_default=False)] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads to use.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Say how often a model guesses the last word of a passage from all that comes before it."""
    from bigenough.llama import load_model, resolve_gguf
    from bigenough.llama.cloze import cloze
    from bigenough.storage import user_cache

    source = Path(str(resources.files("bigenough.llama").joinpath(SHIPPED))) if file is None else file
    passages = _passages(source, "passage" if file is None else text)[:rows]
    weights = resolve_gguf(model, cache=user_cache(os.environ))
    guesses = list(cloze(load_model(weights.path, threads=threads), passages))
    figures = _figures(guesses)
    if as_json:
        print_json(
            {
                "model": weights.as_json(),
                "passages": len(guesses),
                "note": CAVEAT if file is None else None,
                **{name: figure.to_json() for name, figure in figures.items()},
                "guesses": [vars(guess) for guess in guesses],
            }
        )
        return
    typer.echo(f"{weights.name}, {len(guesses):,} passages of {source.name}")
    for name, figure in figures.items():
        typer.echo(f"{name.replace('_', ' '):<24} {figure}")
    if file is None:
        typer.echo(CAVEAT)


def _figures(guesses: Sequence[Guess]) -> dict[str, Quantity]:
    """Accuracy with its Wilson interval, and the perplexity of the last word: e to the mean of −ln P(word)."""
    from scipy.stats import binomtest

    from bigenough.quantity import measured

    n, hits = len(guesses), sum(guess.right for guess in guesses)
    interval = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    accuracy = measured(
        100 * hits / n, "%", f"greedy guesses of {n} last words, all of a word's tokens right; 95 % Wilson interval",
        low=100 * interval.low, high=100 * interval.high,
    )  # fmt: skip
    losses = [-guess.log_probability for guess in guesses]
    mean = sum(losses) / n
    error = math.sqrt(sum((loss - mean) ** 2 for loss in losses) / max(1, n - 1) / n)
    perplexity = measured(
        math.exp(mean), "", f"exp of the mean of -ln P(last word) over {n} words; 95 % interval, normal in the log",
        low=math.exp(mean - 1.96 * error), high=math.exp(mean + 1.96 * error),
    )  # fmt: skip
    return {"accuracy": accuracy, "last_word_perplexity": perplexity}


def _passages(file: Path, column: str | None) -> list[str]:
    """The passages, one a row."""
    from bigenough.errors import UnreadableTable

    if file.suffix.lower() == ".txt":
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UnreadableTable(f"{file} cannot be read as UTF-8 text: {error}.") from error
        found = [line.strip() for line in lines if line.strip()]
    else:
        found = _column(file, column)
    if not found:
        raise UnreadableTable(f"{file} holds no passages. Expected one a line or row.")
    return found


def _column(file: Path, column: str | None) -> list[str]:
    """One column of a table; or ``context`` and ``target``, as in LAMBADA's files, put together."""
    from bigenough.task.columns import guess_text
    from bigenough.task.reading import read_table

    table = read_table(file)
    if column is None and {"context", "target"} <= set(table.frame.columns):
        pairs = table.frame.select("context", "target").drop_nulls().rows()
        return [f"{context} {target}" for context, target in pairs]
    chosen = guess_text(table, text=column)
    return [str(passage) for passage in table.frame[chosen].drop_nulls().to_list()]
