"""Status: is it all well?"""

from __future__ import annotations

from typing import Any

from taskq.web.operations import Call, Operations
from taskq.web.standing import Standing, standing

operations = Operations("orchestration")


@operations.get("/orchestration/status", returns=Standing)
async def orchestration_status(call: Call[Any, Any]) -> Standing:
    """Whether all is well: workers, roles that nobody plays or that are paused, what is stuck, stale or
    orphaned."""
    return await standing(call.house.reads)
