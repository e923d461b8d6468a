"""What agents say in web_world.py: messages and tool calls, one of which awaits a person."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from web_world_rows import World

TOOLS = (
    ("read_file", "read", {"path": "src/billing/retries.py"}, "184 lines"),
    ("grep", "read", {"pattern": "idempotency_key", "path": "src"}, "12 matches in 5 files"),
    ("list_dir", "read", {"path": "src/billing"}, "charges.py\nretries.py\nledger.py"),
    (
        "http_get",
        "read",
        {"url": "https://www.rfc-editor.org/rfc/rfc9110"},
        "200 OK, 412 KB, cut at 20,000 characters",
    ),
    (
        "write_file",
        "idempotent",
        {"path": "src/billing/retries.py", "content": "def charge_once(key): ..."},
        "written: 211 lines",
    ),
    ("run_check", "idempotent", {"name": "tests"}, "214 passed in 9.41 s"),
    (
        "create_issue",
        "unsafe",
        {"title": "Ledger rows lack the retry key"},
        "https://git.example/billing/issues/418",
    ),
    ("record_decision", "transactional", {"text": "One row per charge and key."}, "kept"),
)


def add_conversation(world: World, row: dict[str, Any], begin: datetime, end: datetime) -> None:
    """Messages and tool calls between two moments; the last call of one that runs is under way."""
    rng, id = world.rng, row["id"]
    turns = rng.randint(3, 6)
    step = (end - begin) / (turns + 1)

    def say(seq: int, role: str, content: Any, at: datetime, **more: Any) -> None:
        about = {"stop_reason": None, "model": None, "usage": None, "request_id": None, "cost": None} | more
        world.add(
            "messages",
            task_id=id,
            seq=seq,
            role=role,
            body=json.dumps(content),
            simulated=False,
            attempt=row["attempt"],
            created_at=at,
            **about,
        )

    say(
        0,
        "user",
        [{"type": "text", "text": f"Task: {row['name']}\n\nObjective: {row['payload']['objective']}"}],
        begin,
    )
    for turn in range(turns):
        at, seq = begin + step * (turn + 1), 1 + 2 * turn
        wanted = rng.sample(TOOLS, rng.randint(1, 3))
        ids = [f"toolu_{rng.getrandbits(48):012x}" for _ in wanted]
        words = rng.choice(
            (
                "I look at how charges are written before I change anything.",
                "The ledger has no unique key per retry; that is the hole. I check who else writes to it.",
                "Both callers go through `charge_once`, so one constraint is enough.",
            )
        )
        uses = [
            {"type": "tool_use", "id": call, "name": tool[0], "input": tool[2]}
            for call, tool in zip(ids, wanted, strict=True)
        ]
        say(
            seq,
            "assistant",
            [{"type": "text", "text": words}, *uses],
            at,
            stop_reason="tool_use",
            model="claude-sonnet-5-5",
            usage={
                "input_tokens": rng.randint(4000, 30_000),
                "output_tokens": rng.randint(200, 1400),
                "cache_read_input_tokens": rng.randint(0, 20_000),
            },
            request_id=f"req_{rng.getrandbits(40):010x}",
            cost=round(rng.uniform(0.004, 0.09), 6),
        )
        last = turn == turns - 1 and row["status"] == "in_progress"
        for place, (call, (tool, effect, given, output)) in enumerate(zip(ids, wanted, strict=True)):
            status = (
                "started"
                if last
                else rng.choices(("success", "error", "timeout", "blocked", "unknown"), (90, 5, 2, 2, 1))[0]
            )
            took = timedelta(seconds=rng.expovariate(1 / 1.3))
            world.add(
                "tool_calls",
                task_id=id,
                call_id=call,
                turn=seq,
                place=place,
                tool=tool,
                actor=row["role"],
                effect=effect,
                status=status,
                input=json.dumps(given),
                output=None
                if last
                else output
                if status == "success"
                else f"{status}: no such file: {given.get('path', '?')}",
                artifact=given.get("path") if tool == "write_file" else None,
                needs_approval=effect == "unsafe",
                approved_by="maria" if effect == "unsafe" else None,
                attempt=row["attempt"],
                proposed_at=at,
                started_at=at + timedelta(milliseconds=8),
                finished_at=None if last else at + took,
            )
        if not last:
            say(
                seq + 1,
                "user",
                [
                    {"type": "tool_result", "tool_use_id": call, "content": tool[3]}
                    for call, tool in zip(ids, wanted, strict=True)
                ],
                at + timedelta(seconds=2),
            )


def add_call_to_approve(world: World, row: dict[str, Any]) -> None:
    """An agent that wants to do what a person must allow first."""
    started = world.ago(minutes=22)
    row |= {"attempt": 1, "started_at": started, "worker_id": world.worker(row["role"])}
    add_conversation(world, row | {"status": "completed"}, started, started + timedelta(minutes=4))
    seq = max(m["seq"] for m in world.rows["messages"] if m["task_id"] == row["id"]) + 1
    given = {"path": "migrations/0042_search_trigrams.sql", "content": "create index concurrently …"}
    world.add(
        "tool_calls",
        task_id=row["id"],
        call_id="toolu_to_approve",
        turn=seq,
        place=0,
        tool="write_file",
        actor=row["role"],
        effect="idempotent",
        status="proposed",
        input=json.dumps(given),
        output=None,
        artifact=None,
        needs_approval=True,
        approved_by=None,
        attempt=1,
        proposed_at=world.ago(minutes=18),
        started_at=None,
        finished_at=None,
    )
    use = {"type": "tool_use", "id": "toolu_to_approve", "name": "write_file", "input": given}
    world.add(
        "messages",
        task_id=row["id"],
        seq=seq,
        role="assistant",
        body=json.dumps([{"type": "text", "text": "The index is built without a lock."}, use]),
        stop_reason="tool_use",
        model="claude-sonnet-5-5",
        usage={"input_tokens": 18_000, "output_tokens": 700},
        request_id="req_9",
        cost=0.031,
        simulated=False,
        attempt=1,
        created_at=world.ago(minutes=18),
    )
    world.add(
        "events",
        at=world.ago(minutes=18),
        task_id=row["id"],
        verb="park",
        **{"from": "in_progress", "to": "awaiting_approval"},
        actor="worker ams-agents-1:2114",
        reason="write_file(path=migrations/0042_search_trigrams.sql) needs an approval",
        role=None,
    )
