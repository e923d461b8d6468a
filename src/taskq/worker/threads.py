"""The way back to the database for a sync handler in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from taskq.task import Line, SyncTask


class ThreadLine:
    """The way back for a handler in a thread: its calls are made on the worker's loop."""

    def __init__(self, line: Line, task: SyncTask) -> None:
        self._line, self._task, self._loop = line, task, asyncio.get_running_loop()

    def progress(self, fraction: float | None, note: str | None) -> None:
        self._call(self._line.progress(self._task, fraction, note))

    def log(self, text: str) -> None:
        self._call(self._line.log(self._task, text))

    def _call(self, call: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(call, self._loop).result()
