# SPDX-License-Identifier: Apache-2.0
"""``bigenough label TABLE``: from texts without labels to a verdict that people's labels certify."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bigenough.cli import flags

if TYPE_CHECKING:
    from bigenough.generalist import Generalist
    from bigenough.labelling.answers import Answers
    from bigenough.labelling.desk import Checked, Desk
    from bigenough.labelling.rounds import Round
    from bigenough.labelling.summary import State, Summary
    from bigenough.options import Options
    from bigenough.study import Study

__all__ = ["label_command"]

CHECK = "Check"
CANNOT_TELL = 4


def label_command(
    table: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL or Parquet with texts.", show_default=False)],
    labels: Annotated[str, typer.Option(help="The labels, as in refund,login,other.", show_default=False)],
    generalist: Annotated[
        str,
        typer.Option(
            help="An OpenAI-compatible endpoint that labels; its key is read from OPENAI_API_KEY.",
            rich_help_panel=flags.GENERALIST,
            show_default=False,
        ),
    ],
    generalist_model: flags.GeneralistModel[str],
    descriptions: flags.Descriptions = None,
    text: flags.Text = None,
    label: Annotated[str, typer.Option(help="What the new column is called.", rich_help_panel=flags.COLUMNS)] = "label",
    generalist_usd: flags.GeneralistUsd = None,
    generalist_tokens: flags.GeneralistTokens = None,
    price_in: flags.PriceIn = None,
    price_out: flags.PriceOut = None,
    key_variable: flags.KeyVariable = None,
    reply_tokens: flags.ReplyTokens = None,
    check: Annotated[
        int | None,
        typer.Option(help="Rows that people check [200; half of a small table].", rich_help_panel=CHECK),
    ] = None,
    show_suggestions: Annotated[
        bool,
        typer.Option(
            "--show-suggestions",
            help="Show the generalist's labels to those who check; it leads them.",
            rich_help_panel=CHECK,
        ),
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Go on with what is labelled and checked so far.", rich_help_panel=CHECK)
    ] = False,
    metric: flags.Metric = "accuracy",
    margin: flags.Margin = None,
    against: Annotated[
        str | None,
        typer.Option(help="The reference: best (on select) or a rung's name.", rich_help_panel=flags.VERDICT),
    ] = None,
    bar: flags.Bar = None,
    rungs: flags.Rungs = None,
    shrink: flags.Shrink = "fast",
    trials: flags.Trials = 16,
    minutes: flags.Minutes = 5.0,
    budget: flags.Budget = None,
    seed: flags.Seed = 0,
    threads: flags.Threads = None,
    offline: flags.Offline = False,
    out: Annotated[
        Path | None,
        typer.Option(help="The labelling's folder \\[studies/NAME-labels-HASH].", rich_help_panel=flags.WORK),
    ] = None,
    as_json: flags.AsJson = False,
) -> None:
    """Let a generalist label a table, check a random sample, and train the ladder; people's labels alone certify."""
    from bigenough.generalist import Generalist
    from bigenough.labelling.assignment import parse_labels, read_assignment

    asked = Generalist(
        generalist, generalist_model, usd=generalist_usd, tokens=generalist_tokens, price_in=price_in,
        price_out=price_out, key_variable=key_variable, reply_tokens=reply_tokens,
    )  # fmt: skip
    options = {
        "metric": metric, "margin": margin, "against": against, "bar": bar, "shrink": shrink, "trials": trials,
        "minutes": minutes, "budget_minutes": flags.budget_minutes(budget),
        "rungs": flags.rung_names(rungs),
        "seed": seed, "threads": threads, "offline": offline,
    }  # fmt: skip
    chosen = _checked_options(options)
    work = read_assignment(table, parse_labels(labels), text=text, label=label, descriptions=descriptions)
    identity = work.identity(asked, seed)
    desk = _desk(out or work.default_folder(identity), work, seed)
    with desk.folder.opened(identity, {"name": work.name, "decisions": list(work.decisions)}):
        answers, notes = _labelled(desk, asked, identity, check, now=now, offline=offline)
        if show_suggestions:
            desk.suggest(answers)
        if not as_json and sys.stdin.isatty() and sys.stdout.isatty() and desk.checked.missing:
            desk.check(_typed, typer.echo)
        summary, study = _judged(desk, answers, chosen, options, now=now, notes=notes)
    _show(summary, study, as_json=as_json)
    raise typer.Exit(CANNOT_TELL if study is None else study.verdict.exit_code)


def _checked_options(options: dict[str, Any]) -> Options:
    """The study's options, refused before anything is paid for."""
    from bigenough.options import Options
    from bigenough.rungs.registry import find_rungs

    chosen = Options(**options)
    find_rungs(chosen.rungs, encoder=chosen.encoder, report=lambda sentence: None)
    return chosen


def _desk(path: Path, work: Any, seed: int) -> Desk:
    from bigenough.labelling.desk import Desk
    from bigenough.study_folder import StudyFolder

    return Desk(StudyFolder(path), work, seed)


def _labelled(
    desk: Desk, generalist: Generalist, identity: dict[str, Any], check: int | None, *, now: bool, offline: bool
) -> tuple[Answers, tuple[str, ...]]:
    """Draw the rows to check, then let the generalist label; what it could not finish is an error unless told so."""
    from bigenough.cli.terminal import terminal_progress
    from bigenough.progress import Silence, Step
    from bigenough.storage import content_hash, user_cache

    desk.draw(check)
    account = content_hash(identity, length=8)
    terms = generalist.terms(account=account, cache=user_cache(os.environ), study=desk.folder.path, offline=offline)
    with terminal_progress() as shown:
        progress = shown or Silence()
        progress.plan([Step("labelling", 1.0)])
        progress.start("labelling")
        for sentence in desk.work.decisions:
            progress.note(sentence)
        asked = desk.ask(generalist, terms, progress, offline=offline)
    if asked.ended_by is None:
        return asked.answers, ()
    n = int(asked.answers.asked.sum())
    far = f"{n:,} of {len(desk.work):,} rows were asked; their answers are kept in {desk.folder.path / 'labels.csv'}."
    if now and asked.answers.answered.any():
        return asked.answers, (f"{asked.ended_by} {far}",)
    hint = " --now goes on with those alone." if asked.answers.answered.any() else ""
    raise type(asked.ended_by)(f"{asked.ended_by} {far}{hint}") from asked.ended_by


def _judged(
    desk: Desk, answers: Answers, chosen: Options, options: dict[str, Any], *, now: bool, notes: tuple[str, ...]
) -> tuple[Summary, Study | None]:
    """The verdict, if enough rows are checked; else what is missing."""
    from bigenough.labelling.summary import Summary, after_verdict

    checked = desk.checked
    quality = desk.quality(answers, checked) if _both(desk, answers, checked) else None
    path, work = desk.folder.path, desk.work
    state, step = _waiting(desk, checked, chosen, now=now)
    if state != "verdict":
        return Summary(path, state, work, answers, checked, quality, step, notes), None
    current = desk.begin_round(answers, checked) if _due(desk, checked, now=now) else desk.rounds[-1]
    study = _fit(desk, current, options)
    step = after_verdict(study.verdict, checked, len(work))
    return Summary(path, "verdict", work, answers, desk.checked, quality, step, notes, current), study


def _due(desk: Desk, checked: Checked, *, now: bool) -> bool:
    """Whether a new round is to begin: none is under way, and all that was drawn is checked."""
    under_way = bool(desk.rounds) and not desk.rounds[-1].finished
    return not under_way and bool(checked.fresh) and (now or not checked.missing)


def _waiting(desk: Desk, checked: Checked, chosen: Options, *, now: bool) -> tuple[State, str]:
    """What a verdict waits for, and what to do about it."""
    from bigenough.labelling.proof import can_prove
    from bigenough.labelling.summary import to_check, too_few

    margin, alpha, bar = chosen.margin_fraction, chosen.alpha, chosen.bar
    if not _due(desk, checked, now=now):
        there = bool(desk.rounds) and (not desk.rounds[-1].finished or not checked.missing)
        return ("verdict", "") if there else ("to check", to_check(checked, desk.folder.path / "check.csv"))
    # how many rows other metrics need depends on the classes, so they are opened and the verdict says it
    if now or chosen.metric != "accuracy" or can_prove(len(checked.fresh), margin, alpha=alpha, bar=bar):
        return "verdict", ""
    return "too few checked", too_few(checked, len(desk.work), margin, alpha=alpha, bar=bar)


def _both(desk: Desk, answers: Answers, checked: Checked) -> bool:
    """Whether any row has a label of the generalist and one of people."""
    rows = set(desk.work.rows[answers.answered].tolist())
    return any(row in rows for row in checked.labels)


def _fit(desk: Desk, current: Round, options: dict[str, Any]) -> Study:
    """Train on the generalist's labels, certify by people's; a study that is finished is looked up."""
    from bigenough.cli.terminal import terminal_progress
    from bigenough.errors import InputError, StudyMismatch
    from bigenough.study import fit

    work = desk.work
    with terminal_progress() as progress:
        try:
            return fit(
                current.training_table, work.label, text=work.text, test=current.certify_table, out=current.study,
                name=f"{work.name}-round-{current.number}", progress=progress, descriptions=current.meanings(work),
                **options,
            )  # fmt: skip
        except InputError:  # nothing was started, so no row was opened
            current.take_back()
            raise
        except StudyMismatch as error:
            told = str(error).partition(" and is never overwritten")[0]
            if not (current.study / "plan.json").exists():
                way = f"No row was opened yet: give the options of then, or remove {current.study} and run it again"
            elif not (current.study / "verdict.json").exists():
                way = "Checked rows certify once, and its plan stands: give the options of then"
            else:
                way = (
                    "Checked rows certify once: give the options of then, or have further rows checked (--check N) for "
                    "a verdict with these"
                )
            raise StudyMismatch(f"{told}. {way}.") from error


def _show(summary: Summary, study: Study | None, *, as_json: bool) -> None:
    import json

    from bigenough.cli.outcome import outcome_json, outcome_table
    from bigenough.cli.shown import print_json

    if as_json:
        print_json({**summary.to_json(), "outcome": None if study is None else json.loads(outcome_json(study))})
        return
    for line in summary.lines():
        typer.echo(line)
    if study is not None:
        typer.echo("")
        typer.echo(outcome_table(study))
    if summary.next_step:
        typer.echo(f"next        {summary.next_step}")


def _typed(prompt: str) -> str | None:
    try:
        return input(prompt)
    except (EOFError, KeyboardInterrupt):  # what was typed is kept: both mean stop
        return None
