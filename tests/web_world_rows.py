"""The rows of the world of web_world.py on their way, and the words that they are made of."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

ARCHITECT, BACKEND, FRONTEND = "SABINE_ARCHITECT", "backend-architect-sabine", "frontend-ops-sabine"
DATA, CHECKER, PRODUCT = "data-ai-engineer-sabine", "fact-checker-sabine", "product-manager-sabine"
QA = "qa-security-sabine"
UNPLAYED = "legal-review"
PAUSED = "crawl_site"
HOSTILE = """<script>alert(1)</script>"><img src=x onerror=alert(2)> ' OR 1=1; --"""
"""A name that a page must show as it is."""
AGENTS = (ARCHITECT, BACKEND, FRONTEND, DATA, CHECKER, PRODUCT, QA)

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
