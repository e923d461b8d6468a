"""The worker of taskq as it is measured, which is as people run it: `python -m bench.worker_process …`."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from bench import child
from taskq import App, Task
from taskq.settings import Settings
from taskq.worker import run_worker


def roles(orders: child.Orders) -> App:
    """The roles that are measured with."""
    app, counter = App(), child.Counter(orders)

    @app.role("noop")
    async def noop(task: Task) -> dict[str, Any]:
        """Do nothing."""
        counter.one()
        return child.RESULT

    @app.role("stamp")
    async def stamp(task: Task) -> dict[str, Any]:
        """When it started, in nanoseconds of the monotonic clock."""
        return {"started": time.monotonic_ns()}

    @app.role("hold")
    async def hold(task: Task) -> None:
        """Run until the worker ends."""
        child.say("started", time.monotonic_ns())
        await asyncio.sleep(3600)

    return app


if __name__ == "__main__":
    orders = child.begin()
    run_worker(
        partial(roles, orders),
        settings=Settings(database_url=orders.dsn),
        roles=[orders.role],
        concurrency=orders.slots,
    )
