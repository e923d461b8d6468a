"""What must be true when the mission has ended, asked of the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from taskq.cli.demo.screen import Screen
from taskq.cli.demo.script import RETRY_AFTER
from taskq.database import Pool

ACTOR = "demo"
"""Who approves."""


@dataclass(frozen=True)
class Kill:
    """A worker that was killed: its id in taskq.workers, and when, by the database's clock."""

    worker: UUID
    at: datetime


@dataclass(frozen=True)
class Fact:
    """A sentence, whether it is true, and what the database said."""

    sentence: str
    holds: bool
    finding: str


Question = tuple[str, str, tuple[Any, ...]]
"""A sentence, the statement that says whether it is true, and its parameters behind the mission."""

FORCED: Final[tuple[Question, ...]] = (
    ("a rate limit was waited out by all, and cost no attempt", "fact_limited", (float(RETRY_AFTER),)),
    ("a stream that was cut cost one attempt, and no finished turn", "fact_cut", ()),
    ("what failed its check was put right before it counted", "fact_checked", ()),
)
"""What only the simulated model is sure to bring about."""


async def establish(reader: Pool, mission: UUID, kill: Kill | None, *, offline: bool) -> list[Fact]:
    """Every fact of a mission.

    :param reader: a pool with the statements of demo/queries.sql.
    :param kill: None when no worker could be killed; then the facts about it do not hold.
    """
    worker, at = (kill.worker, kill.at) if kill else (None, None)
    stamp = "everything is stamped simulated" if offline else "nothing is stamped simulated"
    questions: list[Question] = [
        ("all tasks completed", "fact_completed", ()),
        ("the killed worker's turns were resumed", "fact_resumed", (worker,)),
        ("nothing ran twice after its commit", "fact_once", ()),
        ("less than 3 s from the kill to the restart", "fact_restarted", (worker, at)),
        *(FORCED if offline else ()),
        ("every tool call is settled", "fact_settled", ()),
        ("the spend is settled and within its budget", "fact_spent", ()),
        ("a person's approval is on record", "fact_approved", (ACTOR,)),
        (stamp, "fact_simulated", (offline,)),
    ]
    facts = []
    for sentence, query, parameters in questions:
        row = await reader.fetch_one(query, mission, *parameters)
        assert row is not None
        facts.append(Fact(sentence, bool(row["holds"]), row["finding"]))
    return facts


def show(facts: list[Fact], screen: Screen) -> None:
    """Print the facts."""
    for fact in facts:
        screen.mark(fact.holds, f"{fact.sentence}: {fact.finding}")
