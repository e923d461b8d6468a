"""The fake Messages API as its clients see it: through the real SDK, or byte for byte."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import httpx2

from taskq.testing import FakeMessages, Reply, text

HELLO = Reply([text("Hello, world. This is long enough to come in several pieces.")])
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}
ASK: dict[str, Any] = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
HEADERS = {"x-api-key": "k", "anthropic-version": "2026-10-21"}

CALL = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "x"}
WORDS = {"type": "text", "text": "x"}


def conversation(*messages: tuple[str, Any], **more: Any) -> dict[str, Any]:
    """A request with these messages."""
    return {**ASK, "messages": [{"role": role, "content": content} for role, content in messages], **more}


@asynccontextmanager
async def sdk(fake: FakeMessages, **options: Any) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """The real SDK, connected to the fake over a real port."""
    async with (
        fake.serve() as base_url,
        anthropic.AsyncAnthropic(api_key="k", base_url=base_url, max_retries=0, **options) as client,
    ):
        yield client


async def streamed(client: anthropic.AsyncAnthropic, **changes: Any) -> Any:
    """The message that the SDK makes of a stream."""
    async with client.messages.stream(**{**ASK, **changes}) as stream:
        return await stream.get_final_message()


async def posted(
    fake: FakeMessages, body: Any, path: str = "/v1/messages", **headers: str
) -> httpx2.Response:
    """One plain request, in process."""
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=fake.app), base_url="http://fake"
    ) as client:
        given = {**HEADERS, **headers}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await client.post(path, content=content, headers={k: v for k, v in given.items() if v})


async def events_of(fake: FakeMessages, **changes: Any) -> list[dict[str, Any]]:
    """The events of a stream, decoded, in process."""
    response = await posted(fake, {**ASK, "stream": True, **changes})
    lines = response.text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
