# SPDX-License-Identifier: Apache-2.0
"""``bigenough fit TABLE``: race the ladder, print the verdict, leave a study's folder behind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bigenough.duration import duration_seconds
from bigenough.errors import BadOption

__all__ = ["fit_command"]

COLUMNS = "Columns"
VERDICT = "Verdict"
LIMITS = "Limits"
GENERALIST = "Generalist"
WORK = "Work"


def fit_command(
    table: Annotated[
        Path, typer.Argument(help="CSV, TSV, JSONL, Parquet or a Hugging Face datasets folder.", show_default=False)
    ],
    label: Annotated[
        str | None, typer.Option(help="Column with the gold labels; guessed.", rich_help_panel=COLUMNS)
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column with the texts; guessed.", rich_help_panel=COLUMNS)] = None,
    group: Annotated[
        str | None, typer.Option(help="Column whose rows stay together in one split.", rich_help_panel=COLUMNS)
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Column to sort by: later rows certify.", rich_help_panel=COLUMNS)
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="An official test set; becomes certify.", rich_help_panel=COLUMNS)
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(help="Texts without labels, for students and to name the next.", rich_help_panel=COLUMNS),
    ] = None,
    descriptions: Annotated[
        Path | None,
        typer.Option(help="Table of labels and what they mean.", rich_help_panel=COLUMNS),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="accuracy, balanced_accuracy or macro_f1.", rich_help_panel=VERDICT)
    ] = "accuracy",
    margin: Annotated[
        float | None,
        typer.Option(
            help="Points below the reference that are good enough [1.5; 0 with --bar].", rich_help_panel=VERDICT
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="The reference: best (on select) or a rung's name [generalist if there is one, else best].",
            rich_help_panel=VERDICT,
        ),
    ] = None,
    bar: Annotated[
        float | None, typer.Option(help="An absolute reference, as in 0.92.", rich_help_panel=VERDICT)
    ] = None,
    alpha: Annotated[float, typer.Option(help="Promised chance of a false proof.", rich_help_panel=VERDICT)] = 0.05,
    search: Annotated[
        str, typer.Option(help="down: race all, test downwards. up: climb, stop at a proof.", rich_help_panel=VERDICT)
    ] = "down",
    order_by: Annotated[
        str, typer.Option(help="What smaller means: size or latency.", rich_help_panel=VERDICT)
    ] = "size",
    max_latency_p95_ms: Annotated[
        float | None, typer.Option(help="Milliseconds for one row, 95th percentile.", rich_help_panel=LIMITS)
    ] = None,
    max_memory_mb: Annotated[
        float | None, typer.Option(help="Memory above a bare interpreter.", rich_help_panel=LIMITS)
    ] = None,
    max_size_mb: Annotated[float | None, typer.Option(help="Bytes on disk, in 10^6.", rich_help_panel=LIMITS)] = None,
    generalist: Annotated[
        str | None,
        typer.Option(
            help="An OpenAI-compatible endpoint to race; its key is read from OPENAI_API_KEY.",
            rich_help_panel=GENERALIST,
        ),
    ] = None,
    generalist_model: Annotated[
        str | None, typer.Option(help="The model's name there.", rich_help_panel=GENERALIST)
    ] = None,
    generalist_usd: Annotated[
        float | None, typer.Option(help="The most to spend on it, in US dollars.", rich_help_panel=GENERALIST)
    ] = None,
    generalist_tokens: Annotated[
        int | None, typer.Option(help="The most tokens, read and written.", rich_help_panel=GENERALIST)
    ] = None,
    price_in: Annotated[
        float | None, typer.Option(help="US dollars per million tokens read; looked up.", rich_help_panel=GENERALIST)
    ] = None,
    price_out: Annotated[
        float | None, typer.Option(help="The same, of tokens written.", rich_help_panel=GENERALIST)
    ] = None,
    key_variable: Annotated[
        str | None, typer.Option(help="Environment variable with the key.", rich_help_panel=GENERALIST)
    ] = None,
    reply_tokens: Annotated[
        int | None,
        typer.Option(help="Tokens of a reply beside its label; more if it thinks aloud.", rich_help_panel=GENERALIST),
    ] = None,
    stop_early: Annotated[
        bool,
        typer.Option(
            "--stop-early",
            help="Ask it about certify rows in batches, until the test decides.",
            rich_help_panel=GENERALIST,
        ),
    ] = False,
    rungs: Annotated[
        str | None, typer.Option(help="Rungs to race, as in majority,linear; by default all.", rich_help_panel=WORK)
    ] = None,
    shrink: Annotated[
        str, typer.Option(help="Make the best smaller: none, fast or all.", rich_help_panel=WORK)
    ] = "fast",
    teacher: Annotated[
        str | None,
        typer.Option(help="With --shrink all: who teaches the smaller rungs [the best here].", rich_help_panel=WORK),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Encoder for the rungs that stand on one: name or folder.", rich_help_panel=WORK)
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(
            help="Race small language models too: a GGUF file, or SmolLM2-135M-Instruct.", rich_help_panel=WORK
        ),
    ] = None,
    trials: Annotated[int, typer.Option(help="Settings tried per rung.", rich_help_panel=WORK)] = 16,
    minutes: Annotated[float, typer.Option(help="Minutes of search per rung.", rich_help_panel=WORK)] = 5.0,
    budget: Annotated[
        str | None, typer.Option(help="Time for the fits of all rungs together, as in 20m.", rich_help_panel=WORK)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.", rich_help_panel=WORK)] = 0,
    threads: Annotated[int | None, typer.Option(help="Threads; by default all cores.", rich_help_panel=WORK)] = None,
    offline: Annotated[bool, typer.Option(help="Never touch the network.", rich_help_panel=WORK)] = False,
    country: Annotated[
        str | None, typer.Option(help="ISO code, as in DEU, whose grid makes energy CO2e.", rich_help_panel=WORK)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The study's folder; by default studies/NAME-HASH.", rich_help_panel=WORK)
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the task.", rich_help_panel=WORK)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.", rich_help_panel=WORK)] = False,
) -> None:
    """Race the ladder on a table and prove which is the smallest model that is good enough."""
    asked = {
        "url": generalist, "model": generalist_model, "usd": generalist_usd, "tokens": generalist_tokens,
        "price_in": price_in, "price_out": price_out, "key_variable": key_variable, "reply_tokens": reply_tokens,
    }  # fmt: skip
    limits = {"latency_p95_ms": max_latency_p95_ms, "memory_mb": max_memory_mb, "size_mb": max_size_mb}
    options: dict[str, Any] = {
        "label": label, "text": text, "group": group, "time": time, "test": test, "unlabelled": unlabelled,
        "descriptions": descriptions, "shrink": shrink, "teacher": teacher, "encoder": encoder, "llm": llm,
        "budget_minutes": None if budget is None else duration_seconds(budget) / 60,
        "metric": metric, "margin": margin, "against": against, "bar": bar, "alpha": alpha, "search": search,
        "order_by": order_by, "trials": trials, "minutes": minutes, "seed": seed, "threads": threads,
        "rungs": None if rungs is None else tuple(each.strip() for each in rungs.split(",")),
        "generalist": _generalist({name: value for name, value in asked.items() if value is not None}, stop_early),
        "offline": offline, "country": country, "out": out, "name": name,
        "limits": {key: value for key, value in limits.items() if value is not None},
    }  # fmt: skip
    raise typer.Exit(run_and_show(table, options, as_json=as_json))


def _generalist(asked: dict[str, Any], stop_early: bool) -> dict[str, Any] | None:
    if "url" not in asked or "model" not in asked:
        if asked or stop_early:
            given = sorted(asked) + (["stop_early"] if stop_early else [])
            raise BadOption(
                "A generalist needs its address and the name of its model: --generalist URL --generalist-model NAME. "
                f"Got only {given}."
            )
        return None
    return {**asked, "stop_early": stop_early}


def run_and_show(table: Any, options: dict[str, Any], *, as_json: bool) -> int:
    """Run a study, print its outcome, and return the exit code that the verdict asks for."""
    from bigenough.cli.outcome import outcome_json, outcome_table
    from bigenough.cli.terminal import terminal_progress
    from bigenough.study import fit

    with terminal_progress() as progress:
        study = fit(table, progress=progress, **options)
    typer.echo(outcome_json(study) if as_json else outcome_table(study))
    return study.verdict.exit_code
