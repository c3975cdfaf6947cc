# SPDX-License-Identifier: Apache-2.0
"""What a token costs at an endpoint: the user's own price, or the table that the package genai-prices ships.

Neither asks the network. A price that nobody has is unknown, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Self

from bigenough.errors import MissingExtra
from bigenough.quantity import Quantity, modelled, published, unknown

__all__ = ["UNIT", "Tariff", "tariff"]

UNIT = "USD/million tokens"
_PROBE = 1000
"""Tokens whose price is looked up: few, since some prices rise with the length of a request."""


@dataclass(frozen=True)
class Tariff:
    """The price of tokens read and written, in USD per million, each known or not."""

    price_in: Quantity
    price_out: Quantity

    @property
    def known(self) -> bool:
        """Whether both prices are."""
        return self.price_in.value is not None and self.price_out.value is not None

    def usd(self, tokens_in: float, tokens_out: float) -> float | None:
        """The price of so many tokens without discounts for cached ones, so at most this; None when unknown.

        >>> own_prices(0.15, 0.60).usd(1_000_000, 1_000_000)
        0.75
        """
        if self.price_in.value is None or self.price_out.value is None:
            return None
        return (tokens_in * self.price_in.value + tokens_out * self.price_out.value) / 1e6

    @classmethod
    def none(cls) -> Self:
        """No prices: where nobody asked what it costs."""
        return cls(unknown(UNIT, "not asked for"), unknown(UNIT, "not asked for"))

    def per_1000(self, tokens_in: float | None, tokens_out: float | None, requests: int) -> Quantity:
        """The price of 1,000 requests that take so many tokens each, on average over ``requests`` of them."""
        if tokens_in is None or tokens_out is None:
            return unknown("USD", "the endpoint does not count its tokens")
        usd = self.usd(1000 * tokens_in, 1000 * tokens_out)
        if usd is None:
            return unknown("USD", self.price_in.source)
        return modelled(
            usd, "USD",
            f"1,000 × (mean tokens read × price + mean tokens written × price), {requests:,} requests as the endpoint "
            f"counted them, without discounts for cached tokens; {self.price_in.source}",
        )  # fmt: skip

    def to_json(self) -> Mapping[str, object]:
        """Both prices as JSON values."""
        return {"price_in": self.price_in.to_json(), "price_out": self.price_out.to_json()}


def own_prices(price_in: float, price_out: float) -> Tariff:
    """The prices that the user gave, in USD per million tokens."""
    source = "given by the user"
    return Tariff(published(price_in, UNIT, source), published(price_out, UNIT, source))


def tariff(
    url: str, model: str, *, at: datetime, price_in: float | None = None, price_out: float | None = None
) -> Tariff:
    """The prices of a model at an endpoint.

    Args:
        url: the endpoint's base address, by which the table knows the provider.
        model: its name there.
        at: the moment for which they are asked; some prices change by date or time of day.
        price_in: the user's own, in USD per million tokens read; both go first.
        price_out: the same of tokens written.

    Raises:
        MissingExtra: the price table is not installed.

    >>> from datetime import timezone
    >>> found = tariff("http://127.0.0.1:8080/v1", "m", at=datetime(2026, 11, 1, tzinfo=timezone.utc))
    >>> found.known, found.price_in.provenance
    (False, 'unknown')
    """
    if price_in is not None and price_out is not None:
        return own_prices(price_in, price_out)
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        raise MissingExtra("The price of an endpoint", "genai-prices", "pip install 'bigenough[llm]'") from None
    table = f"genai-prices {version('genai-prices')}"
    try:
        read, written = (
            calc_price(usage, model, provider_api_url=url, genai_request_timestamp=at)
            for usage in (Usage(input_tokens=_PROBE), Usage(output_tokens=_PROBE))
        )
    except LookupError:
        why = f"{table} has no price of {model!r} at this address; --price-in and --price-out give it"
        return Tariff(unknown(UNIT, why), unknown(UNIT, why))
    source = f"{table}: {read.provider.name}, {read.model.id}, as of {at.date().isoformat()}"
    per_million = 1e6 / _PROBE
    return Tariff(
        published(float(read.input_price) * per_million, UNIT, source),
        published(float(written.output_price) * per_million, UNIT, source),
    )
