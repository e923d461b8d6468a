"""What a handler may count on after a crash: steps, sleeps, signals and children.

Each has a name of its own within the task.  A handler that starts again walks through the same calls;
what is recorded (`taskq.steps`) is returned at once, and the first that is not is done.  While it waits it
holds nothing: `Suspended` carries it out of its attempt, and a later attempt comes back to the same place.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from taskq.errors import Fail, Suspended

LARGEST: Final = 1 << 20
"""Bytes of JSON that one step may record."""


class Done(msgspec.Struct, frozen=True):
    """How a task ended: completed, failed or cancelled; its result, or the kind and text of its error."""

    id: UUID
    status: str
    result: Any
    error_kind: str | None
    error: str | None


class Diary:
    """What one attempt knows: the steps of earlier attempts, and the names that it has used itself."""

    __slots__ = ("recorded", "used")

    def __init__(self) -> None:
        self.recorded: dict[str, tuple[str, str | None]] | None = None
        self.used: set[str] = set()

    def use(self, name: str, what: str) -> None:
        """Take a name.

        :raises Fail: it is taken.
        """
        if name in self.used:
            raise Fail(
                f"{what} {name!r}: the name is used twice in this attempt; give each call one of its own, "
                "such as with a number in a loop",
                kind="validation_error",
            )
        self.used.add(name)


class Durable:
    """The durable half of `Task`.  All of it raises `LeaseLost` when another worker owns the task now."""

    __slots__ = ()

    @property
    def _diary(self) -> Diary:
        raise NotImplementedError

    async def call(self, query: str, *args: Any) -> Any:
        """See `Task.call`."""
        raise NotImplementedError

    async def rows(self, query: str, *args: Any) -> list[Any]:
        """See `Task.rows`."""
        raise NotImplementedError

    async def step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call the function once; its result is recorded, and returned ever after without a call.

        What it raises is not recorded, and a crash between the call and the record runs it again.  A sync
        function runs on the event loop: for one that blocks, `task.step(name, asyncio.to_thread, function)`.

        :returns: the result as it was recorded: decoded from JSON, the first time too.
        :raises Fail: the result is no JSON or has more than 1 MB, or the name is used twice.
        """
        self._diary.use(name, "step")
        if (recorded := await self._recall(name, "step")) is not None:
            return msgspec.json.decode(recorded)
        try:
            result = function(*args, **kwargs)
            if inspect.isawaitable(result):
                result = await result
        except Exception:
            self._diary.used.discard(name)  # the handler may try again
            raise
        text = as_json(name, result)
        await self.call("record_step", name, text)
        return msgspec.json.decode(text)

    async def sleep(self, name: str, length: timedelta) -> None:
        """Sleep without a slot, once: until `length` after the first call, whatever happens meanwhile.

        :raises Suspended: for the worker, not for you.
        """
        self._diary.use(name, "sleep")
        if await self._recall(name, "sleep") is None:
            left = await self.call("sleep", name, length)
            if left is None:
                raise Suspended
            await asyncio.sleep(left)

    async def signal(self, name: str, timeout: timedelta | None = None) -> Any:
        """Wait without a slot until somebody sends this signal: `taskq signal ID NAME PAYLOAD`.

        :param timeout: how long, from the first call on.
        :returns: its payload.
        :raises TimeoutError: it was not sent in time, now or in an earlier attempt.
        :raises Suspended: for the worker, not for you.
        """
        self._diary.use(name, "signal")
        if (payload := await self._recall(name, "signal")) is None:
            outcome, payload = (await self.rows("await_signal", name, timeout))[0]
            if outcome == "waits":
                raise Suspended
            if outcome == "over":
                payload = ""
        if not payload:
            raise TimeoutError(f"signal {name!r} was not sent in time")
        return msgspec.json.decode(payload)

    async def spawn(self, tasks: Sequence[Mapping[str, Any]], *, key: str | None = None) -> list[Done]:
        """Insert children and wait for them without a slot.

        :param tasks: as for `Queue.enqueue_many`; they belong to this task and its mission.
        :param key: the name of this step, `spawn` if None: the same key again is the same children.
        :returns: how they ended, in the order given; a child that a person retried later is waited for again.
        :raises InvalidTask: one is refused, or there are too many (100) or they are too deep (8 levels).
        :raises Suspended: for the worker, not for you.
        """
        name = "spawn" if key is None else key
        self._diary.use(name, "spawn")
        text = as_json(name, [{column: plain(value) for column, value in task.items()} for task in tasks])
        children, waits = (await self.rows("spawn", name, text))[0]
        if waits:
            raise Suspended
        return [
            Done(id, status, None if result is None else msgspec.json.decode(result), kind, error)
            for id, status, result, kind, error in await self.rows("outcomes", children)
        ]

    async def _recall(self, name: str, kind: str) -> str | None:
        """What is recorded of this step, '' for no result; None while it is not done.

        The database is asked once an attempt.

        :raises Fail: the name is that of something else.
        """
        diary = self._diary
        if diary.recorded is None:
            diary.recorded = {row[0]: (row[1], row[2]) for row in await self.rows("recall")}
        if name not in diary.recorded:
            return None
        was, result = diary.recorded[name]
        if was != kind:
            raise Fail(
                f"{kind} {name!r}: an earlier attempt recorded a {was} of this name; give it another",
                kind="validation_error",
            )
        return result or ""


def as_json(name: str, value: Any) -> str:
    """The JSON text of what a step has to keep.

    :raises Fail: it has none, or too long a one.
    """
    try:
        text = msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise Fail(f"step {name!r}: this is no JSON: {error}", kind="validation_error") from error
    if len(text) > LARGEST:
        raise Fail(
            f"step {name!r}: {len(text):,} bytes of JSON; at most 1 MB is recorded: keep it in a file or "
            "a table of your own, and return where it is",
            kind="validation_error",
        )
    return text.decode()


def plain(value: Any) -> Any:
    """A column's value as JSON can say it."""
    return interval(value) if isinstance(value, timedelta) else value


def interval(length: timedelta) -> str:
    """A length of time as Postgres reads it, to the microsecond; a day is 24 hours whatever the clocks do."""
    return f"{length // timedelta(microseconds=1)} microseconds"
