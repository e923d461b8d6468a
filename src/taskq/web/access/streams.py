"""A stream lasts as long as its listener is welcome, and the server stays."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from starlette.types import Send

from taskq.errors import DatabaseError

LOOK = 2.0
"""Seconds between two looks whether the listener is welcome; what the keyring knows is 5 s old at most."""


async def while_welcome(
    streaming: Coroutine[Any, Any, None] | Awaitable[None],
    send: Send,
    is_welcome: Callable[[], Awaitable[bool]],
    closing: asyncio.Event,
) -> None:
    """Let a stream run until it ends, its listener is no longer welcome, or the server closes."""
    stream = asyncio.ensure_future(streaming)
    watch = asyncio.ensure_future(watched(is_welcome, closing))
    try:
        await asyncio.wait({stream, watch}, return_when=asyncio.FIRST_COMPLETED)
        if stream.done():
            return stream.result()
    finally:
        for task in (stream, watch):
            task.cancel()
        await asyncio.wait({stream, watch})
    watch.result()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def watched(is_welcome: Callable[[], Awaitable[bool]], closing: asyncio.Event) -> None:
    """Returns when the stream is to end."""
    while not closing.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK):
                await closing.wait()
        try:
            if not await is_welcome():
                return
        except DatabaseError:
            continue  # while the database is away nothing can be revoked there
