"""Missions of agents for web_world.py: how far each came, its attempts, conversations and tool calls."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from web_world_rows import (
    ARCHITECT,
    BACKEND,
    CHECKER,
    DATA,
    ERRORS,
    FRONTEND,
    PRODUCT,
    QA,
    Mission,
    World,
    uuid7,
)
from web_world_talk import add_call_to_approve, add_conversation

STEPS = {
    "root": (ARCHITECT, ()),
    "backend": (BACKEND, ("root",)),
    "frontend": (FRONTEND, ("root",)),
    "data": (DATA, ("root",)),
    "qa": (QA, ("backend", "frontend", "data")),
    "facts": (CHECKER, ("qa",)),
    "report": (PRODUCT, ("qa", "facts")),
}
"""A mission: step → its role and what it depends on."""

MISSIONS: dict[str, tuple[str, str, float]] = {
    "payments": ("Payment retries that never charge twice", "running", 0.6),
    "search": ("Search that forgives typing errors", "approval", 1.4),
    "limits": ("Fair rate limits for the public API", "queued", 0.2),
    "booking": ("A booking form that a screen reader can use", "done", 5.5),
    "upgrade": ("Move billing to PostgreSQL 18", "failed", 7.0),
    "invoices": ("Invoices as PDF/A, archived for ten years", "done", 9.0),
    "sessions": ("Session tokens that rotate", "done", 13.0),
    "report": ("Check the figures of the Q3 report", "cancelled", 16.0),
    "onboarding": ("Onboarding in under two minutes", "done", 20.0),
    "export": ("Export of personal data on request", "running", 1.0),
    "logs": ("Structured logs without personal data", "done", 22.0),
    "images": ("Thumbnails at upload instead of at view", "failed", 3.0),
}
"""Name → its title, how far it came, and how many hours ago it began."""


def add_mission(world: World, name: str) -> None:
    """A mission, as far as it came."""
    title, stage, hours = MISSIONS[name]
    begun = world.ago(hours=hours)
    mission = world.missions[name] = Mission(
        {step: uuid7(begun + timedelta(milliseconds=n), world.rng) for n, step in enumerate(STEPS)}
    )
    statuses = stage_of(stage)
    ends: dict[str, datetime] = {}
    for step, (role, needs) in STEPS.items():
        status = statuses[step]
        begin = max([begun, *(ends[need] for need in needs)])
        row = world.task(
            role,
            begun,
            status,
            id=mission.tasks[step],
            name=title if step == "root" else f"{title}: {step}",
            payload={
                "objective": f"{title}. Your part is: {step}.\n\n- keep what exists\n- show how you know",
                "repository": "billing",
            },
            mission_id=mission.root,
            parent_id=None if step == "root" else mission.root,
            depends_on=[mission.tasks[need] for need in needs],
            has_dependents=step != "report",
            waiting_on=sum(statuses[need] != "completed" for need in needs) if status == "blocked" else 0,
            created_by="ada" if step == "root" else ARCHITECT,
            priority=5 if name == "payments" else 0,
        )
        for need in needs:
            world.add(
                "dependencies",
                task_id=row["id"],
                depends_on=mission.tasks[need],
                on_failure="fail",
                met=status != "blocked",
            )
        if status in ("completed", "failed", "in_progress"):
            ends[step] = add_run(world, row, begin)
            continue
        elif status == "awaiting_approval":
            add_call_to_approve(world, row)
        elif status == "queued":
            row["run_at"] = max(begin, world.ago(minutes=2))
        elif status == "cancelled":
            row |= {
                "finished_at": begin + timedelta(minutes=2),
                "error_kind": "cancelled",
                "error": "cancelled by ada: the board wants the figures by region",
            }
            world.add(
                "events",
                at=row["finished_at"],
                task_id=row["id"],
                verb="cancel",
                **{"from": "blocked", "to": "cancelled"},
                actor="ada",
                reason="the board wants the figures by region",
                role=None,
            )
        ends[step] = begin
    for scope, key, cost in (("mission", mission.root, 2.5), ("task", mission.tasks["backend"], 1.0)):
        world.add(
            "budgets",
            scope=scope,
            key=str(key),
            day=None,
            tokens=400_000,
            cost=cost,
            turns=80,
            tool_calls=None,
            seconds=None,
            tokens_used=round(world.rng.uniform(0.2, 0.9) * 400_000),
            cost_used=round(world.rng.uniform(0.2, 0.95) * cost, 4),
            turns_used=world.rng.randint(8, 60),
            tool_calls_used=world.rng.randint(8, 90),
            seconds_used=world.rng.uniform(200, 2000),
            set_by="ada" if scope == "mission" else None,
        )


def stage_of(stage: str) -> dict[str, str]:
    """The status of each step when a mission came so far."""
    done = dict.fromkeys(STEPS, "completed")
    later = {"qa": "blocked", "facts": "blocked", "report": "blocked"}
    fallen = dict.fromkeys(later, "failed")
    return {
        "done": done,
        "queued": dict.fromkeys(STEPS, "blocked") | {"root": "queued"},
        "running": done | {"backend": "in_progress", "data": "in_progress"} | later,
        "approval": done | {"backend": "awaiting_approval", "frontend": "in_progress"} | later,
        "failed": done | {"data": "failed"} | fallen,
        "cancelled": done | {"data": "cancelled"} | dict.fromkeys(later, "cancelled"),
    }[stage]


def add_run(world: World, row: dict[str, Any], begin: datetime) -> datetime:
    """How a task was worked on, its errors and its conversation; returns its end."""
    rng = world.rng
    if row["status"] == "failed" and row["role"] != DATA:
        row |= {
            "error_kind": "dependency_failed",
            "error": "data failed: timeout",
            "finished_at": begin,
            "attempt": 0,
            "worker_id": None,
        }
        return begin
    length = timedelta(minutes=rng.uniform(2, 9))
    started = begin + timedelta(seconds=rng.uniform(0.05, 4))
    row["run_at"] = begin
    running = row["status"] == "in_progress"
    failures = 3 if row["status"] == "failed" else rng.choice((0, 0, 0, 0, 1, 2))
    for n in range(failures):
        kind, message, traceback = (
            ERRORS[rng.randrange(len(ERRORS))] if row["status"] != "failed" else ERRORS[0]
        )
        world.lease += 1
        world.add(
            "attempts",
            task_id=row["id"],
            attempt=n + 1,
            lease=world.lease,
            worker_id=row["worker_id"],
            kind=kind,
            message=message,
            traceback=traceback,
            started_at=started,
            finished_at=started + length / 3,
        )
        world.add(
            "events",
            at=started + length / 3,
            task_id=row["id"],
            verb="retry",
            **{"from": "in_progress", "to": "queued"},
            actor="worker ams-agents-1:2114",
            reason=f"{kind}: {message}",
            role=None,
        )
        started += length / 3 + timedelta(seconds=15)
        row["run_at"] = started - timedelta(seconds=0.4)
    if running:
        started = min(max(started, world.ago(minutes=rng.uniform(3, 12))), world.ago(minutes=2))
    row |= {"attempt": failures + (row["status"] != "failed") or 1, "started_at": started}
    if failures and row["status"] != "completed":
        row |= {"error_kind": kind, "error": message}
    if running:
        row |= {
            "progress": round(rng.uniform(0.15, 0.9), 2),
            "progress_note": rng.choice(
                ("grep idempotency_key src", "read_file src/billing/ledger.py", "turn 7 of 12")
            ),
        }
        end = world.now
    else:
        end = min(started + length, world.now)
        row["finished_at"] = end
    add_conversation(world, row, started, end)
    if row["status"] == "failed":
        world.add(
            "events",
            at=end,
            task_id=row["id"],
            verb="fail",
            **{"from": "in_progress", "to": "failed"},
            actor="worker ams-agents-2:977",
            reason=f"{row['error_kind']}: {row['error']}",
            role=None,
        )
    if row["status"] == "completed":
        row["result"] = {
            "response": {
                "summary": f"Done: {row['name']}. Every retry carries the key of its first attempt.",
                "findings": ["A charge is one row per key.", "The ledger refuses a second."],
            },
            "usage": {"input_tokens": 48_210, "output_tokens": 5_120},
            "cost": round(rng.uniform(0.04, 0.62), 6),
            "tools": {"read_file": 4, "grep": 3},
            "turns": rng.randint(4, 11),
            "resumed_turns": 0,
            "model": "claude-sonnet-5-5",
            "simulated": False,
        }
        for check in ("submitted", "paths exist", "tests"):
            world.add("checks", task_id=row["id"], round=1, name=check, passed=True, detail=None, at=end)
    return end
