# SPDX-License-Identifier: Apache-2.0
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigenough.atlas import compute, energy, facts, memory, money, optimal, speed, tiers, time, users
from bigenough.atlas.architecture import shape_of
from bigenough.atlas.checks import amount, gigabytes, tokens_of
from bigenough.atlas.fit import Box, devices_needed, fit, serving_memory
from bigenough.atlas.precision import precision
from bigenough.atlas.probe import Probe, gguf_size, writing_like
from bigenough.atlas.shape import Shape
from bigenough.atlas.subject import hardware, subject
from bigenough.errors import BadOption, InputError
from bigenough.quantity.range import exact

LLAMA = Shape(layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=128256, context=131072)
sizes = st.floats(1e6, 1e13)


def test_training_time_of_published_runs_is_predicted_from_the_others():
    judged = sorted(one.factor for one in time.leave_one_out())
    assert len(judged) >= 30
    assert statistics.median(judged) <= 1.5
    assert sum(one <= 2.2 for one in judged) >= 0.9 * len(judged)


def test_a_run_does_not_teach_its_own_prediction():
    runs = time.published_runs()
    chosen = runs[len(runs) // 2]
    wild = tuple(replace(run, hours=run.hours / 50) if run is chosen else run for run in runs)
    plain = time.utilisation(chosen.peak, leave_out=chosen.name)
    assert time.utilisation(chosen.peak, runs=wild, leave_out=chosen.name).mid == plain.mid
    assert time.utilisation(chosen.peak, runs=wild).mid != time.utilisation(chosen.peak).mid


def test_eighty_per_cent_of_runs_lie_in_the_range():
    runs = time.published_runs()
    held = [
        (share := time.utilisation(run.peak, leave_out=run.name)).low <= run.utilisation <= share.high for run in runs
    ]
    assert sum(held) >= 0.7 * len(held)


def test_implausible_runs_are_called_so():
    phi = time.implied_utilisation(2.78e9, 1.4e12, 32256, 312e12)
    assert time.plausibility(phi).startswith("implausibly efficient")
    assert time.plausibility(1.2).startswith("impossible")
    assert time.plausibility(0.4) == "usual"


@pytest.mark.parametrize(
    "architecture", ["embedding tables + MLP", "dense CNN + RL", "dense CNN", "dense diffusion cascade"]
)
def test_six_nd_is_refused_where_it_does_not_apply(architecture):
    with pytest.raises(BadOption, match="6 N D does not describe"):
        compute.training_flops(1e12, 1e12, architecture=architecture)


@pytest.mark.parametrize(
    "architecture", ["dense decoder", "moe decoder (MLA)", "dense encoder", "dense decoder (local/global attention)"]
)
def test_six_nd_holds_for_transformers(architecture):
    assert compute.training_flops(1e9, 1e9, architecture=architecture).to("FLOP").low == pytest.approx(6e18)


@given(sizes, st.sampled_from(["bf16", "int8", "nf4", "Q4_K_M", "IQ2_XXS"]))
def test_weights_grow_with_size_and_shrink_with_bits(params, how):
    assert memory.weights(2 * params, how).mid == pytest.approx(2 * memory.weights(params, how).mid)
    assert memory.weights(params, how).mid <= memory.weights(params, "fp32").mid


@given(st.integers(1, 200_000), st.integers(1, 64))
def test_a_window_never_adds_to_the_cache(tokens, sequences):
    local = replace(LLAMA, window=4096, global_every=2)
    plain, less = memory.kv_cache(LLAMA, tokens, sequences), memory.kv_cache(local, tokens, sequences)
    assert less.mid <= plain.mid * (1 + 1e-9)
    if tokens <= 4096:
        assert less.mid == pytest.approx(plain.mid)


def test_latent_cache_is_small():
    deepseek = shape_of(facts.model("DeepSeek-V3"))
    assert memory.cache_per_token(deepseek).mid == 61 * (512 + 64) * 2
    assert memory.cache_per_token(replace(deepseek, latent=None)).mid > 20 * memory.cache_per_token(deepseek).mid


@given(st.integers(1, 1024), st.sampled_from([1, 2, 3]))
def test_sharding_never_costs_memory(devices, stage):
    whole = memory.training_memory(7e9, zero=0).mid
    assert memory.training_memory(7e9, zero=stage, devices=devices).mid <= whole * (1 + 1e-9)


def test_methods_of_tuning_are_ordered():
    needs = [memory.training_memory(8e9, method, shape=LLAMA).mid for method in ("full", "lora", "qlora")]
    assert needs == sorted(needs, reverse=True)


@given(st.floats(1e8, 2e12), st.sampled_from([16.0, 24.0, 80.0]))
def test_the_fewest_devices_are_enough_and_one_less_is_not(params, gigabyte):
    count = devices_needed(params, "bf16", None, gigabyte)
    assert fit(serving_memory(params, "bf16", None, devices=count), Box("device", gigabyte, count)).fits
    if count > 1:
        fewer = serving_memory(params, "bf16", None, devices=count - 1)
        assert not fit(fewer, Box("device", gigabyte, count - 1)).fits


def test_no_number_of_devices_holds_a_model_when_the_runtime_fills_each():
    assert devices_needed(7e9, "bf16", None, 1.0) is None


@pytest.mark.parametrize(
    ("params", "name", "in_gap"),
    [(135e6, "specialised", False), (999e6, "specialised", False), (1e9, "mini", False), (5e9, "mini", False),
     (6e9, "mini", True),
     (7e9, "enterprise", False), (40e9, "enterprise", False), (45e9, "enterprise", True), (50e9, "mega", False)],
)  # fmt: skip
def test_tiers_by_count(params, name, in_gap):
    tier = tiers.tier_by_count(params)
    assert (tier.name, tier.in_gap) == (name, in_gap)
    assert "2023" in str(tier)


def test_tiers_by_fit_depend_on_precision():
    assert not tiers.tier_by_fit(50e9).fits
    assert tiers.tier_by_fit(50e9, how="int8").fits
    assert tiers.tier_by_fit(70e9, how="q4_k_m").fits
    with pytest.raises(BadOption, match="rise"):
        tiers.Borders(mini=8e9)


def device(gigabytes=1000.0, teraflops=100.0):
    return speed.Device("d", exact(gigabytes, "GB/s", "bandwidth", "x"), exact(teraflops, "TFLOP/s", "peak", "x"))


@given(st.integers(1, 512))
def test_more_sequences_slow_each_and_speed_all(sequences):
    size, work = exact(16, "GB", "weights", "x"), compute.inference_flops(8e9)
    one = speed.decode(device(), size, work)
    many = speed.decode(device(), size, work, sequences=sequences)
    assert many.each.mid <= one.each.mid * (1 + 1e-9)
    assert many.together.mid >= one.together.mid * (1 - 1e-9)
    assert one.each.high <= speed.bandwidth_bound(size, device().bandwidth).mid


@pytest.mark.parametrize(
    ("chip", "gib", "params", "layers", "published"),
    [("Apple M2 Ultra", 6.67, 6.74e9, 32, 62.05), ("Apple M4", 4.58, 8.03e9, 32, 20.87),
     ("Apple M2", 0.593, 1.1e9, 22, 71.8), ("Apple M1 Ultra", 0.621, 1.1e9, 22, 242.56)],
)  # fmt: skip
def test_published_decoding_lies_in_the_estimated_range(chip, gib, params, layers, published):
    on = hardware(chip).device()
    said = speed.decode(
        on, exact(gib, "GiB", "size", "x").to("GB"), compute.inference_flops(params), layers=layers
    ).each
    assert said.low <= published <= said.high
    assert max(said.mid / published, published / said.mid) < 2.5


def test_long_prompts_are_bound_by_arithmetic():
    size, work = exact(16, "GB", "weights", "x"), compute.inference_flops(8e9)
    short, long = (speed.prefill(device(), size, work, tokens).mid for tokens in (1, 100_000))
    assert long > 100 * short


@given(st.integers(1, 10_000), st.integers(1, 128))
def test_pools_hold_the_crowd(count, sequences):
    load = users.Load(count)
    sized = users.pool(load, exact(5, "s", "service", "x"), sequences, 2)
    assert sized.replicas.mid * sequences >= sized.in_flight.mid
    assert sized.devices.mid == 2 * sized.replicas.mid
    assert "Poisson" in sized.assumption


def test_lifetime_optimum_shrinks_a_model_that_is_served_much():
    size, tokens, saved = optimal.lifetime_optimum(70e9, 1.4e12, 1e13)
    assert size.mid < 70e9
    assert tokens.mid > 1.4e12
    assert 0 < saved.mid < 1
    assert optimal.loss(size.mid, tokens.mid).mid == pytest.approx(optimal.loss(70e9, 1.4e12).mid, rel=1e-3)


@given(st.floats(1e18, 1e27))
def test_the_budget_is_spent(flops):
    size, tokens = optimal.budget_optimum(flops)
    assert 6 * size.mid * tokens.mid == pytest.approx(flops)


def test_owning_pays_with_use():
    busy, idle = (money.owned_hour(30_000, money.Ownership(busy=share)).mid for share in (0.9, 0.1))
    assert busy < idle
    with pytest.raises(BadOption, match="share of the time"):
        money.Ownership(busy=2)


def test_api_cost_and_break_even():
    assert money.api_cost(1000, 1000, 500, 2.0, 4.0).mid == pytest.approx(4.0)
    assert money.break_even_requests(100, 0.01).mid == pytest.approx(10_000)


def test_energy_of_writing_falls_with_company():
    size, width = exact(16, "GB", "weights", "x"), exact(2039, "GB/s", "bandwidth", "x")
    alone = energy.energy_per_token(size, width, 400, batch=exact(1, "token", "side by side", "x"))
    shared = energy.energy_per_token(size, width, 400, batch=exact(32, "token", "side by side", "x"))
    assert alone.mid == pytest.approx(32 * shared.mid)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: amount("tokens", "-5b"), "more than zero"),
        (lambda: amount("tokens", "many"), "no number"),
        (lambda: amount("tokens", "1e30"), "Check the unit"),
        (lambda: tokens_of("context", "0.5"), "whole number"),
        (lambda: gigabytes("memory", "80"), "7 %"),
        (lambda: gigabytes("memory", "80 Gb"), "bits"),
        (lambda: gigabytes("memory", "80 parsecs"), "no unit of memory"),
        (lambda: gigabytes("memory", "-80GB"), "expected more"),
        (lambda: memory.weights(0), "above zero"),
        (lambda: memory.weights(float("nan")), "above zero"),
        (lambda: memory.kv_cache(LLAMA, -1), "above zero"),
        (lambda: memory.training_memory(7e9, "prayer"), "full, lora, qlora"),  # type: ignore[arg-type]
        (lambda: memory.training_memory(7e9, zero=4, devices=8), "stages"),
        (lambda: precision("int9"), "int8"),
        (lambda: precision(0), "1 to 64"),
        (lambda: energy.carbon(exact(1, "kWh", "energy", "x"), 400), "divided by 1000"),
        (lambda: energy.energy(1, 100.0, 0.5), "PUE"),
        (lambda: hardware("8xh1000"), "Did you mean"),
        (lambda: hardware("0xh100"), "0 devices"),
        (lambda: hardware("2.5xh100"), "2.5 devices"),
        (lambda: hardware("a100"), "a100-40gb"),
        (lambda: hardware("80"), "no unit"),
        (lambda: subject("lama 3.1 8b"), "Llama 3.1 8B"),
        (lambda: subject("GPT-4"), "never published"),
        (lambda: subject("5"), "350m or 7b"),
        (lambda: subject("hf:nothing"), "names no repository"),
        (lambda: users.Load(0), "above zero"),
        (lambda: Box("box", 80, 0), "whole number"),
        (lambda: time.utilisation(1e14, runs=[]), "too few"),
    ],
)  # fmt: skip
def test_bad_input_is_told_what_and_why(call, told):
    with pytest.raises(InputError, match=told):
        call()


def test_a_missing_folder_says_what_to_give():
    with pytest.raises(BadOption, match=r"config\.json"):
        subject("./no/such/folder")


def test_gb_and_gib_are_kept_apart():
    assert gigabytes("memory", "80GiB") / gigabytes("memory", "80GB") == pytest.approx(1.0737, rel=1e-4)
    assert tokens_of("context", "128Ki") - tokens_of("context", "128k") == 3072


def test_machines_and_pools():
    assert hardware("dgx-2").devices == 16
    assert hardware("64xh100-80gb").devices == 64
    assert hardware("this").is_host
    assert hardware("2x24GB").memory_gb == 24


def test_a_probe_carries_over_between_bytes_and_weights():
    known = Probe(1e8, 1e8, 50.0, 1, "an example")
    said = writing_like(known, 1e8, 2e8)
    assert said.low < 25 * 1.01 < 50 < said.high * 1.01
    limited = writing_like(known, 1e6, 1e6, exact(1, "MB/s", "bandwidth", "x"))
    assert limited.mid == pytest.approx(1.0)


def test_gguf_headers_are_counted(tmp_path):
    import struct

    def text(words):
        return struct.pack("<Q", len(words)) + words

    pairs = text(b"a") + struct.pack("<II", 4, 7) + text(b"b") + struct.pack("<I", 8) + text(b"word")
    pairs += (
        text(b"c")
        + struct.pack("<IIQ", 9, 8, 2)
        + text(b"x")
        + text(b"yz")
        + text(b"d")
        + struct.pack("<IIQ", 9, 5, 3)
        + bytes(12)
    )
    tensors = text(b"t") + struct.pack("<IQQIQ", 2, 8, 4, 0, 0) + text(b"u") + struct.pack("<IQIQ", 1, 5, 0, 128)
    file = tmp_path / "small.gguf"
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2, 4) + pairs + tensors + bytes(148))
    assert gguf_size(file) == (37.0, 148.0)
    file.write_bytes(b"nonsense")
    with pytest.raises(BadOption, match="no GGUF"):
        gguf_size(file)


def test_calibration_measures_this_machine():
    from bigenough.atlas.calibrate import calibrate

    found = calibrate(1, seconds=0.5)
    assert found.seconds > 0
    assert all(figure.provenance == "measured" for _, figure in found.bandwidths)
    assert found.bandwidth(1).mid == found.bandwidths[0][1].mid
    assert found.bandwidth(1e15).mid == found.bandwidths[-1][1].mid
    encoder = shape_of(facts.model("all-MiniLM-L6-v2"))
    assert found.encoding(encoder, 12).mid > found.encoding(encoder, 120).mid
    with pytest.raises(BadOption, match=r"0\.5 to 30"):
        calibrate(seconds=0)


def test_a_damaged_gguf_file_is_refused(tmp_path):
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF" + bytes(range(200, 230)))
    with pytest.raises(BadOption, match="damaged"):
        gguf_size(file)
