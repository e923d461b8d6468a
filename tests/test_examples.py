"""The examples run, and do what they say."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import asyncpg

TOP = Path(__file__).resolve().parents[1]
EXAMPLES = TOP / "examples"


async def run(*command: object, dsn: str, cwd: Path, code: int = 0) -> str:
    """What a program prints; it must end with this exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, command),
        cwd=cwd,
        env={**os.environ, "TASKQ_DATABASE_URL": dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == code, (out.decode(), err.decode())
    return out.decode()


def test_every_example_is_run_here() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == {"wordcount.py", "resize.py", "transaction.py"}


async def test_200_tasks_count_the_words_that_a_direct_count_finds(
    dsn: str, db: asyncpg.Connection, tmp_path: Path
) -> None:
    said = await run(TOP / "bin" / "demo", "wordcount", dsn=dsn, cwd=tmp_path)
    assert "✔ a direct count says the same" in said
    assert "202 tasks in" in said
    rows = await db.fetch("select role, status, count(*) from taskq.tasks group by 1, 2")
    assert {tuple(row) for row in rows} == {
        ("list-sources", "completed", 1),
        ("count-words", "completed", 200),
        ("add-up", "completed", 1),
    }
    assert await db.fetchval("select count(*) from taskq.workers") == 0


async def test_three_pictures_become_one(dsn: str, db: asyncpg.Connection, tmp_path: Path) -> None:
    said = await run(EXAMPLES / "resize.py", tmp_path, dsn=dsn, cwd=tmp_path)
    assert "'width': 180, 'height': 60" in said
    header = (tmp_path / "montage.ppm").read_bytes()[:14]
    assert header == b"P6\n180 60\n255\n"
    assert await db.fetchval("select count(*) from taskq.tasks where status = 'completed'") == 4


async def test_the_task_of_a_rolled_back_order_is_not_there(
    dsn: str, db: asyncpg.Connection, tmp_path: Path
) -> None:
    said = await run(EXAMPLES / "transaction.py", dsn=dsn, cwd=tmp_path)
    assert said.splitlines() == ["receipt for order 1", "1 order, 1 receipt"]
    assert await db.fetchval("select count(*) from taskq.tasks") == 1
