"""A stream lasts no longer than its listener is welcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Message, Send

from taskq.errors import DatabaseError

LOOK = 2.0
"""Seconds between two looks whether the listener is welcome; what the keyring knows is 5 s old at most."""


async def while_welcome(
    streaming: Callable[[Send], Awaitable[None]], send: Send, is_welcome: Callable[[], Awaitable[bool]]
) -> None:
    """Let a stream run until it ends, or its listener is no longer welcome."""
    has_begun = False

    async def sending(message: Message) -> None:
        nonlocal has_begun
        has_begun = True
        await send(message)

    stream = asyncio.ensure_future(streaming(sending))
    watch = asyncio.ensure_future(until_unwelcome(is_welcome))
    try:
        await asyncio.wait({stream, watch}, return_when=asyncio.FIRST_COMPLETED)
        if stream.done():
            return stream.result()
    finally:
        for task in (stream, watch):
            task.cancel()
        await asyncio.wait({stream, watch})
    watch.result()
    if has_begun:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def until_unwelcome(is_welcome: Callable[[], Awaitable[bool]]) -> None:
    """Returns when the listener is no longer welcome."""
    while True:
        await asyncio.sleep(LOOK)
        try:
            if not await is_welcome():
                return
        except DatabaseError:
            continue  # while the database is away nothing can be revoked there
