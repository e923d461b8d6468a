"""The streams, over HTTP, from a real `taskq serve`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from fake_worker import FakeWorker
from graphs import ROLE, insert
from mission_control import MissionControl, serving
from support import eventually
from taskq import Queue
from taskq.embedded import Server
from web_client import client, make_token

EVENTS = "/api/v1/events"


class Listener:
    """Hears a stream of server-sent events."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.last_id: str | None = None

    async def next(self) -> tuple[str, Any]:
        """The next message: its name and what it says; keep-alives are passed over."""
        name, data = "", ""
        async for line in self._lines:
            field, _, value = line.partition(": ")
            match field:
                case "id":
                    self.last_id = value
                case "event":
                    name = value
                case "data":
                    data = value
                case "" if data:
                    return name, json.loads(data) if data.startswith("{") else data
                case _:
                    pass
        raise EOFError

    async def until(self, name: str, **fields: Any) -> Any:
        """The next message of this name with these fields."""

        async def search() -> Any:
            while True:
                heard, said = await self.next()
                if heard == name and all(said[key] == value for key, value in fields.items()):
                    return said

        return await asyncio.wait_for(search(), 20)


@asynccontextmanager
async def listening(url: str, path: str, last_id: str | None = None) -> AsyncIterator[Listener]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with (
        httpx2.AsyncClient(base_url=url, timeout=30) as http,
        http.stream("GET", path, headers=headers) as response,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.aiter_lines()
        listener = Listener(lines)
        async for line in lines:  # the first block says that it listens
            if line.startswith((": alive", "id:")):
                listener.last_id = line.removeprefix("id: ") if line.startswith("id:") else None
                if listener.last_id or last_id:
                    break
            if line.startswith("retry") and path.startswith("/live"):
                break
        yield listener


@pytest.fixture
async def control(dsn: str) -> AsyncIterator[MissionControl]:
    async with serving(dsn) as found:
        yield found


async def test_a_stream_tells_what_happens_and_only_what_was_asked_for(control, db) -> None:
    worker = await FakeWorker(db, ROLE).register()
    async with (
        listening(control.url, f"{EVENTS}?role={ROLE}&verb=completed&verb=fail") as some,
        listening(control.url, EVENTS) as everything,
    ):
        other = await insert(db, "other")
        id = await insert(db, name="hers")
        await worker.complete(await worker.claim_one())
        said = await some.until("completed")
        assert said["task_id"] == said["mission_id"] == str(id) and said["role"] == ROLE
        assert set(said) == {
            "id", "at", "verb", "task_id", "mission_id", "parent_id", "role", "status", "actor", "detail",
        }  # fmt: skip
        assert some.last_id == said["id"]
        assert (await everything.until("created", task_id=str(other)))["detail"] is None
        assert (await everything.until("created", task_id=str(id)))["detail"] == "hers"
        await everything.until("started", task_id=str(id))
        await everything.until("completed", task_id=str(id))


async def test_a_stream_goes_on_where_it_was_when_the_server_is_killed_and_comes_again(
    control, queue
) -> None:
    async with listening(control.url, EVENTS) as listener:
        first = await queue.enqueue("r")
        await listener.until("created", task_id=str(first))
    await control.kill()
    missed = [await queue.enqueue("r") for _ in range(3)]
    await queue.cancel(missed[0], "no", "ada")
    await control.start()
    async with listening(control.url, EVENTS, listener.last_id) as again:
        for id in missed:
            await again.until("created", task_id=str(id))
        await again.until("cancel", task_id=str(missed[0]), actor="ada")
        last = await queue.enqueue("r")
        await again.until("created", task_id=str(last))


async def test_what_cannot_be_told_any_more_is_a_reset(control) -> None:
    for long_ago in ("1000-1", "nonsense"):
        async with listening(control.url, EVENTS, long_ago) as listener:
            said = await listener.until("reset")
            assert "load again" in said["detail"]


async def test_streams_survive_a_killed_database_and_miss_nothing(server: Server) -> None:
    async with (
        Queue(server.dsn) as queue,
        serving(server.dsn) as control,
        listening(control.url, f"{EVENTS}?role=afterwards") as listener,
        listening(control.url, "/live?topic=overview") as page,
    ):
        before = server.postmaster_pid
        os.kill(before, signal.SIGKILL)
        await eventually(lambda: server.postmaster_pid != before, timeout=20)
        id = await patiently(queue, "afterwards")
        await listener.until("created", task_id=str(id))
        assert (await asyncio.wait_for(page.next(), 20))[0] == "dirty"


async def test_the_server_ends_at_once_although_streams_are_open(control) -> None:
    async with (
        listening(control.url, EVENTS) as stream,
        listening(control.url, "/live?topic=tasks") as page,
    ):
        began = time.monotonic()
        await control.stop()
        assert time.monotonic() - began < 3
        for listener in (stream, page):
            with pytest.raises(EOFError):
                await listener.next()


async def test_a_page_is_told_that_it_is_out_of_date(control, queue) -> None:
    id = await queue.enqueue("r")
    async with listening(control.url, f"/live?topic=task:{id}&topic=audit&page=/tasks/{id}") as page:
        await queue.cancel(id, "no", "ada")
        assert await asyncio.wait_for(page.next(), 10) == ("dirty", f"task:{id}")


async def test_who_does_not_read_does_not_hold_up_who_does(control, db) -> None:
    """A listener that never reads: the others hear everything, and the server keeps nothing for it."""
    with socket.create_connection(("127.0.0.1", control.port)) as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: 127.0.0.1:{control.port}\r\n\r\n".encode())
        async with listening(control.url, EVENTS) as listener:
            for _ in range(3):
                await db.execute(
                    "insert into taskq.tasks (role, name) select 'r', repeat('x', 2000)"
                    " from generate_series(1, 1000)"
                )
                last = await insert(db, "last")
                await listener.until("created", task_id=str(last))


async def test_a_stream_ends_when_its_time_is_over(control) -> None:
    async with listening(control.url, f"{EVENTS}?seconds=0.5") as listener:
        with pytest.raises(EOFError):
            await asyncio.wait_for(listener.next(), 5)


async def test_what_is_no_topic_or_no_filter_is_refused(dsn: str) -> None:
    async with client(dsn) as http:
        for query in ("", "topic=nothing", "topic=task:1", "topic=task:" + "x" * 36, "topic=audit&" * 11):
            assert (await http.get(f"/live?{query}")).status_code == 422
        for query in ("task=1", "seconds=0", "seconds=x", "unknown=1", f"mission={uuid4()}&seconds=1e99"):
            refused = await http.get(f"{EVENTS}?{query}")
            assert refused.status_code == 422, query
            assert refused.json()["errors"][0]["field"]


async def test_a_stream_takes_a_token_that_may_read(dsn: str, control) -> None:
    operates = await make_token(dsn, "operates", "operate")
    async with httpx2.AsyncClient(base_url=control.url) as http:
        await eventually(lambda: refuses(http))
        for path in (EVENTS, "/live?topic=tasks", "/metrics"):
            answer = await http.get(path, headers={"Authorization": f"Bearer {operates}"})
            assert answer.status_code == 403, path


async def refuses(http: httpx2.AsyncClient) -> bool:
    async with http.stream("GET", f"{EVENTS}?seconds=0.1") as response:
        return response.status_code == 401


async def patiently(queue: Queue, role: str) -> UUID:
    """A task, however long the server takes to come back."""

    async def attempt() -> UUID | None:
        try:
            return await queue.enqueue(role)
        except ConnectionError:
            return None

    found: UUID = await eventually(attempt, timeout=20)
    return found
