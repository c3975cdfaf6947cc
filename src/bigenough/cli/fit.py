# SPDX-License-Identifier: Apache-2.0
"""``bigenough fit TABLE``: race the ladder, print the verdict, leave a study's folder behind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bigenough.cli import flags
from bigenough.errors import BadOption

__all__ = ["fit_command"]

LIMITS = "Limits"


def fit_command(
    table: Annotated[
        Path, typer.Argument(help="CSV, TSV, JSONL, Parquet or a Hugging Face datasets folder.", show_default=False)
    ],
    label: Annotated[
        str | None, typer.Option(help="Column with the gold labels; guessed.", rich_help_panel=flags.COLUMNS)
    ] = None,
    text: flags.Text = None,
    group: Annotated[
        str | None, typer.Option(help="Column whose rows stay together in one split.", rich_help_panel=flags.COLUMNS)
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Column to sort by: later rows certify.", rich_help_panel=flags.COLUMNS)
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="An official test set; becomes certify.", rich_help_panel=flags.COLUMNS)
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(help="Texts without labels, for students and to name the next.", rich_help_panel=flags.COLUMNS),
    ] = None,
    descriptions: flags.Descriptions = None,
    metric: flags.Metric = "accuracy",
    margin: flags.Margin = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="The reference: best (on select) or a rung's name \\[generalist if there is one, else best].",
            rich_help_panel=flags.VERDICT,
        ),
    ] = None,
    bar: flags.Bar = None,
    alpha: Annotated[
        float, typer.Option(help="Promised chance of a false proof.", rich_help_panel=flags.VERDICT)
    ] = 0.05,
    search: Annotated[
        str,
        typer.Option(help="down: race all, test downwards. up: climb, stop at a proof.", rich_help_panel=flags.VERDICT),
    ] = "down",
    order_by: Annotated[
        str, typer.Option(help="What smaller means: size or latency.", rich_help_panel=flags.VERDICT)
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
            rich_help_panel=flags.GENERALIST,
        ),
    ] = None,
    generalist_model: flags.GeneralistModel[str | None] = None,
    generalist_usd: flags.GeneralistUsd = None,
    generalist_tokens: flags.GeneralistTokens = None,
    price_in: flags.PriceIn = None,
    price_out: flags.PriceOut = None,
    key_variable: flags.KeyVariable = None,
    reply_tokens: flags.ReplyTokens = None,
    stop_early: Annotated[
        bool,
        typer.Option(
            "--stop-early",
            help="Ask it about certify rows in batches, until the test decides; accuracy, independent rows.",
            rich_help_panel=flags.GENERALIST,
        ),
    ] = False,
    rungs: flags.Rungs = None,
    shrink: flags.Shrink = "fast",
    teacher: Annotated[
        str | None,
        typer.Option(
            help="With --shrink taught or all: who teaches the smaller rungs \\[the best here].",
            rich_help_panel=flags.WORK,
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="Encoder for the rungs that stand on one: name or folder.", rich_help_panel=flags.WORK),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(
            help="Race small language models too: a GGUF file, a model's folder, or SmolLM2-135M-Instruct.",
            rich_help_panel=flags.WORK,
        ),
    ] = None,
    trials: flags.Trials = 16,
    minutes: flags.Minutes = 5.0,
    budget: flags.Budget = None,
    seed: flags.Seed = 0,
    threads: flags.Threads = None,
    offline: flags.Offline = False,
    country: Annotated[
        str | None, typer.Option(help="ISO code, as in DEU, whose grid makes energy CO2e.", rich_help_panel=flags.WORK)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The study's folder; by default studies/NAME-HASH.", rich_help_panel=flags.WORK)
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the task.", rich_help_panel=flags.WORK)] = None,
    as_json: flags.AsJson = False,
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
        "budget_minutes": flags.budget_minutes(budget),
        "metric": metric, "margin": margin, "against": against, "bar": bar, "alpha": alpha, "search": search,
        "order_by": order_by, "trials": trials, "minutes": minutes, "seed": seed, "threads": threads,
        "rungs": flags.rung_names(rungs),
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
