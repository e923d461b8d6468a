"""Ten thousand hostile requests, at every operation and every page: none is a fault of ours."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from fake_worker import FakeWorker
from hostile import SCRIPT, Attack, Attacker, Target, send
from taskq import Queue
from taskq.web import create_app
from taskq.web.access import forgery
from taskq.web.api import OPERATIONS
from taskq.web.operations import PREFIX
from taskq.web.problems import CONTENT_TYPE
from web_client import by_browser, house

COUNT, AT_ONCE, SEED = 10_000, 16, 20
PATIENCE = 30.0


async def test_ten_thousand_hostile_requests_give_no_5xx_and_no_script(dsn: str, queue: Queue, db) -> None:
    known = await some_tasks(queue, db)
    browser = by_browser()
    form = {forgery.FIELD: browser[forgery.HEADER]}
    headers = [(name.lower().encode(), value.encode()) for name, value in browser.items()]
    faults: list[str] = []
    statuses: Counter[int] = Counter()
    async with house(dsn) as opened:
        app = create_app(opened)
        attacker = Attacker(SEED, targets(app), known, form)
        coming = attacker.attacks(COUNT)

        async def one_after_the_other() -> None:
            for attack in coming:
                status, said, body = await asyncio.wait_for(send(app, attack, headers), PATIENCE)
                statuses[status] += 1
                faults.extend(faults_of(attack, status, said, body))

        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:10])
    assert statuses.total() == COUNT
    assert statuses[200] > COUNT / 20 and statuses[422] > COUNT / 20, statuses  # some get in, and far
    assert await db.fetchval("select count(*) from taskq.tasks") >= len(known)


def faults_of(attack: Attack, status: int, headers: dict[str, str], body: bytes) -> list[str]:
    """What is wrong with an answer."""
    faults = []
    if not 200 <= status < 500:
        faults.append(f"{status} for {attack}: {body[-900:].decode(errors='replace')}")
    kind = headers.get("content-type", "")
    if kind.startswith("text/html") and SCRIPT.encode() in body:
        faults.append(f"a script in the answer to {attack}")
    is_refused = 400 <= status < 500 and attack.path.startswith(PREFIX.encode()) and attack.method != "HEAD"
    if is_refused and (kind != CONTENT_TYPE or msgspec.json.decode(body)["status"] != status):
        faults.append(f"no problem but {kind} {body[:100]!r} for {attack}")
    return faults


def targets(app: Starlette) -> list[Target]:
    """All operations, and all pages with their forms."""
    found = [
        Target(
            PREFIX + operation.path,
            [operation.method],
            names(operation.query),
            names(operation.body),
        )
        for operation in OPERATIONS
    ]
    words = sorted({field for target in found for field in target.fields})
    queries = sorted({name for target in found for name in target.query} | {"q", "page", "topic", "next"})
    for route in app.routes:
        if isinstance(route, Route) and not route.path.startswith(PREFIX):
            methods = sorted(route.methods or {"GET"})
            found.append(Target(route.path, methods, queries, words, is_form=True))
        elif isinstance(route, Mount):
            found.append(Target(f"{route.path}/{{path}}", ["GET"]))
    return found


def names(struct: type[msgspec.Struct] | None) -> list[str]:
    return [] if struct is None else [field.encode_name for field in msgspec.structs.fields(struct)]


async def some_tasks(queue: Queue, db: asyncpg.Connection) -> list[UUID]:
    """Tasks of every status, whose texts are hostile too."""
    ids: list[Any] = [await queue.enqueue("resize", {"text": SCRIPT}, name=SCRIPT)]
    worker = await FakeWorker(db, "resize").register()
    await worker.claim_one()
    ids.append(await queue.enqueue("deploy", {}, requires_approval=True, name=SCRIPT))
    ids.append(await queue.enqueue(SCRIPT, {}, parent_id=ids[0]))
    ids.append(await queue.enqueue("montage", {}, depends_on=[ids[2]], parent_id=ids[0], dedup_key=SCRIPT))
    for error in (SCRIPT, None):
        ids.append(await queue.enqueue("person", {}))
        await queue.complete(ids[-1], {"text": SCRIPT}, SCRIPT, error)
    ids.append(await queue.enqueue("person", {}))
    await queue.cancel(ids[-1], SCRIPT, SCRIPT)
    await queue.steer(ids[0], SCRIPT, SCRIPT)
    await queue.pause_role("deploy", SCRIPT, SCRIPT)
    return ids
