"""Roles and workers: who plays what, and what waits for whom."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from taskq.web.api.acting import Why
from taskq.web.api.shapes import Shape, shaped
from taskq.web.operations import Call, Operations
from taskq.web.problems import FieldError, Refused

operations = Operations("fleet")


class Role(Shape):
    """A role: what workers declared of it, what waits for it, and who plays it.  Lengths are seconds."""

    role: str
    description: str | None
    kind: str | None
    model: str | None
    repositories: list[str]
    timeout: float | None
    max_attempts: int | None
    ready: int
    scheduled: int
    in_progress: int
    blocked: int
    awaiting_approval: int
    failed_24h: int
    workers: int
    slots: int
    oldest_ready: float | None
    paused: bool
    paused_by: str | None
    paused_reason: str | None
    paused_at: datetime | None
    played_by: list[str]


class Roles(Shape):
    """All roles, by name."""

    roles: list[Role]


@operations.get("/roles", returns=Roles)
async def list_roles(call: Call[None, None]) -> Roles:
    """The roles: what waits for each, what failed in 24 hours, and who plays it."""
    return Roles(roles=[shaped(Role, row) for row in await call.house.reads.fetch("role_rows")])


class Paused(Shape):
    """Whether the role is paused now, and whether this request changed that."""

    role: str
    paused: bool
    changed: bool


@operations.post("/roles/{name:path}/pause", scope="admin", body=Why, returns=Paused)
async def pause_role(call: Call[None, Why]) -> Paused:
    """Have nobody claim a role until it is resumed; what runs goes on."""
    changed = await call.house.queue.pause_role(role_of(call), call.body.reason, call.actor)
    call.house.changed()
    return Paused(role=role_of(call), paused=True, changed=changed)


@operations.post("/roles/{name:path}/resume", scope="admin", body=Why, returns=Paused)
async def resume_role(call: Call[None, Why]) -> Paused:
    """Let workers claim a role again."""
    changed = await call.house.queue.resume_role(role_of(call), call.body.reason, call.actor)
    call.house.changed()
    return Paused(role=role_of(call), paused=False, changed=changed)


def role_of(call: Call[None, Why]) -> str:
    """The role that the path names.

    :raises Refused: no role can have that name.
    """
    role = str(call.path["name"])
    if not 1 <= len(role) <= 200 or "\0" in role:
        message = "a role is a name of 1 to 200 characters"
        raise Refused(422, message, [FieldError("name", message)])
    return role


class Worker(Shape):
    """A live worker; `concurrency` are its slots."""

    id: UUID
    name: str
    roles: list[str]
    concurrency: int
    version: str
    draining: bool
    trouble: str | None
    started_at: datetime
    heartbeat_at: datetime
    running: int


class Workers(Shape):
    """All live workers, by name."""

    workers: list[Worker]


@operations.get("/workers", returns=Workers)
async def list_workers(call: Call[None, None]) -> Workers:
    """The workers that are alive, what they play, and how much they run."""
    return Workers(workers=[shaped(Worker, row) for row in await call.house.reads.fetch("worker_rows")])


class Standing(Shape):
    """How a role stands: `rung` when somebody slept and was woken, `why` what can run and what cannot."""

    role: str
    ready: int
    scheduled: int
    blocked: int
    awaiting_approval: int
    workers: int
    slots: int
    paused: bool
    rung: bool
    why: str


class Dispatched(Shape):
    """How each role stands."""

    roles: list[Standing]


@operations.post("/tasks/dispatch", scope="dispatch", returns=Dispatched)
async def dispatch(call: Call[None, None]) -> Dispatched:
    """Ring the bell for whoever sleeps, and say by role what can run now, what cannot, and why."""
    roles = await call.house.queue.dispatch()
    call.house.changed()
    return Dispatched(roles=[shaped(Standing, row) for row in roles])
