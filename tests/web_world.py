"""A database as it looks on a busy afternoon, for the tests and the screenshots of Mission Control.

For everybody who builds or photographs a page:

    world = await populate(db)              # some missions of agents, programs, workers, budgets; ~1 s
    world.missions["payments"].root         # ids by the names in MISSIONS and the steps in STEPS
    await fill(db, 100_000)                 # so many finished tasks more, over the last week
    python tests/web_world.py DSN [COUNT]   # the same, from the shell, into a migrated database

Rows are inserted with the triggers off (the user of the tests may): every status, attempts with errors,
conversations, tool calls with all effects and outcomes, approvals, alerts, budgets, gates, a paused role, a
role that nobody plays.  The workers have leases of a day, so that they live as long as the test.
The same seed makes the same world, but for its ids and times: it ends now.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg

ARCHITECT, BACKEND, FRONTEND = "SABINE_ARCHITECT", "backend-architect-sabine", "frontend-ops-sabine"
DATA, CHECKER, PRODUCT = "data-ai-engineer-sabine", "fact-checker-sabine", "product-manager-sabine"
QA = "qa-security-sabine"
UNPLAYED = "legal-review"
PAUSED = "crawl_site"
HOSTILE = """<script>alert(1)</script>"><img src=x onerror=alert(2)> ' OR 1=1; --"""
"""A name that a page must show as it is."""

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

PROGRAMS = {
    "resize": (0.35, ("hero.png", "avatar-2291.webp", "product-774.jpg", "map-tile-14-8801.png")),
    "send_digest": (1.8, ("team berlin", "team lisbon", "finance", "all hands")),
    "embed_document": (4.2, ("handbook.md", "RFC 9562", "contract-2026-114.pdf", "minutes-w47.md")),
    "render_report": (21.0, ("weekly revenue", "churn by cohort", "latency p99", "support load")),
}
"""Role of a program → seconds that it takes, names of its tasks."""

ERRORS = (
    (
        "timeout",
        "the attempt took longer than 20 min",
        'File "handlers/render.py", line 88, in draw\n    await page.pdf()',
    ),
    (
        "external_service",
        "503 from https://api.mail.example: try again later",
        'File "mail.py", line 31, in send\n    raise Unavailable(answer)',
    ),
    ("rate_limited", "429: rate_limit_error: 40,000 input tokens per minute", None),
    ("worker_lost", "worker build-3:411 is gone: its session ended", None),
    (
        "validation_error",
        "payload.path: expected `str`, got `null`",
        'File "task.py", line 112, in decode\n    raise ValidationError',
    ),
    ("tool_error", "run_check: exit code 1: 2 of 214 tests failed: test_a_retry_is_idempotent", None),
    ("agent_error", "the model stopped without handing in a result (max_tokens)", None),
    ("budget_exceeded", "mission: cost: 2.50 of 2.50 US dollars are used", None),
)
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
DAY = timedelta(days=1)


def uuid7(at: datetime, rng: random.Random) -> UUID:
    """An id as if it had been made then."""
    bits = (int(at.timestamp() * 1000) << 80) | rng.getrandbits(80)
    return UUID(int=(bits & ~(0xF << 76) & ~(0x3 << 62)) | (7 << 76) | (2 << 62))


@dataclass
class Mission:
    """The ids of a mission's tasks, by step."""

    tasks: dict[str, UUID]

    @property
    def root(self) -> UUID:
        return self.tasks["root"]


@dataclass
class World:
    """What was made, and the rows on their way, by table."""

    rng: random.Random
    now: datetime
    missions: dict[str, Mission] = field(default_factory=dict)
    workers: dict[str, UUID] = field(default_factory=dict)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    lease: int = 1000

    def add(self, table: str, **row: Any) -> dict[str, Any]:
        self.rows.setdefault(table, []).append(row)
        return row

    def ago(self, **length: float) -> datetime:
        return self.now - timedelta(**length)

    def task(self, role: str, created: datetime, status: str = "queued", **more: Any) -> dict[str, Any]:
        """A row of taskq.tasks, with what its status demands."""
        id = more.pop("id", None) or uuid7(created, self.rng)
        row: dict[str, Any] = {
            "id": id,
            "role": role,
            "name": None,
            "payload": {},
            "status": status,
            "priority": 0,
            "run_at": created,
            "depends_on": [],
            "on_dependency_failure": "fail",
            "requires_approval": False,
            "max_attempts": 4,
            "timeout": "20 min",
            "mission_id": id,
            "parent_id": None,
            "created_by": "ada",
            "attempt": 0,
            "crashes": 0,
            "created_at": created,
            "waiting_on": 0,
            "has_dependents": False,
            "awaited": False,
        }
        row |= more
        if status == "in_progress":
            self.lease += 1
            row |= {
                "lease": self.lease,
                "lease_expires_at": self.now + DAY,
                "heartbeat_at": self.now,
                "attempt": row["attempt"] or 1,
                "worker_id": row.get("worker_id") or self.worker(role),
            }
        if status in ("completed", "failed"):
            row |= {"attempt": row["attempt"] or 1, "worker_id": self.worker(role)}
        self.rows.setdefault("tasks", []).append(row)
        return row

    def worker(self, role: str) -> UUID:
        """Who plays a role."""
        plays = "agents-1" if role in AGENTS else "build-1"
        return self.workers[plays] if self.rng.random() < 0.7 else self.workers[plays[:-1] + "2"]


AGENTS = (ARCHITECT, BACKEND, FRONTEND, DATA, CHECKER, PRODUCT, QA)


async def populate(db: asyncpg.Connection, seed: int = 7) -> World:
    """Put the world into a database; returns the ids."""
    world = World(random.Random(seed), datetime.now(UTC))
    add_workers(world)
    for name in MISSIONS:
        add_mission(world, name)
    add_programs(world)
    add_trouble(world)
    add_limits(world)
    await insert(db, world.rows)
    return world


def add_workers(world: World) -> None:
    """Two workers for agents, two for programs (one of them drains), one in trouble."""
    programs = [*PROGRAMS, PAUSED]
    fleet = {
        "agents-1": ("ams-agents-1:2114", list(AGENTS), 6, False, None),
        "agents-2": ("ams-agents-2:977", list(AGENTS), 6, False, None),
        "build-1": ("ams-build-1:31", programs, 20, False, None),
        "build-2": ("ams-build-2:31", programs, 20, True, None),
        "build-3": (
            "fra-build-3:411",
            ["resize"],
            4,
            False,
            "the event loop was blocked for 2.8 s: a handler calls something that is not async",
        ),
    }
    for key, (name, roles, slots, draining, trouble) in fleet.items():
        world.workers[key] = uuid4()
        world.add(
            "workers",
            id=world.workers[key],
            name=name,
            roles=roles,
            concurrency=slots,
            version="0.4.0",
            lease="1 day",
            draining=draining,
            running=0,
            trouble=trouble,
            started_at=world.ago(hours=world.rng.uniform(2, 90)),
            heartbeat_at=world.ago(seconds=world.rng.uniform(1, 14)),
        )
    described = {
        ARCHITECT: "Turns an objective into a design that several engineers can build side by side.",
        BACKEND: "Builds what runs on the server, with the tests that show it.",
        FRONTEND: "Builds what people see and touch, and how it is shipped.",
        DATA: "Builds pipelines, evaluations and what models are fed.",
        CHECKER: "Looks for the source of every figure, and says where there is none.",
        PRODUCT: "Says what is worth doing, for whom, and when it is done.",
        QA: "Tries to prove a result wrong or unsafe before people rely on it.",
        "resize": "Makes the sizes of a picture that pages ask for.",
        "render_report": "Draws a report as a PDF.",
        PAUSED: "Fetches the pages of a site that we may fetch.",
    }
    for role, words in described.items():
        world.add(
            "roles",
            name=role,
            description=words,
            timeout="20 min",
            max_attempts=4,
            backoff=["1 s", "15 s", "1 min"],
            declared_at=world.ago(hours=2),
            kind="agent" if role in AGENTS else "function",
            model=None
            if role not in AGENTS
            else "claude-opus-5-5"
            if role in (ARCHITECT, QA)
            else "claude-sonnet-5-5",
            repositories=["billing", "web-*"] if role in (BACKEND, FRONTEND) else [],
        )
    world.add(
        "role_pauses",
        role=PAUSED,
        reason="The robots.txt of two sites changed; legal looks at it.",
        actor="maria",
        at=world.ago(minutes=47),
    )


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


def add_programs(world: World) -> None:
    """A day of small tasks, more of them by day than by night, some that failed; and what waits now."""
    rng = world.rng
    for _ in range(1400):
        role = rng.choices(list(PROGRAMS), (60, 15, 18, 7))[0]
        seconds, names = PROGRAMS[role]
        created = world.ago(hours=24 * rng.random() ** 1.35)
        started = created + timedelta(seconds=rng.expovariate(1 / 0.8))
        end = started + timedelta(seconds=rng.lognormvariate(0, 0.5) * seconds)
        if end > world.now:
            continue
        failed = rng.random() < (0.012 if role != "render_report" else 0.08)
        kind, message, _traceback = ERRORS[rng.randrange(5)]
        world.task(
            role,
            created,
            "failed" if failed else "completed",
            name=rng.choice(names),
            payload={"path": rng.choice(names), "width": rng.choice((320, 640, 1280))},
            started_at=started,
            finished_at=end,
            created_by="shop",
            **(
                {"error_kind": kind, "error": message, "attempt": 4}
                if failed
                else {"result": {"bytes": rng.randint(4000, 900_000)}}
            ),
        )
    for role in PROGRAMS:
        for n, name in enumerate(PROGRAMS[role][1][: rng.randint(1, 3)]):
            started = world.ago(seconds=rng.uniform(1, 50))
            world.task(
                role,
                started - timedelta(seconds=1),
                "in_progress",
                name=name,
                started_at=started,
                created_by="shop",
                payload={"path": name},
                **({"progress": 0.4, "progress_note": "page 2 of 5"} if role == "render_report" else {}),
            )
            world.task(role, world.ago(seconds=3 + n), name=f"{name}, again", created_by="shop")
    for n in range(3):
        world.task(
            "send_digest", world.ago(hours=1), name=f"digest {n + 1}", run_at=world.now + DAY * (n + 1)
        )


def add_trouble(world: World) -> None:
    """What a person must look at."""
    for n in range(2):
        world.task(
            UNPLAYED,
            world.ago(hours=3 + n),
            name="Terms of the Lisbon contract",
            payload={"contract": 114 + n},
        )
    for n in range(5):
        world.task(PAUSED, world.ago(minutes=40 - n), name=f"https://site-{n}.example/")
    world.task(
        "resize",
        world.ago(hours=2),
        "failed",
        name=HOSTILE,
        error_kind="validation_error",
        error=HOSTILE,
        payload={"path": HOSTILE},
        started_at=world.ago(hours=2),
        finished_at=world.ago(hours=1.99),
        attempt=4,
    )
    world.task(
        "resize",
        world.ago(minutes=52),
        "in_progress",
        name="panorama-40000px.tif",
        started_at=world.ago(minutes=50),
        worker_id=world.workers["build-3"],
        cancel_requested_at=world.ago(minutes=4),
        progress=0.97,
        progress_note="writing tiles",
    )
    text = "anthropic: credit balance is too low; no agent asks it until: taskq gate resume anthropic"
    world.task(
        "alert",
        world.ago(minutes=9),
        name="exhausted:anthropic",
        payload={"kind": "exhausted:anthropic", "text": text},
        dedup_key="alert:exhausted:anthropic",
    )
    world.task(
        PRODUCT,
        world.ago(minutes=33),
        "awaiting_approval",
        name="Say no to dark patterns in onboarding",
        requires_approval=True,
        payload={"objective": "Write down which patterns we never use, and why."},
    )


def add_limits(world: World) -> None:
    """Budgets of roles by day, and the gates of providers."""
    for role, cost in ((ARCHITECT, 20.0), (BACKEND, 30.0), (QA, 12.0)):
        world.add(
            "budgets",
            scope="role",
            key=role,
            day=world.now.date(),
            tokens=None,
            cost=cost,
            turns=None,
            tool_calls=None,
            seconds=None,
            tokens_used=812_345,
            cost_used=round(cost * world.rng.uniform(0.3, 0.95), 4),
            turns_used=210,
            tool_calls_used=530,
            seconds_used=9000,
            set_by="maria",
        )
    gate = {
        "requests_per_minute": 50,
        "tokens_per_minute": 400_000,
        "requests": 31,
        "tokens": 180_000,
        "filled_at": world.now,
        "set_by": "maria",
    }
    world.add("gates", provider="anthropic", model="*", paused_until=None, reason=None, **gate)
    world.add(
        "gates",
        provider="anthropic",
        model="claude-opus-5-5",
        paused_until=world.now + timedelta(minutes=4),
        reason="429 from the provider: 40,000 input tokens per minute",
        **gate,
    )


ORDER = (
    "workers", "roles", "role_pauses", "tasks", "dependencies", "attempts", "events", "messages",
    "tool_calls", "checks", "budgets", "gates",
)  # fmt: skip


async def insert(db: asyncpg.Connection, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Rows into their tables, with the triggers off; then what the planner knows of them."""
    async with db.transaction():
        await db.execute("set local session_replication_role = replica")
        for table in ORDER:
            columns = sorted({column for row in rows.get(table, []) for column in row})
            if columns:
                names = ", ".join(f'"{column}"' for column in columns)
                copied = f"select {names} from jsonb_populate_recordset(null::taskq.{table}, $1::text::jsonb)"  # noqa: S608
                await db.execute(
                    f"insert into taskq.{table} ({names}) {copied}", json.dumps(rows[table], default=str)
                )
        await db.execute("select setval('taskq.lease_numbers', 100000)")
    await db.execute("analyze taskq.tasks, taskq.messages, taskq.tool_calls, taskq.events")


async def fill(db: asyncpg.Connection, count: int) -> None:
    """So many finished tasks more, over the last week, and agents' rounds among them: to see what is slow."""
    async with db.transaction():
        await db.execute("set local session_replication_role = replica")
        await db.execute((Path(__file__).parent / "web_world.sql").read_text(), count)
    await db.execute("vacuum analyze taskq.tasks")


async def main(dsn: str, count: int = 0) -> None:
    db = await asyncpg.connect(dsn)
    try:
        await populate(db)
        if count:
            await fill(db, count)
    finally:
        await db.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:3])))
