# SPDX-License-Identifier: Apache-2.0
"""From a row of planner_truth.csv to what the planner says, by its kind and what it gives; never by its name or id.

A name is used for one thing: to look up the model or the device that the row speaks of, as a user would.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from bigenough.atlas import compute, energy, facts, memory, money, optimal, speed, time
from bigenough.atlas.architecture import shape_of
from bigenough.atlas.fit import fit, serving_memory
from bigenough.atlas.gguf import file_bits
from bigenough.atlas.memory import cache_per_token, kv_cache, weights
from bigenough.atlas.precision import nf4_bits
from bigenough.atlas.shape import Shape
from bigenough.atlas.subject import hardware
from bigenough.quantity.range import Range, exact, hull

Row = dict[str, str]


def predict(row: Row) -> Range | float | str:
    """What the planner says of a row, in the row's unit where it is a figure."""
    figure = _BY_KIND[row["kind"]](row)
    if isinstance(figure, Range) and row["unit"] in _UNITS:
        return figure.to(_UNITS[row["unit"]])
    return figure


_UNITS = {
    "FLOP": "FLOP",
    "%": "%",
    "h": "device*h",
    "days": "day",
    "MWh": "MWh",
    "t": "tCO2e",
    "lb": "lbCO2e",
    "kWh": "kWh",
    "GB": "GB",
    "GiB": "GiB",
    "MiB": "MiB",
    "KiB": "KiB/token",
    "tokens": "token",
    "USD": "USD",
    "USD/h": "USD/h",
    "years": "year",
    "byte": "B/param",
    "tok/s": "token/s",
    "x": "x",
    "J": "J/token",
    "bit": "bit/param",
    "inferences": "request",
    "TiB": "TiB",
    "MB": "MB/token",
}


def given(row: Row) -> dict[str, str]:
    """``key=value`` parts of what a row gives; parts without a key keep their text as the key."""
    parts = [part.strip() for part in row["given"].split(";") if part.strip()]
    return {part.split("=", 1)[0].strip(): part.split("=", 1)[1].strip() if "=" in part else "" for part in parts}


def number(text: str) -> float:
    """The first number of a text, with its suffix of size."""
    found = re.search(r"[\d,]*\.?\d+(?:e[+-]?\d+)?", text)
    assert found, text
    value = float(found[0].replace(",", ""))
    suffix = text[found.end() : found.end() + 1]
    return value * {"M": 1e6, "B": 1e9}.get(suffix, 1.0)


def numbers(text: str) -> list[float]:
    """Every number of a text."""
    return [float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*\.?\d*(?:e[+-]?\d+)?", text)]


def size_of(name: str) -> float:
    """The size that a name spells, such as 70B; else the atlas's."""
    found = re.search(r"(\d+(?:\.\d+)?)(?:-\d+)?B\b", name)
    row = facts.find_model(name)
    if found:
        return float(found[1]) * 1e9
    assert row is not None, name
    assert row.total_params, name
    return row.total_params


def model_named(name: str):
    """The model of the longest leading part of a name that the atlas knows."""
    words = re.split(r"[\s,]+", name)
    found = (facts.find_model(" ".join(words[:end])) for end in range(len(words), 0, -1))
    return next((row for row in found if row is not None), None)


def shape_named(name: str) -> Shape | None:
    """The shape of that model, when the atlas has it."""
    row = model_named(name)
    return None if row is None else shape_of(row)


def _flops(row: Row) -> Range | float:
    has = given(row)
    if "FLOPs" in has:
        return compute.petaflop_days(exact(number(has["FLOPs"]), "FLOP", "given", "given"))
    if "params" in has or "active" in has:
        return compute.training_flops(number(has.get("params") or has["active"]), number(has["tokens"]))
    rate = number(has["TFLOP/s"]) * 1e12 if "TFLOP/s" in has else number(has["peak"]) * number(has["util"])
    return compute.delivered_flops(number(has["chips"]), number(has["days"]) * 86_400, rate)


def _mfu(row: Row) -> Range:
    has = given(row)
    devices = number(has.get("chips") or has.get("gpus") or row["given"])
    each = exact(6 * number(has["params"]), "FLOP/token", "6 N", "arXiv:2001.08361")
    # utilisation counts attention where the row says so, or does not say that it leaves it out and the shape is known
    shape = None if "without attention" in row["quantity"] else shape_named(row["name"])
    if shape is not None:
        each = each + compute.attention_flops(shape, 1) / exact(1, "token", "one", "one")
    return compute.mfu(each.to("FLOP/token"), number(has["tokens_per_s"]), devices, number(has["peak"]))


def _time(row: Row) -> Range | float:
    has = given(row)
    if "peak" in has:  # utilisation is not given: learned from every run but this one
        peak = number(has["peak"])
        work = compute.training_flops(number(has["params"]), number(has["tokens"]))
        model = facts.find_model(row["name"])
        return time.device_hours(work, peak, time.utilisation(peak, leave_out=model.name if model else row["name"]))
    if "FLOPs" in has:
        rate = next(number(part.replace("measured", "")) for part in has if part.startswith("measured")) * 1e12
        seconds = number(has["FLOPs"]) / (number(has["chips"]) * rate)
    else:
        rate = number(has.get("tokens_per_s_per_gpu") or has["tokens_per_s"])
        seconds = number(has["tokens"]) / (number(has["gpus"]) * rate)
    return seconds / {"h": 3600, "days": 86_400}[row["unit"]]


def _energy(row: Row) -> Range | float:
    has = given(row)
    if "W" in has:
        hours = number(has["hours"]) if "hours" in has else number(has["chips"]) * number(has["days"]) * 24
        return energy.energy(hours, number(has["W"]), number(has.get("PUE", "1")))
    if "final run" in has:
        run = exact(number(has["final run"]), "kWh", "last run", "given")
        return energy.development(run, leave_out=model_named(row["name"]).name)
    if "params" in has:  # from first principles, on the device that is named
        words = next(part for part in has if " W" in part)
        chip = facts.find_accelerator(words.split()[0])
        assert chip
        assert chip.peak_flops
        hours = time.device_hours(
            compute.training_flops(number(has["params"]), number(has["tokens"])),
            chip.peak_flops,
            time.utilisation(chip.peak_flops, leave_out=row["name"]),
        )
        return energy.energy(hours, energy.power(number(words.split(maxsplit=1)[1])))
    return _energy_of_use(row)


def _energy_of_use(row: Row) -> Range | float:
    text = row["given"]
    if "each" in text:  # a fixed cost against one request's
        spent = numbers(text)
        return money.break_even_requests(spent[0] + spent[1], spent[-1], "kWh")
    if "encoder" in text:
        shape = shape_of(facts.model("BERT-base"))
        assert shape
        chip = facts.accelerator("a100-80gb")
        thousand = exact(1000, "request", "requests", "given")
        return thousand * energy.energy_per_request(shape.layers, chip.tdp_w or 0)
    model = facts.find_model(row["name"].replace(" inference", "").replace("inference, ", ""))
    assert model
    assert model.total_params
    assert model.year
    # devices that are named, else those of the year that the model was trained on
    named = re.findall(r"[VAH]\d00", text) or [str(model.hardware)]
    each = []
    for name in named:
        chip = facts.find_accelerator(name)
        assert chip
        assert chip.bandwidth_gb_s
        assert chip.tdp_w
        bandwidth = exact(chip.bandwidth_gb_s, "GB/s", "bandwidth", chip.source)
        each.append(energy.energy_per_token(weights(model.total_params, 16), bandwidth, chip.tdp_w))
    one = hull(*each)
    pages = re.search(r"(\d+) pages", row["quantity"])
    return energy.writing_energy(float(pages[1]), one) if pages else one


def _co2e(row: Row) -> Range | float:
    has, text = given(row), row["given"]
    if "MWh" in has:
        return energy.carbon(exact(number(has["MWh"]), "MWh", "energy", "given"), number(has["kg_per_kWh"]))
    if "kg_per_kWh_incl_PUE" in has:
        return energy.carbon(energy.energy(number(has["hours"]), number(has["W"])), number(has["kg_per_kWh_incl_PUE"]))
    if "embodied" in text:
        idle = re.search(r"([\d.]+) idle", row["note"])
        model = facts.find_model(row["name"])
        assert idle
        assert model
        assert model.accelerator_hours
        dynamic = exact(numbers(text)[0], "tCO2e", "dynamic", "given")
        return energy.footprint(
            dynamic, exact(float(idle[1]), "tCO2e", "idle", "measured"), energy.embodied(model.accelerator_hours)
        )
    if "lb/kWh" in text:
        used = exact(number(has["kWh with PUE"]), "kWh", "energy", "given")
        rate = exact(number(next(part for part in has if "lb/kWh" in part)), "lbCO2e/kWh", "grid", "given")
        return energy.carbon(used, rate)
    if "per car" in text:
        emitted = energy.pounds(number(row["quantity"].split("of")[1]))
        return energy.equivalents_of(emitted, energy.pounds(number(text))).mid
    if "published" in text:
        claimed, actual = numbers(text)[:2]
        return energy.equivalents_of(
            exact(claimed, "tCO2e", "claimed", "given"), exact(actual, "tCO2e", "actual", "given")
        )
    return energy.pounds(number(text))


def _optimality(row: Row) -> Range | str:
    has = given(row)
    if row["quantity"] == "verdict":
        return optimal.verdict(number(has["params"]), number(has["tokens"]))
    if "compute" in row["quantity"] and "tokens" in has:
        work = compute.training_flops(number(has["params"]), number(has["tokens"]))
        return work
    return optimal.optimal_tokens(number(has["params"]))


def _weights(row: Row) -> Range:
    has = given(row)
    if "size" in has:
        return memory.implied_bits(number(has["params"]), number(has["size"]))
    return weights(number(has["params"]), number(has["bits"]))


def _gguf(row: Row) -> Range:
    has = given(row)
    recipe = has["quant"].split()[0]
    bits = file_bits(recipe, shape_named(row["name"].replace(recipe, "").strip()))
    return bits if row["unit"] == "bit" else exact(number(has["params"]), "param", "parameters", "given") * bits


def _kv(row: Row) -> Range | float:
    has = given(row)
    if "heads" in has:  # the saving of grouped queries: the same cache with as many key-value heads as heads
        one, many = (
            Shape(1, 64 * int(has["heads"]), int(has["heads"]), 1, 1, kv_heads=int(k))
            for k in (has["kv_heads"], has["heads"])
        )
        return (cache_per_token(many) / cache_per_token(one)).to("x")
    layers = int(has["layers"])
    if "hidden" in has:
        shape = Shape(layers, int(has["hidden"]), 1, 1, 1)
    else:
        heads, width = int(has["kv_heads"]), int(has["head_dim"])
        shape = Shape(layers, heads * width, heads, 1, 1, kv_heads=heads, head_dim=width)
    bits = 16 if "fp16" in has else 32
    if "per token" in row["quantity"]:
        return cache_per_token(shape, bits)
    tokens = number(has["tokens"]) if "tokens" in has else number(row["quantity"].split("for")[1])
    return kv_cache(shape, tokens, number(has.get("batch", "1")), bits)


def _train_memory(row: Row) -> Range | float | list[Range]:
    has, text = given(row), row["given"]
    if "block" in text:
        block, second = (int(one) for one in numbers(text)[:2])
        return nf4_bits(block, double=False) - nf4_bits(block, second)
    if "estimate" in text:
        shape = shape_named(row["name"])
        methods = [one.strip().lower() for one in row["quantity"].replace("memory", "").split("/")]
        return [memory.training_memory(size_of(row["name"]), one, shape=shape, states="unknown") for one in methods]  # type: ignore[arg-type]
    if "params" not in has:
        return memory.state_bytes("mixed")
    size = number(has["params"])
    if "LoRA" in text:
        return memory.training_memory(size, "qlora" if "nf4" in text else "lora")
    stage = int(has.get("stage", "0"))
    return memory.training_memory(size, "full", states="mixed", zero=stage, devices=int(has.get("gpus", "1")))


def _fit(row: Row) -> str:
    name, where = row["name"], row["given"]
    size = size_of(name) if not re.match(r"\d-\dB", name) else max(numbers(name.split("B")[0])) * 1e9
    bits = _precision_named(name)
    if "RAM for weights" in where:
        return "yes" if weights(size, bits).to("MB").mid <= number(where) else "no"
    on = _hardware_named(where)
    shape = shape_named(re.split(r"(?i)\s(?:fp16|bf16|int\d|\d-bit|\d+B?it)", name)[0])
    if "fine-tune" in name:
        need: tuple[Range, ...] = (memory.training_memory(size, "qlora", shape=shape, tokens=512 if shape else 0),)
    elif "weights only" in name:
        need = (weights(size, bits, shape),)
    else:
        context = re.search(r"(\d+)k context", name)
        need = serving_memory(
            size,
            bits,
            shape,
            devices=on.devices,
            context=1000 * int(context[1]) if context else 2048,
            sequences=4 if "batched" in name else 1,
        )
    return "yes" if fit(need, on.box).fits else "no"


def _precision_named(name: str) -> str:
    found = re.search(r"(?i)\b(fp16|bf16|int8|int4|q\d_\w+|(\d)-bit)\b", name)
    if found:
        return f"int{found[2]}" if found[2] else found[1]
    return "int4" if "quantised" in name else "nf4"


def _hardware_named(text: str):
    """``8x V100 32GB (...)``, ``DGX-2 (...)``, ``laptop CPU 16 GB``, ``1x 48GB GPU``."""
    plain = re.sub(r"\(.*", "", text).strip()
    if plain.lower().startswith("laptop"):
        return hardware("laptop")
    plain = re.sub(r"(\d+)x ", r"\1x", plain.removesuffix(" GPU"))
    return hardware(plain)


def _spec(row: Row) -> float | None:
    name, what = row["name"].replace(" chip", ""), row["quantity"]
    chip = facts.find_accelerator(name)
    if chip is not None:
        if "measured" in what:
            return chip.measured_w
        columns = {"memory": chip.memory_gb, "peak": chip.peak_tflops_16bit, "TDP": chip.tdp_w}
        return (
            chip.bandwidth_gb_s if "bandwidth" in what else next(value for key, value in columns.items() if key in what)
        )
    box = facts.machine(name)
    if "memory" in what:
        inside = facts.accelerator(box.accelerator)
        assert inside.memory_gb
        return box.count * inside.memory_gb
    if "power" in what:
        return (box.max_power_w or 0) / 1000
    return facts.price(name, "buy").usd


def _money(row: Row) -> Range:
    text, has = row["given"], given(row)
    if "prices" in text:  # no tokens given: what models of that time were trained on; V100 rented
        year = int(re.search(r"(\d{4}) prices", text)[1])  # type: ignore[index]
        seen = sorted(
            m.train_tokens
            for m in facts.models()
            if m.train_tokens and m.year and m.year <= year and "decoder (f" not in m.architecture
        )
        chip = facts.accelerator("v100-16gb")
        work = compute.training_flops(number(has["params"]), seen[len(seen) // 2])
        hours = time.device_hours(work, chip.peak_flops, time.utilisation(chip.peak_flops))  # type: ignore[arg-type]
        return money.project(money.rent(hours, facts.price(chip.name, "rent", on=f"{year}-12-31").usd))
    figures = numbers(re.sub(r"\bA100-40GB|\b[AHV]\d00\b", "", text))
    if "per year" in text:
        return money.hourly(figures[0])
    if "/" in text and "years" in row["quantity"]:
        return money.break_even(figures[0], figures[1])
    if "h at" in text or ("h " in text and "USD" in text and "A100 at" not in text):
        scale = 1e6 if re.search(r"[\d.]+M ", text) else 1.0
        return money.rent(figures[0] * scale, figures[-1])
    return money.capital(figures[0], figures[-1])


def _throughput(row: Row) -> Range:
    text = row["given"]
    if text.startswith("sizes"):
        small, large = numbers(text)[:2]
        return speed.speedup(exact(small, "GiB", "size", "given"), exact(large, "GiB", "size", "given"))
    size, width = (given(row)[one].split() for one in ("size", "bandwidth"))
    return speed.bandwidth_bound(
        exact(float(size[0]), size[1], "size", "given"), exact(float(width[0]), width[1], "bandwidth", "given")
    )


_BY_KIND: dict[str, Callable] = {
    "flops": _flops,
    "mfu": _mfu,
    "time": _time,
    "energy": _energy,
    "co2e": _co2e,
    "optimality": _optimality,
    "weights": _weights,
    "gguf": _gguf,
    "kv": _kv,
    "train_memory": _train_memory,
    "fit": _fit,
    "spec": _spec,
    "money": _money,
    "throughput": _throughput,
}
