"""GET /live: tells an open page that what it shows is out of date."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskq.web.access import visitor_of
from taskq.web.feed.hub import Hub
from taskq.web.feed.sse import KEEP_ALIVE, RETRY, Streaming, alive, message
from taskq.web.feed.topics import TOPIC
from taskq.web.problems import FieldError, Refused

MOST_TOPICS = 10
LONGEST_PAGE = 2000


def live(hub: Hub) -> Route:
    """The route: `/live?topic=tasks&topic=mission:ID&page=/missions/ID`.

    Pages of the same address are told at the same moment.
    """

    async def endpoint(request: Request) -> Response:
        if not visitor_of(request).may("read"):
            raise Refused(403, "this takes a token with the scope read")
        topics = request.query_params.getlist("topic")
        wrong = [topic for topic in topics if not TOPIC.fullmatch(topic)]
        if wrong or not 1 <= len(topics) <= MOST_TOPICS:
            said = f"{wrong[0][:100]!r} is no topic" if wrong else f"1 to {MOST_TOPICS} topics"
            raise Refused(422, said, [FieldError("topic", said)])
        page = request.query_params.get("page", "")[:LONGEST_PAGE]
        return Streaming(told(hub, page, frozenset(topics)))

    return Route("/live", endpoint)


async def told(hub: Hub, page: str, topics: frozenset[str]) -> AsyncGenerator[bytes, None]:
    """What the page hears: `dirty`, with the topics that are."""
    with hub.page(page, topics) as ear:
        await hub.begun()
        yield RETRY
        while not hub.is_closing:
            dirty = await ear.hear(KEEP_ALIVE)
            yield message(" ".join(sorted(dirty)).encode(), event="dirty") if dirty else alive()
