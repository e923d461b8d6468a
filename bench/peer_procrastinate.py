"""procrastinate's worker as it is measured: uvloop, and the ordered number of slots as its concurrency."""

from __future__ import annotations

from procrastinate import App, PsycopgConnector

from bench import child


def app(dsn: str) -> App:
    """An app with the one task."""
    return App(connector=PsycopgConnector(conninfo=dsn))


async def work(orders: child.Orders) -> None:
    """Its worker until SIGTERM."""
    counter = child.Counter(orders)
    peer = app(orders.dsn)

    @peer.task(name="noop")
    async def noop(n: int) -> dict[str, bool]:
        counter.one()
        return child.RESULT

    async with peer.open_async():
        await peer.run_worker_async(concurrency=orders.slots)


if __name__ == "__main__":
    child.main(work)
