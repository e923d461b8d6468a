"""What the models cost: a dated table in a file, and the arithmetic."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_UP, Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import msgspec

from taskq.errors import SettingsError

SHIPPED: Final = Path(__file__).with_name("prices.toml")
_MILLION: Final = Decimal(1_000_000)
_MICRODOLLAR: Final = Decimal("0.000001")


class UnknownPrice(SettingsError):
    """The price table does not know a model; the message names the file and the ways out."""


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars per million tokens."""

    input: Decimal
    output: Decimal
    cache_write: Decimal
    cache_read: Decimal

    def __post_init__(self) -> None:
        rates = (self.input, self.output, self.cache_write, self.cache_read)
        if not all(rate.is_finite() and rate >= 0 for rate in rates):
            raise ValueError("a price is a number, and not negative")


class LongRates(Rates, frozen=True, forbid_unknown_fields=True):
    """Those of a request whose prompt has more tokens than `over`."""

    over: int


@dataclass(frozen=True)
class Price:
    """What one model costs.

    :param long: other rates for a long prompt, where the provider has such.
    """

    rates: Rates
    long: LongRates | None = None

    def cost(self, usage: Mapping[str, Any]) -> Decimal:
        """US dollars for what an answer's `usage` counts; counts that are missing or null are none."""
        read, written, plain, out = (
            int(usage.get(name) or 0)
            for name in (
                "cache_read_input_tokens", "cache_creation_input_tokens", "input_tokens", "output_tokens"
            )
        )  # fmt: skip
        rates = self._rates(read + written + plain)
        dollars = read * rates.cache_read + written * rates.cache_write + plain * rates.input
        return _rounded(dollars + out * rates.output)

    def worst(self, input_tokens: int, max_output_tokens: int) -> Decimal:
        """US dollars at most: the whole prompt is written to the cache, and the answer as long as allowed."""
        rates = self._rates(input_tokens)
        return _rounded(input_tokens * max(rates.input, rates.cache_write) + max_output_tokens * rates.output)

    def _rates(self, prompt: int) -> Rates:
        return self.long if self.long is not None and prompt > self.long.over else self.rates


class _Row(Rates, frozen=True, forbid_unknown_fields=True, kw_only=True):
    models: tuple[str, ...]
    long: LongRates | None = None


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    date: date
    source: str
    price: tuple[_Row, ...]


@dataclass(frozen=True)
class Prices:
    """A price table.

    :param path: the file that it comes from.
    :param date: the day on which its prices held.
    """

    path: Path
    date: date
    source: str
    rows: tuple[tuple[str, Price], ...]

    @classmethod
    def load(cls, path: Path | None = None) -> Prices:
        """Read a table: this file, or the one that is shipped.

        :raises SettingsError: the file cannot be read, or is no price table.
        """
        path = path or SHIPPED
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
            table = msgspec.convert(given, _Table)
        except (OSError, ValueError, msgspec.ValidationError) as error:
            raise SettingsError(f"{path} (TASKQ_PRICES): is no price table: {error}") from error
        rows = [(glob, Price(row, row.long)) for row in table.price for glob in row.models]
        return cls(path, table.date, table.source, tuple(rows))

    def find(self, model: str) -> Price | None:
        """What a model costs; None when the table does not know it."""
        return next((price for glob, price in self.rows if fnmatchcase(model, glob)), None)

    def price_of(self, model: str) -> Price:
        """What a model costs.

        :raises UnknownPrice: the table does not know it.
        """
        price = self.find(model)
        if price is None:
            raise UnknownPrice(
                f"{self.path} (of {self.date}) has no price of model {model}: name a table that has one in"
                " TASKQ_PRICES, or write 'allow_unpriced: true' in the manifest to let it count as free"
            )
        return price


def _rounded(millionths: Decimal) -> Decimal:
    """Up, so that many small calls never look cheaper than they are."""
    return (millionths / _MILLION).quantize(_MICRODOLLAR, rounding=ROUND_UP)
