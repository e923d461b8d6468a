"""A task that is there if and only if your own row is: one transaction for both.

    python examples/transaction.py

Places two orders; the second is rolled back, and its receipt with it.  Runs on TASKQ_DATABASE_URL, else on
the embedded server, with a worker in this very process.  The table of orders is a temporary one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg

from taskq import App, Queue, Task
from taskq.settings import Settings
from taskq.worker import Worker

SHOP = f"shop {uuid4()}"
app = App()


class OutOfStock(Exception):
    """The order cannot be delivered."""


@app.role("send-receipt")
async def send_receipt(task: Task) -> str:
    """Stands for sending an e-mail."""
    return f"receipt for order {task.payload['order']}"


async def place_order(connection: asyncpg.Connection, queue: Queue, item: str, stock: int) -> UUID:
    """Keep an order and enqueue its receipt; returns the id of the task.

    :raises OutOfStock: nothing was kept, and no receipt will be sent.
    """
    async with connection.transaction():
        order = await connection.fetchval("insert into orders (item) values ($1) returning id", item)
        receipt = await queue.enqueue(
            "send-receipt", {"order": order}, created_by=SHOP, connection=connection
        )
        if stock == 0:
            raise OutOfStock(item)
        return receipt


async def main() -> None:
    async with Queue() as queue:
        worker = Worker(app, dsn=queue.dsn, settings=Settings.read())
        working = asyncio.create_task(worker.run())
        connection = await asyncpg.connect(queue.dsn)
        try:
            await connection.execute(
                "create temporary table orders (id integer generated always as identity, item text)"
            )
            receipt = await place_order(connection, queue, "lamp", stock=3)
            with suppress(OutOfStock):
                await place_order(connection, queue, "chair", stock=0)
            print(await queue.result(receipt, timeout=timedelta(minutes=1)))
            orders = await connection.fetchval("select count(*) from orders")
            receipts = await connection.fetchval(
                "select count(*) from taskq.tasks where created_by = $1", SHOP
            )
            print(f"{orders} order, {receipts} receipt")
        finally:
            await connection.close()
            worker.drain()
            await working


if __name__ == "__main__":
    asyncio.run(main())
