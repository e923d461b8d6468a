"""What the application works with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from taskq.client import Queue
from taskq.settings import Settings
from taskq.web.access.keyring import Keyring
from taskq.web.feed import Hub
from taskq.web.reads import Reads


@dataclass(frozen=True)
class House:
    """The queue to act on, the reads that are shared, the hub of what happens, the keys of who may come in.

    `operator` is who acts where nobody needs to log in: the user who started the server on his own machine.
    """

    queue: Queue
    reads: Reads
    hub: Hub
    keyring: Keyring
    operator: str

    def changed(self) -> None:
        """This process changed something: look again, now."""
        self.reads.forget()
        self.keyring.forget()
        self.hub.nudge()


@asynccontextmanager
async def open_house(settings: Settings, operator: str) -> AsyncIterator[House]:
    """A house on the database that the settings name, its hub running, for as long as the block lasts."""
    async with Queue(settings=settings) as queue:
        pooled = settings.listen_url is not None
        reads, keyring = Reads(queue.dsn, pooled=pooled), Keyring(queue.dsn, pooled=pooled)
        try:
            async with Hub(reads) as hub:
                yield House(queue, reads, hub, keyring, operator)
        finally:
            await keyring.close()
            await reads.close()


def house_of(connection: HTTPConnection) -> House:
    """The house of the application that this request came to."""
    house: House = connection.app.state.house
    return house
