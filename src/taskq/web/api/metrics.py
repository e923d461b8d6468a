"""Metrics: how much, how fast, how well."""

from __future__ import annotations

from typing import Any

from taskq.web.figures import TaskFigures, task_figures
from taskq.web.operations import Call, Operations

operations = Operations("metrics")


@operations.get("/metrics/tasks", returns=TaskFigures)
async def task_metrics(call: Call[Any, Any]) -> TaskFigures:
    """The figures of the queue: what there is now; of the last 24 hours, what ended, how long it waited and
    took.

    They are counted at most every 30 seconds.
    """
    return await task_figures(call.house.reads)
