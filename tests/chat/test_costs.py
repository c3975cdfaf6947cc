# SPDX-License-Identifier: Apache-2.0
"""Prices, footprints and figures of endpoints: sourced, ranged, or unknown."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigenough.chat.footprint import footprint_per_1000, parameters
from bigenough.chat.observed import observed_performance
from bigenough.chat.replies import OVERFLOW, Reply
from bigenough.chat.tariff import Tariff, own_prices, tariff

OPENAI, LOCAL = "https://api.openai.com/v1", "http://127.0.0.1:8080/v1"
AT = datetime(2026, 6, 1, tzinfo=UTC)


def test_a_published_price_names_its_table_and_date() -> None:
    pytest.importorskip("genai_prices")
    found = tariff(OPENAI, "gpt-4o-mini", at=AT)
    assert (found.price_in.value, found.price_out.value) == (pytest.approx(0.15), pytest.approx(0.60))
    assert found.price_in.provenance == "published"
    assert "genai-prices" in found.price_in.source
    assert "2026-06-01" in found.price_in.source


@pytest.mark.parametrize(("url", "model"), [(LOCAL, "gpt-4o-mini"), (OPENAI, "no-such-model")])
def test_a_price_that_nobody_has_is_unknown(url: str, model: str) -> None:
    pytest.importorskip("genai_prices")
    found = tariff(url, model, at=AT)
    assert not found.known
    assert found.usd(1000, 1000) is None
    assert found.per_1000(10.0, 2.0, 5).provenance == "unknown"
    assert "--price-in" in found.price_in.source


def test_the_users_own_price_goes_first() -> None:
    found = tariff(OPENAI, "gpt-4o-mini", at=AT, price_in=1.0, price_out=2.0)
    assert found.usd(1_000_000, 1_000_000) == 3.0
    assert found.per_1000(100.0, 10.0, 5).value == pytest.approx(0.12)


def test_a_footprint_is_a_modelled_range() -> None:
    pytest.importorskip("ecologits")
    found = footprint_per_1000(OPENAI, "gpt-4o-mini", tokens_out=5, latency_s=0.5)
    for figure in found:
        assert figure.provenance == "modelled"
        assert figure.low < figure.value < figure.high
        assert "EcoLogits" in figure.source
    one, ten = (footprint_per_1000(OPENAI, "gpt-4o-mini", tokens_out=n, latency_s=9.0).wh.value for n in (1, 10))
    assert one < ten
    assert parameters(OPENAI, "gpt-4o-mini").low < parameters(OPENAI, "gpt-4o-mini").high


def test_a_footprint_that_nobody_models_is_unknown_and_silent(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("ecologits")
    caplog.set_level(logging.DEBUG)
    for url, model in ((LOCAL, "gpt-4o-mini"), (OPENAI, "no-such-model"), ("https://openai.com.evil.org/v1", "gpt-4o")):
        assert footprint_per_1000(url, model, tokens_out=5, latency_s=0.5).co2e_g.provenance == "unknown"
        assert parameters(url, model).provenance == "unknown"
    assert footprint_per_1000(OPENAI, "gpt-4o-mini", tokens_out=None, latency_s=0.5).wh.provenance == "unknown"
    assert not caplog.records


REPLY = st.builds(
    Reply, content=st.just("x"), finish=st.sampled_from(["stop", "length", OVERFLOW]), latency_s=st.floats(0.001, 60),
    tokens_in=st.none() | st.integers(0, 5000), tokens_out=st.none() | st.integers(0, 50), at=st.floats(1e6, 2e6),
)  # fmt: skip


@given(st.lists(REPLY, max_size=40))
def test_figures_of_any_replies_are_quantities(replies: list[Reply]) -> None:
    pytest.importorskip("ecologits")
    found = observed_performance(replies, url=LOCAL, model="m", tariff=own_prices(1.0, 2.0), concurrency=2)
    came = [reply for reply in replies if reply.finish != OVERFLOW]
    p50, p95, p99 = (found[f"latency_p{percentile}_ms"] for percentile in (50, 95, 99))
    if came:
        assert p50.value <= p95.value <= p99.value <= 1000 * max(reply.latency_s for reply in came) + 1e-6
        assert found["throughput_rows_per_s"].value > 0
    else:
        assert p50.provenance == "unknown"
    for name in ("size_mb", "memory_mb", "startup_s", "load_s"):
        assert found[name].provenance == "unknown"


def test_throughput_counts_the_time_in_which_requests_were_under_way() -> None:
    """Two overlapping requests of 2 s, an hour of nothing, one of 1 s: three rows in 3 + 1 seconds."""
    times = [(2.0, 2.0), (2.0, 3.0), (1.0, 3700.0)]
    replies = [Reply("x", "stop", latency_s=lasted, at=at) for lasted, at in times]
    found = observed_performance(replies, url=LOCAL, model="m", tariff=Tariff.none(), concurrency=2)
    assert found["throughput_rows_per_s"].value == pytest.approx(3 / 4)
