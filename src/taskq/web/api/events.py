"""Events: what happens, as a stream."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any
from uuid import UUID

import msgspec
from starlette.responses import Response

from taskq.web.feed import Hub
from taskq.web.feed.event import RESET, Event, Position
from taskq.web.feed.sse import RETRY, Streaming, alive, message
from taskq.web.operations import Call, Operations

operations = Operations("events")
LONGEST = 86_400.0


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to hear of: of each kind any of those named, and of all kinds at once."""

    role: list[str] = []
    mission: list[UUID] = []
    task: list[UUID] = []
    verb: list[str] = []
    seconds: Annotated[float, msgspec.Meta(gt=0, le=LONGEST, description="End after so many seconds.")] = (
        LONGEST
    )

    def passes(self, event: Event) -> bool:
        """Whether an event is to be heard; a reset always is."""
        return event.verb == RESET or (
            (not self.role or event.role in self.role)
            and (not self.mission or event.mission_id in self.mission)
            and (not self.task or event.task_id in self.task)
            and (not self.verb or event.verb in self.verb)
        )


@operations.get("/events", query=Filter, returns=Event, media_type="text/event-stream")
async def events(call: Call[Filter, Any]) -> Response:
    """Everything that happens, as server-sent events.

    Each message is named by the event's verb and carries its id; a client that comes again with the last
    one as Last-Event-ID hears what it missed, across a restart of the server too.  Each event is told at
    least once, and normally once.  `reset` says that more was missed than can be told: load again what you
    show.
    """
    last = call.request.headers.get("last-event-id")
    after = Position.parse(last) if last is not None else None
    return Streaming(told(call.house.hub, call.query, after, is_lost=last is not None and after is None))


async def told(
    hub: Hub, filter: Filter, after: Position | None, *, is_lost: bool
) -> AsyncGenerator[bytes, None]:
    """The messages of one stream, until the server or the time of the stream ends."""
    with hub.stream():
        begun = await hub.begun()
        happening = hub.events(after, time.monotonic() + filter.seconds)
        yield RETRY + alive(str(hub.position) if begun and after is None else "")
        if is_lost or not begun:
            yield written(hub.reset("where you were is not known"))
        async for found, position in happening:
            heard = [written(event) for event in found if filter.passes(event)]
            yield b"".join(heard) or alive(str(position))


def written(event: Event) -> bytes:
    """An event as a message."""
    return message(msgspec.json.encode(event), event=event.verb, id=event.id)
