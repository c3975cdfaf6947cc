# SPDX-License-Identifier: Apache-2.0
"""Electricity and emissions of a request to somebody's endpoint: modelled by EcoLogits, as a range, or unknown.

EcoLogits (Rincé & Banse 2025, doi 10.21105/joss.07471) models a request's energy by the model's parameters, published
or guessed, the tokens written and the time it took, times the data centre's overhead; emissions add the making of the
hardware. Its bounds are those of what is not published. It knows models by provider; for a provider it does not know,
a local server above all, the answer is unknown.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bigenough.errors import MissingExtra
from bigenough.quantity import Quantity, modelled, unknown

__all__ = ["Footprint", "footprint_per_1000", "parameters"]

_PROVIDERS = {
    "openai.com": "openai",
    "mistral.ai": "mistralai",
    "anthropic.com": "anthropic",
    "cohere.com": "cohere",
    "cohere.ai": "cohere",
    "googleapis.com": "google_genai",
    "huggingface.co": "huggingface_hub",
}


class Footprint(NamedTuple):
    """Of 1,000 requests."""

    wh: Quantity
    co2e_g: Quantity


def footprint_per_1000(
    url: str, model: str, *, tokens_out: float | None, latency_s: float, country: str | None = None
) -> Footprint:
    """The energy and emissions of 1,000 requests like the average one.

    Args:
        url: the endpoint's base address, by which the provider is known.
        model: its name there.
        tokens_out: written per request, on average; None when the endpoint does not count.
        latency_s: what a request took, on average.
        country: three-letter ISO code of the data centre's grid; None takes the provider's own.

    Raises:
        MissingExtra: EcoLogits is not installed.

    >>> footprint_per_1000("http://127.0.0.1/v1", "m", tokens_out=5, latency_s=0.2).wh.provenance
    'unknown'
    """
    provider = _provider(url)
    if provider is None or tokens_out is None:
        why = "EcoLogits knows no provider at this address" if provider is None else "the endpoint counts no tokens"
        return Footprint(unknown("Wh", why), unknown("g CO2e", why))
    with _ecologits() as table:
        found = table.llm_impacts(provider, model, max(1, round(tokens_out)), latency_s, electricity_mix_zone=country)
    if found.energy is None or found.gwp is None:
        why = "; ".join(error.message for error in found.errors or ()) or "EcoLogits gave no figure"
        return Footprint(unknown("Wh", why), unknown("g CO2e", why))
    warned = "".join(f"; {warning.message}" for warning in found.warnings or ())
    source = (
        f"EcoLogits {version('ecologits')} for {provider}'s {model}: {tokens_out:.3g} tokens written in "
        f"{latency_s:.3g} s a request; the middle is the mean of the bounds{warned}"
    )
    return Footprint(
        _ranged(found.energy.value, 1e6, "Wh", source),  # 1,000 requests × 1,000 Wh/kWh
        _ranged(found.gwp.value, 1e6, "g CO2e", source),
    )


def parameters(url: str, model: str) -> Quantity:
    """How many parameters the model is published, or guessed, to have.

    >>> parameters("http://127.0.0.1/v1", "m").provenance
    'unknown'
    """
    provider = _provider(url)
    if provider is None:
        return unknown("", "the endpoint does not tell")
    with _ecologits():
        from ecologits.model_repository import models

        found = models.find_model(provider=provider, model_name=model)
    if found is None:
        return unknown("", f"EcoLogits has no {model!r} of {provider}")
    counted = found.architecture.parameters
    warned = "".join(f"; {warning.message}" for warning in found.warnings)
    source = f"EcoLogits {version('ecologits')} for {provider}'s {model}{warned}"
    return _ranged(getattr(counted, "total", counted), 1e9, "", source)


def _provider(url: str) -> str | None:
    host = urlsplit(url).hostname or ""
    return next((name for domain, name in _PROVIDERS.items() if host == domain or host.endswith(f".{domain}")), None)


def _ranged(value: Any, scale: float, unit: str, source: str) -> Quantity:
    low, high = (float(getattr(value, end, value)) * scale for end in ("min", "max"))
    ends = {} if low == high else {"low": low, "high": high}
    return modelled((low + high) / 2, unit, source, **ends)


@contextmanager
def _ecologits() -> Iterator[Any]:
    """Its calculator, without the warnings that it logs and that are told in the source."""
    try:
        from ecologits.tracers import utils
    except ImportError:
        raise MissingExtra("The footprint of an endpoint", "ecologits", "pip install 'bigenough[llm]'") from None
    logger = logging.getLogger("ecologits")
    silent, logger.disabled = logger.disabled, True
    try:
        yield utils
    finally:
        logger.disabled = silent
