"""The Messages API that agents are measured with, in a process of its own: `python -m bench.fake_api …`.

It says `serving PORT 0` once it does.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from bench import child
from taskq.testing import FakeMessages, Reply, by_turn, text, tool_use

TURNS = 3
DELTAS = 20
"""Of text in each turn; the call and the frame of a message add some ten events."""

WORDS = "It looks on, and thinks. " * DELTAS


async def serve(orders: child.Orders) -> None:
    """Stream an event every so many seconds to everybody, until the process is told to end."""
    look = Reply([text(WORDS), tool_use("list_dir", {"path": "."})])
    done = Reply([text(WORDS), tool_use("submit_result", {"summary": "All is well."})])
    fake = FakeMessages(by_turn(*[look] * (TURNS - 1), done), latency=orders.every)
    async with fake.serve() as base_url:
        child.say("serving", urlsplit(base_url).port, 0)
        await child.terminated().wait()


if __name__ == "__main__":
    child.main(serve)
