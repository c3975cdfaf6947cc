# SPDX-License-Identifier: Apache-2.0
"""What an endpoint was like, read off the replies that are kept: nothing is asked, so nothing is paid again.

The figures have the names under which a saved model is measured in fresh processes, and those that an endpoint adds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigenough.chat.footprint import footprint_per_1000, parameters
from bigenough.chat.replies import OVERFLOW, Reply
from bigenough.chat.tariff import Tariff
from bigenough.quantity import Quantity, measured, unknown

__all__ = ["compared", "determinism_of", "observed_performance", "provenance_of"]

_BLOCKS = 4


def observed_performance(
    replies: Sequence[Reply], *, url: str, model: str, tariff: Tariff, concurrency: int, country: str | None = None
) -> dict[str, Quantity]:
    """The figures of an endpoint by its stored replies.

    Args:
        replies: to the prompt that is judged, in the order in which they came; those that never came to be, because
            the request was too long, are left out.
        url: the endpoint's base address.
        model: its name there.
        tariff: what its tokens cost.
        concurrency: how many requests were under way at once, for the words of the sources.
        country: three-letter ISO code of the grid, for the emissions.

    Returns:
        By name: startup_s, load_s, memory_mb, size_mb (all unknown), n_parameters, latency_p50_ms, latency_p95_ms,
        latency_p99_ms, throughput_rows_per_s, serve_wh_per_1000, serve_co2e_g_per_1000, as a saved model has them;
        besides tokens_in_per_request, tokens_out_per_request, usd_per_million_tokens_in, usd_per_million_tokens_out
        and serve_usd_per_1000.

    >>> replies = [Reply("spam", "stop", tokens_in=40, tokens_out=2, latency_s=0.1 * n, at=float(n)) for n in (1, 2, 3)]
    >>> found = observed_performance(replies, url="http://127.0.0.1/v1", model="m", tariff=Tariff.none(), concurrency=1)
    >>> found["latency_p50_ms"].value, found["tokens_in_per_request"].value, found["size_mb"].provenance
    (200.0, 40.0, 'unknown')
    """
    came = [reply for reply in replies if reply.finish != OVERFLOW and reply.latency_s > 0]
    remote = "it runs at the endpoint, which does not tell"
    figures: dict[str, Quantity] = {
        "startup_s": unknown("s", remote),
        "load_s": unknown("s", remote),
        "memory_mb": unknown("MB", remote),
        "size_mb": unknown("MB", remote),
        "n_parameters": parameters(url, model),
        **_speed(came, concurrency),
        "tokens_in_per_request": _tokens(came, "tokens_in", "read"),
        "tokens_out_per_request": _tokens(came, "tokens_out", "written"),
    }
    tokens_in, tokens_out = figures["tokens_in_per_request"].value, figures["tokens_out_per_request"].value
    mean_s = float(np.mean([reply.latency_s for reply in came])) if came else 0.0
    use = footprint_per_1000(url, model, tokens_out=tokens_out, latency_s=mean_s, country=country)
    return {
        **figures,
        "serve_wh_per_1000": use.wh,
        "serve_co2e_g_per_1000": use.co2e_g,
        "usd_per_million_tokens_in": tariff.price_in,
        "usd_per_million_tokens_out": tariff.price_out,
        "serve_usd_per_1000": tariff.per_1000(tokens_in, tokens_out, len(came)),
    }


def _speed(replies: Sequence[Reply], concurrency: int) -> Mapping[str, Quantity]:
    names = [f"latency_p{percentile}_ms" for percentile in (50, 95, 99)]
    if not replies:
        why = "no reply is kept"
        return {**{name: unknown("ms", why) for name in names}, "throughput_rows_per_s": unknown("rows/s", why)}
    times = 1000 * np.array([reply.latency_s for reply in replies])
    blocks = np.array_split(times, min(_BLOCKS, len(times)))
    figures: dict[str, Quantity] = {}
    for name, percentile in zip(names, (50, 95, 99), strict=True):
        value = float(np.percentile(times, percentile))
        spread = [value, *(float(np.percentile(block, percentile)) for block in blocks)]
        figures[name] = measured(
            value, "ms",
            f"{percentile}th percentile of {len(times):,} requests, from sending to the last byte, network and queue "
            f"included, up to {concurrency} under way at once; the range is that of {len(blocks)} blocks in time",
            low=min(spread), high=max(spread),
        )  # fmt: skip
    busy = _busy_s(np.array([reply.at for reply in replies]), times / 1000)
    source = f"{len(times):,} replies over the time in which requests were under way, up to {concurrency} at once"
    return {**figures, "throughput_rows_per_s": measured(len(times) / busy, "rows/s", source)}


def _busy_s(ends: NDArray[np.float64], lasted: NDArray[np.float64]) -> float:
    """How long at least one request was under way: the length of the union of their times."""
    order = np.argsort(ends - lasted, kind="stable")
    begins, stops = (ends - lasted)[order], ends[order]
    reached = np.maximum.accumulate(stops)
    gaps = np.maximum(0.0, begins[1:] - reached[:-1]).sum()
    return float(max(reached[-1] - begins[0] - gaps, np.finfo(np.float32).tiny))


def _tokens(replies: Sequence[Reply], name: str, what: str) -> Quantity:
    counts = [count for reply in replies if (count := getattr(reply, name)) is not None]
    if not counts:
        return unknown("token/request", "the endpoint does not count")
    source = f"mean of {len(counts):,} requests, tokens {what} as the endpoint counts them; the range is least and most"
    return measured(float(np.mean(counts)), "token/request", source, low=min(counts), high=max(counts))


def provenance_of(replies: Sequence[Reply]) -> dict[str, Any]:
    """How many replies there are, when the first and last came (UTC), and from which systems, as JSON values.

    >>> provenance_of([Reply("a", "stop", at=60.0), Reply("b", "stop", at=0.0, fingerprint="fp")])
    {'n': 2, 'first': '1970-01-01T00:00:00Z', 'last': '1970-01-01T00:01:00Z', 'fingerprints': ['fp']}
    """
    times = [datetime.fromtimestamp(reply.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for reply in replies]
    systems = sorted({reply.fingerprint for reply in replies if reply.fingerprint})
    return {"n": len(replies), "first": min(times, default=None), "last": max(times, default=None),
            "fingerprints": systems}  # fmt: skip


def determinism_of(rows: int, checks: Sequence[Any], note: str = "") -> dict[str, Any]:
    """Checks of whether it says the same twice, as JSON values, in the form that a saved model's have."""
    told: dict[str, Any] = {"rows": rows, "checks": [dict(check) for check in checks]}
    return {**told, "note": note} if note else told


def compared(check: str, answers: Sequence[NDArray[np.float64]]) -> dict[str, Any]:
    """How the (n, k) answers to the same rows differ from the first: rows whose label changed in any, largest change.

    >>> one, other = np.array([[0.6, 0.4]]), np.array([[0.25, 0.75]])
    >>> compared("asked again", [one, one, other])
    {'check': 'asked again', 'label_flips': 1, 'max_probability_difference': 0.35}
    """
    first, again = answers[0], answers[1:]
    flipped = np.zeros(len(first), bool)
    difference = 0.0
    for other in again:
        flipped |= first.argmax(axis=1) != other.argmax(axis=1)
        difference = max(difference, float(np.abs(first - other).max(initial=0.0)))
    return {"check": check, "label_flips": int(flipped.sum()), "max_probability_difference": difference}
