"""Sync functions, each call in a thread of its own.

Not asyncio.to_thread: a function that never returns would keep one of the executor's threads for ever, and
the executor waits for it at exit.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any


async def run_in_thread(function: Callable[..., Any], *args: Any, name: str) -> Any:
    """What the function returns or raises.  When the caller is cancelled the thread goes on, unheard."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            future.set_exception(error)
        else:  # SystemExit and its like would end the worker, and no future takes a StopIteration
            future.set_exception(RuntimeError(f"it raised {error!r}"))

    def body() -> None:
        result, error = None, None
        try:
            result = function(*args)
        except BaseException as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the worker stopped meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=body, name=name, daemon=True).start()
    return await future
