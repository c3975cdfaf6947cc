# SPDX-License-Identifier: Apache-2.0
"""The entry point: the commands, the version, and how an error reaches the user."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bigenough import __version__
from bigenough.cli import atlas, cloze, demo, fit, label, plan, power, predict, report, verify
from bigenough.errors import BigEnoughError, InputError, StudyMismatch

__all__ = ["app", "main"]

STOPPED = 130
"""The exit code of a command that was stopped by Ctrl-C."""

app = typer.Typer(
    name="bigenough",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="How big is big enough? Proves, on your own data, the smallest model that does the job as well as a big one.",
    epilog="Exit codes: 0 proved, 3 none is good enough, 4 cannot tell, 2 bad input, 1 anything else.",
)

app.command("fit")(fit.fit_command)
app.command("label")(label.label_command)
app.command("report")(report.report_command)
app.command("verify")(verify.verify_command)
app.command("predict")(predict.predict_command)
app.command("power")(power.power_command)
app.command("plan")(plan.plan_command)
app.command("cloze")(cloze.cloze_command)
app.command("demo")(demo.demo_command)
app.add_typer(atlas.atlas_app, name="atlas")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bigenough {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Hold the options that stand before any command."""


def main() -> None:
    """Run the command line; errors meant for the user are one message, never a traceback."""
    try:
        app()
    except BigEnoughError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2 if isinstance(error, InputError | StudyMismatch) else 1)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except SystemExit as end:
        if end.code == STOPPED:  # what typer makes of Ctrl-C
            typer.echo("stopped; the same command goes on from here", err=True)
        raise
