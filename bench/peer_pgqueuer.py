"""pgqueuer's worker as it is measured: uvloop, batches of 100, as many at once as it likes."""

from __future__ import annotations

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.models import Job

from bench import child

BATCH = 100


async def work(orders: child.Orders) -> None:
    """Its queue manager until SIGTERM."""
    counter = child.Counter(orders)
    queuer = PgQueuer.from_asyncpg_connection(await asyncpg.connect(orders.dsn))

    @queuer.entrypoint("noop")
    async def noop(job: Job) -> None:
        counter.one()

    queuer.shutdown = queuer.qm.shutdown = child.terminated()
    await queuer.qm.run(batch_size=BATCH)


if __name__ == "__main__":
    child.main(work)
