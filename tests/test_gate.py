"""The provider gate: what all workers together may ask of a provider."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg
import pytest

from conftest import Connect
from support import eventually
from taskq.agent.gate import RateLimits, estimate, read_limits

SHORT = 1e-6


async def ask(db: asyncpg.Connection, model: str = "m", tokens: int = 1, provider: str = "p") -> float:
    """Seconds to wait; 0: it may go out, and is counted."""
    wait: float = await db.fetchval("select taskq.pass_gate($1, $2, $3)", provider, model, tokens)
    return wait


async def limit(db: asyncpg.Connection, model: str, requests: int | None, tokens: int | None = None) -> None:
    await db.execute("select taskq.set_gate('p', $1, $2, $3, 'ann')", model, requests, tokens)


async def later(db: asyncpg.Connection, seconds: float) -> None:
    """So much time passes for the buckets and the pauses."""
    await db.execute(
        """
        update taskq.gates set filled_at = filled_at - make_interval(secs => $1),
                               paused_until = paused_until - make_interval(secs => $1)
        where paused_until is distinct from 'infinity'
        """,
        seconds,
    )


async def gate(db: asyncpg.Connection, model: str = "m") -> Any:
    return await db.fetchrow("select * from taskq.gates where provider = 'p' and model = $1", model)


async def alerts(db: asyncpg.Connection) -> list[asyncpg.Record]:
    return await db.fetch("select status, payload from taskq.tasks where role = 'alert' order by id")


async def test_an_unknown_gate_is_open_and_is_made_so_that_a_pause_can_be_kept(db) -> None:
    assert [await ask(db) for _ in range(5)] == [0] * 5
    rows = await db.fetch("select provider, model, requests_per_minute, tokens_per_minute from taskq.gates")
    assert {tuple(row) for row in rows} == {("p", "*", None, None), ("p", "m", None, None)}


async def test_a_bucket_of_requests_empties_and_refills_by_the_databases_clock(db) -> None:
    await limit(db, "m", 6)
    assert [await ask(db) for _ in range(6)] == [0] * 6
    wait = await ask(db)
    assert (
        9 < wait <= 12.5
    )  # one comes every ten seconds; up to a quarter longer, so that not all return at once
    await later(db, 9)
    assert 0 < await ask(db) <= 1.25
    await later(db, 1.1)
    assert await ask(db) == 0
    assert await ask(db) > 0


async def test_a_bucket_never_holds_more_than_a_minute_brings(db) -> None:
    await limit(db, "m", 3)
    await later(db, 3600)
    assert [await ask(db) > 0 for _ in range(4)] == [False, False, False, True]


async def test_tokens_are_counted_as_requests_are(db) -> None:
    await limit(db, "m", None, 600)
    assert await ask(db, tokens=400) == 0
    assert 19 < await ask(db, tokens=400) <= 25
    assert await ask(db, tokens=200) == 0


async def test_what_is_larger_than_the_bucket_goes_out_when_it_is_full_and_is_paid_back_after(db) -> None:
    await limit(db, "m", None, 600)
    assert await ask(db, tokens=1200) == 0
    await later(db, 59)
    assert await ask(db, tokens=1) > 0
    await later(db, 2)
    assert await ask(db, tokens=1) == 0


async def test_a_call_that_has_to_wait_takes_nothing(db) -> None:
    await limit(db, "*", 60)
    await limit(db, "m", 1)
    await ask(db)
    before = await gate(db, "*")
    assert await ask(db) > 0
    assert await gate(db, "*") == before


async def test_the_providers_own_gate_counts_for_all_its_models(db) -> None:
    await limit(db, "*", 3)
    await limit(db, "a", 100)
    assert [await ask(db, model) for model in ("a", "b", "a")] == [0, 0, 0]
    assert await ask(db, "b") > 0
    assert await ask(db, "c") > 0
    assert await ask(db, "a", provider="another") == 0


async def test_eight_connections_are_never_granted_more_than_the_bucket(connect: Connect) -> None:
    sessions = [await connect() for _ in range(8)]
    await limit(sessions[0], "*", 40)
    await limit(sessions[0], "m", 30, 10_000)
    began = time.monotonic()

    async def hammer(session: asyncpg.Connection) -> int:
        return sum([await ask(session, tokens=10) == 0 for _ in range(25)])

    granted = sum(await asyncio.gather(*map(hammer, sessions)))
    assert 30 <= granted <= 30 + (time.monotonic() - began) * 30 / 60 + SHORT


async def test_the_clock_is_read_after_the_lock(connect: Connect) -> None:
    first, second, watcher = [await connect() for _ in range(3)]
    await limit(first, "m", 60)
    await first.execute(
        "update taskq.gates set requests = 1, filled_at = clock_timestamp() where model = 'm'"
    )
    transaction = first.transaction()
    await transaction.start()
    assert await ask(first) == 0
    waiting = asyncio.create_task(ask(second))
    pid = second.get_server_pid()
    await eventually(lambda: watcher.fetchval("select cardinality(pg_blocking_pids($1)) > 0", pid))
    await watcher.execute("select pg_sleep(0.3)")
    await transaction.commit()
    # Had it looked before it waited, it would have found a request left.
    assert await waiting > 0


async def test_several_models_are_held_in_one_order(connect: Connect) -> None:
    sessions = [await connect() for _ in range(6)]
    for model in "ab":
        await limit(sessions[0], model, 1000)

    async def prefer(session: asyncpg.Connection, models: list[str]) -> None:
        for _ in range(30):
            async with session.transaction():
                await session.execute("select taskq.hold_gates('p', $1)", models)
                for model in models:
                    await ask(session, model)

    await asyncio.gather(*(prefer(s, ["a", "b"] if n % 2 else ["b", "a"]) for n, s in enumerate(sessions)))


async def test_a_pause_holds_everybody_until_it_is_over(connect: Connect) -> None:
    one, other = await connect(), await connect()
    await one.execute("select taskq.pause_gate('p', 'm', '20 s', '429')")
    assert 19 < await ask(other) <= 25
    assert await ask(other, "another model") == 0
    await later(one, 21)
    assert await ask(other) == 0


async def test_the_later_of_two_pauses_stands(db) -> None:
    await db.execute("select taskq.pause_gate('p', 'm', '30 s', 'long')")
    await db.execute("select taskq.pause_gate('p', 'm', '2 s', 'short')")
    assert (await gate(db))["reason"] == "long"
    assert await ask(db) > 20
    await db.execute("select taskq.pause_gate('p', 'm', '50 s', 'longer')")
    assert (await gate(db))["reason"] == "longer"


async def test_a_pause_of_the_provider_holds_all_its_models_and_is_looked_at_within_a_minute(db) -> None:
    await db.execute("select taskq.pause_gate('p', '*', '1 h', 'overloaded')")
    assert await ask(db, "a") == 60
    assert await ask(db, "b") == 60


async def test_a_pause_without_a_length_is_half_a_minute(db) -> None:
    await db.execute("select taskq.pause_gate('p', 'm', null, '529')")
    assert 29 < await ask(db) <= 37.5


async def test_a_person_resumes(db) -> None:
    await db.execute("select taskq.pause_gate('p', 'm', '1 h', '429')")
    assert await db.fetchval("select taskq.resume_gate('p', 'm', 'ann')") is True
    assert await ask(db) == 0
    assert (await gate(db))["reason"] == "resumed by ann"
    assert await db.fetchval("select taskq.resume_gate('p', 'm', 'ann')") is False


async def test_an_exhausted_account_is_paused_until_resumed_and_alerts_once(db) -> None:
    for _ in range(3):
        await db.execute("select taskq.exhaust_gate('p', 'the month''s limit is reached')")
    assert await ask(db) == 60
    await db.execute("select taskq.pause_gate('p', '*', '1 s', 'a 429 that came late')")
    assert (await gate(db, "*"))["reason"] == "the month's limit is reached"
    (alert,) = await alerts(db)
    assert alert["payload"]["kind"] == "exhausted:p"
    assert "the month's limit is reached" in alert["payload"]["text"]
    assert "taskq.resume_gate('p')" in alert["payload"]["text"]
    assert await db.fetchval("select taskq.resume_gate('p')") is True
    assert await ask(db) == 0


async def test_eight_that_find_the_account_exhausted_insert_one_alert(connect: Connect) -> None:
    sessions = [await connect() for _ in range(8)]
    await asyncio.gather(*(s.execute("select taskq.exhaust_gate('p', 'empty')") for s in sessions))
    assert len(await alerts(sessions[0])) == 1


async def test_an_alert_that_was_dealt_with_makes_room_for_the_next(db) -> None:
    first = await db.fetchval("select taskq.alert('disk', 'full')")
    assert await db.fetchval("select taskq.alert('disk', 'still full')") == first
    await db.execute("select taskq.complete($1)", first)
    assert await db.fetchval("select taskq.alert('disk', 'full again')") != first
    assert [alert["status"] for alert in await alerts(db)] == ["completed", "queued"]


async def tune(db: asyncpg.Connection, *said: int | None) -> None:
    await db.execute("select taskq.tune_gate('p', 'm', $1, $2, $3, $4)", *said)


async def test_headers_teach_the_limits_of_a_gate_that_has_none(db) -> None:
    await tune(db, 50, 2, 1000, 900)
    found = await gate(db)
    assert (found["requests_per_minute"], found["tokens_per_minute"]) == (50, 1000)
    assert [await ask(db) > 0 for _ in range(3)] == [False, False, True]


async def test_headers_that_say_nothing_change_nothing(db) -> None:
    await tune(db, 50, 10, 1000, 900)
    await tune(db, None, None, None, None)
    found = await gate(db)
    assert (found["requests_per_minute"], found["tokens_per_minute"]) == (50, 1000)
    assert (round(found["requests"]), round(found["tokens"] / 10)) == (10, 90)


async def test_tokens_are_as_the_provider_counts_them_and_requests_never_more_than_we_know(db) -> None:
    await tune(db, 50, 50, 1000, 1000)
    await ask(db, tokens=800)  # the worst case; it used 100
    await tune(db, 50, 50, 1000, 900)
    found = await gate(db)
    assert found["tokens"] == 900
    assert found["requests"] < 50  # another may be on its way


async def test_limits_that_a_person_set_are_not_widened_by_headers(db) -> None:
    await limit(db, "m", 10, 100)
    await ask(db, tokens=50)
    await tune(db, 4000, 3999, 100_000, 99_000)
    found = await gate(db)
    assert (found["requests_per_minute"], found["tokens_per_minute"]) == (10, 100)
    assert (round(found["requests"]), round(found["tokens"] / 10)) == (9, 5)
    await tune(db, 4000, 1, 100_000, 20)
    assert [await ask(db, tokens=5) > 0 for _ in range(2)] == [False, True]


async def test_limits_that_a_person_took_away_are_the_headers_again(db) -> None:
    await limit(db, "m", 10, 100)
    await limit(db, "m", None)
    assert (await gate(db))["set_by"] is None
    await tune(db, 4000, 3999, None, None)
    assert (await gate(db))["requests_per_minute"] == 4000


@pytest.mark.parametrize("limits", [(0, None), (None, -1)])
async def test_a_limit_that_lets_nothing_pass_is_refused(db, limits: tuple[int | None, int | None]) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await limit(db, "m", *limits)
    assert refused.value.sqlstate == "TQ001"


def test_the_headers_of_an_answer_are_read() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-tokens-limit": "40000",
        "anthropic-ratelimit-tokens-remaining": "39000",
    }
    limits = read_limits(headers)
    assert limits == RateLimits(50, 49, 40000, 39000)
    assert limits.as_arguments() == (50, 49, 40000, 39000)
    assert limits.are_news


@pytest.mark.parametrize("said", ["", "many", "-1", "1.5", "9" * 30])
def test_headers_that_make_no_sense_are_not_said(said: str) -> None:
    limits = read_limits({"anthropic-ratelimit-requests-limit": said})
    assert limits == RateLimits()
    assert not limits.are_news


@pytest.mark.parametrize("text", ["plain words, " * 100, "def f(x):\n    return [x]\n" * 50, "語" * 500])
def test_an_estimate_is_not_below_what_tokenizers_make_of_it(text: str) -> None:
    assert estimate({"messages": [{"role": "user", "content": text}]}) >= len(text.encode()) / 3
