"""Words of Python's standard library: one task lists the sources, 200 count words, one adds up.

    python examples/wordcount.py        or: bin/demo wordcount

Runs on TASKQ_DATABASE_URL, else on the embedded server, with two worker processes of its own.  The handlers
are plain functions, so they run in threads; two processes make use of two cores.
"""

from __future__ import annotations

import asyncio
import re
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from taskq import App, Queue, SyncTask

SHARES = 200
WORD = re.compile(r"[^\W\d_]+")

app = App()


@dataclass
class Share:
    """Every `of`-th source, from the `number`-th on."""

    number: int
    of: int


@app.role("list-sources")
def list_sources(task: SyncTask) -> list[str]:
    """The paths of the sources."""
    return sources()


@app.role("count-words")
def count_words(task: SyncTask, share: Share) -> dict[str, int]:
    """How often each word occurs in a share of the sources that the task before this one found."""
    [paths] = task.parents.values()
    return count(paths[share.number :: share.of])


@app.role("add-up")
def add_up(task: SyncTask) -> dict[str, Any]:
    """The sum of what the tasks before this one counted."""
    total: Counter[str] = Counter()
    for counted in task.parents.values():
        total.update(counted)
    return {"words": total.total(), "different": len(total), "top": total.most_common(10)}


def sources() -> list[str]:
    library = Path(sysconfig.get_path("stdlib"))
    return sorted(str(path) for path in library.rglob("*.py") if "site-packages" not in path.parts)


def count(paths: Iterable[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for path in paths:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
        found.update(word.lower() for word in WORD.findall(text))
    return found


async def enqueue(queue: Queue) -> UUID:
    """Insert the graph in one statement; returns the id of the task that adds up."""
    first, last = uuid4(), uuid4()
    middle = [
        {"id": uuid4(), "role": "count-words", "payload": {"number": n, "of": SHARES}, "depends_on": [first]}
        for n in range(SHARES)
    ]
    ends = [
        {"id": first, "role": "list-sources"},
        {"id": last, "role": "add-up", "depends_on": [task["id"] for task in middle]},
    ]
    await queue.enqueue_many([{"mission_id": first, **task} for task in (*ends, *middle)])
    return last


@asynccontextmanager
async def workers(dsn: str) -> AsyncIterator[None]:
    """Two worker processes for as long as the block lasts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "taskq", "--database", dsn,
        "worker", "--app", "wordcount:app", "--processes", "2", "--log-level", "warning",
        cwd=Path(__file__).parent,
    )  # fmt: skip
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def main() -> bool:
    """Count, show it, and compare with a count without the queue; returns whether they agree."""
    async with Queue() as queue, workers(queue.dsn):
        began = time.monotonic()
        result = await queue.result(await enqueue(queue), timeout=timedelta(minutes=2))
        took = time.monotonic() - began
    for word, times in result["top"]:
        print(f"{times:>9,}  {word}")
    print(f"{result['words']:,} words, {result['different']:,} of them different")
    rate = result["words"] / took
    print(f"{SHARES + 2} tasks in {took:.1f} s, start of the workers included: {rate:,.0f} words/s")
    direct = count(sources())
    agrees = (direct.total(), len(direct)) == (result["words"], result["different"])
    print("✔ a direct count says the same" if agrees else f"✘ a direct count says {direct.total():,} words")
    return agrees


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
