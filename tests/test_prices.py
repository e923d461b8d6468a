"""What models cost, by a dated table."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from taskq.agent import Prices, UnknownPrice
from taskq.errors import SettingsError

TABLE = """
date = 2026-01-02
source = "our contract"
[[price]]
models = ["m-1", "m-1-20*"]
input = 1
output = 10.50
cache_write = 2
cache_read = 0.1
long = { over = 1000, input = 3, output = 30, cache_write = 6, cache_read = 0.3 }
"""


@pytest.fixture
def prices(tmp_path: Path) -> Prices:
    path = tmp_path / "prices.toml"
    path.write_text(TABLE)
    return Prices.load(path)


def test_the_shipped_table_is_dated_and_knows_the_models_of_the_example_roles() -> None:
    shipped = Prices.load()
    assert shipped.date >= date(2026, 10, 24)
    assert shipped.source.startswith("https://")
    for model in ("claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5", "claude-sonnet-4-20250514"):
        assert shipped.price_of(model).rates.output > shipped.price_of(model).rates.input


def test_a_newer_model_is_not_taken_for_an_older_one() -> None:
    shipped = Prices.load()
    assert shipped.price_of("claude-opus-5").rates.input == 5
    assert shipped.price_of("claude-opus-5-5-20260922").rates.input == 4
    assert shipped.find("claude-opus-5-9") is None


def test_a_model_without_a_price_is_an_error_that_names_the_file_and_the_ways_out(prices: Prices) -> None:
    with pytest.raises(UnknownPrice) as caught:
        prices.price_of("m-2")
    assert isinstance(caught.value, SettingsError)
    for word in (str(prices.path), "2026-01-02", "m-2", "allow_unpriced: true", "TASKQ_PRICES"):
        assert word in str(caught.value)


def test_the_cost_of_an_answer_is_the_sum_of_what_it_counts(prices: Prices) -> None:
    usage = {
        "input_tokens": 100,
        "output_tokens": 200,
        "cache_creation_input_tokens": 300,
        "cache_read_input_tokens": 400,
        "service_tier": "standard",
    }
    assert prices.price_of("m-1").cost(usage) == Decimal("0.002840")
    assert prices.price_of("m-1-20260101").cost({"output_tokens": 2, "input_tokens": None}) == Decimal(
        "0.000021"
    )


def test_a_long_prompt_has_its_own_price_and_what_was_cached_counts(prices: Prices) -> None:
    price = prices.price_of("m-1")
    assert price.cost({"input_tokens": 1000}) == Decimal("0.001")
    assert price.cost({"input_tokens": 500, "cache_read_input_tokens": 501}) == Decimal("0.001651")
    assert price.worst(1001, 10) == Decimal("0.006306")


def test_no_answer_costs_more_than_the_worst_case(prices: Prices) -> None:
    price = prices.price_of("m-1")
    for counted in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"):
        assert price.cost({counted: 900, "output_tokens": 50}) <= price.worst(900, 50)


def test_small_costs_are_rounded_up(prices: Prices) -> None:
    assert prices.price_of("m-1").cost({"cache_read_input_tokens": 1}) == Decimal("0.000001")


@pytest.mark.parametrize(
    "spoilt",
    [
        "no toml",
        TABLE.replace("date = 2026-01-02", ""),
        TABLE.replace("input = 1\n", ""),
        TABLE.replace("input = 1\n", "input = -1\n"),
        TABLE.replace("cache_read", "cached"),
        TABLE.replace("output = 10.50", 'output = "dear"'),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path: Path, spoilt: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(spoilt)
    with pytest.raises(SettingsError, match=r"prices\.toml"):
        Prices.load(path)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        Prices.load(tmp_path / "nowhere.toml")
