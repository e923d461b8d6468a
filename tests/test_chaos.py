"""Agents that are killed anywhere between a turn and its effects; bench/chaos.py does the same 200 times."""

from __future__ import annotations

from pathlib import Path

from bench.chaos import campaign
from bench.chaos.run import strikes_of
from bench.chaos.script import EFFECTS, play_of
from bench.chaos.strikes import PLACES, without_ledger

SEEDS = range(30)


async def test_no_kill_loses_repeats_or_hides_anything(dsn: str, tmp_path: Path) -> None:
    found = await campaign(dsn, SEEDS, tmp_path, baseline=False)
    assert found.faults == []
    assert len(found.ledger) == len(SEEDS)
    assert all(verdict.run.kills for verdict in found.ledger)
    assert len(found.struck) >= len(SEEDS)
    assert all(verdict.repeated <= len(verdict.run.kills) for verdict in found.ledger)
    assert sum(verdict.booked_twice + verdict.done_twice for verdict in found.ledger) == 0
    interrupted = sum(verdict.interrupted for verdict in found.ledger)
    assert 0 < interrupted == sum(verdict.reported for verdict in found.ledger)


async def test_the_same_kills_hurt_a_loop_without_a_ledger(dsn: str, tmp_path: Path) -> None:
    seeds = [seed for seed in range(200) if strikes_of(seed)[0]["at"] in HURTS][:4]
    found = await campaign(dsn, seeds, tmp_path)
    assert found.faults == []
    assert sum(verdict.booked_twice + verdict.done_twice for verdict in found.naive) >= len(seeds)


HURTS = ("effect post:after", "effect send:after", "settle post:before", "settle send:before")


def test_every_place_is_struck_within_200_seeds() -> None:
    assert {strikes_of(seed)[0]["at"] for seed in range(200)} == set(PLACES)
    assert all(set(EFFECTS) <= set(play_of(seed).tools.values()) for seed in range(200))


def test_every_place_of_ours_has_its_moment_in_the_loop_without_a_ledger() -> None:
    play = play_of(0)
    for id, tool in play.tools.items():
        for place in ("intend", "effect", "settle"):
            assert without_ledger(play, f"{place} {tool}", "before", id)["at"].partition(" ")[0] in (
                "effect", "results:before", "complete:before",
            )  # fmt: skip
