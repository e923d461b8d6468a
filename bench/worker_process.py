"""The worker of taskq as it is measured: `python -m bench.worker_process --dsn … --slots …`."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

from bench import child
from taskq import App, Task
from taskq.settings import Settings
from taskq.worker import Worker


def roles(counter: child.Counter) -> App:
    """The roles that are measured with."""
    app = App()

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


async def work(orders: child.Orders) -> None:
    """One worker until SIGTERM."""
    worker = Worker(
        roles(child.Counter(orders)),
        dsn=orders.dsn,
        settings=Settings(),
        roles=[orders.role],
        concurrency=orders.slots,
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.drain)
    await worker.run()


if __name__ == "__main__":
    child.main(work)
