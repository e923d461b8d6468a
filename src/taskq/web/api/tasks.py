"""Tasks: what there is."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from taskq.web.operations import Call, Operations

operations = Operations("tasks")


class Explained(msgspec.Struct, frozen=True):
    """Why a task is where it is."""

    id: UUID
    explain: str


@operations.get("/tasks/{id:uuid}/explain", returns=Explained, refusals=(404,))
async def explain(call: Call[Any, Any]) -> Explained:
    """Why a task is where it is, and what would move it."""
    return Explained(call.id, await call.house.queue.explain(call.id))
