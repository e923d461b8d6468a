"""A reply as a stream, with what a script lets go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from taskq.testing.events import Event, encode
from taskq.testing.faults import Cut, Drip, ErrorEvent, Extra, Fault, Garbage, Reset, Stall
from taskq.testing.reply import Reply
from taskq.testing.response import Response


class Ended(Exception):
    """A fault has ended the stream, as a stream ends."""


async def stream(response: Response, events: Iterator[Event], reply: Reply, latency: float) -> bool:
    """Send the events, `latency` seconds before each; returns whether all were sent.

    :raises Dropped: a fault drops the connection.
    """
    flow = _Flow(response, reply)
    try:
        for at, event in enumerate(events):
            await flow.suffer(at)
            # A sleep of 0 lets the other streams have their turn.
            await asyncio.sleep(latency)
            if response.is_closed:
                return True
            await flow.write(encode(event))
        await flow.suffer(None)
    except Ended:
        return False
    await response.end()
    return True


class _Flow:
    """The stream's bytes, and the faults that are still to come."""

    def __init__(self, response: Response, reply: Reply) -> None:
        self._response = response
        self._faults = reply.faults
        self._chunk = reply.pieces.chunk
        self._pause = 0.0

    async def write(self, data: bytes) -> None:
        await self._response.write(data, chunk=self._chunk, pause=self._pause)

    async def suffer(self, at: int | None) -> None:
        """Let happen what is due before the event with this number; None is after the last one."""
        while self._faults and (at is None or self._faults[0].after <= at):
            await self._suffer(self._faults.pop(0))

    async def _suffer(self, fault: Fault) -> None:
        match fault:
            case Stall():
                await self._response.wait(fault.seconds)
            case Drip():
                self._chunk, self._pause = fault.size, fault.seconds
            case Extra():
                await self.write(encode(fault.event))
            case Garbage():
                await self.write(fault.line)
            case ErrorEvent():
                error = {"type": fault.type, "message": fault.message}
                said = {"type": "error", "error": error, "request_id": self._response.arrival.request_id}
                await self.write(encode(said))
                await self._end()
            case Cut(clean=True):
                await self._end()
            case Cut():
                await self._response.drop(hard=False)
            case Reset():
                await self._response.drop(hard=True)

    async def _end(self) -> None:
        await self._response.end()
        raise Ended
