"""storm: 32 clients insert single rows as fast as they can; what does the bell cost while nobody sleeps?

NOTIFY at every insert would take a lock on the whole database at every commit.  For information: with a
sleeper, so that it does ring.
"""

from __future__ import annotations

import asyncio
import re
import sys
from functools import partial
from pathlib import Path

from bench.contenders import TASKQ, execute
from bench.harness import Figure, Run, Target, ratios
from bench.process import ROOT

CLIENTS = 32
INSERT = Path(__file__).with_suffix(".sql")
NO_TRIGGER = "drop trigger arrive on taskq.tasks"
ONE_SLEEPER = """
insert into taskq.workers (id, name, roles, concurrency, version, lease)
values ('00000000-0000-0000-0000-000000000001', 'a sleeper', '{noop}', 1, '0', '1 hour');
insert into taskq.sleepers (role, worker_id) values ('noop', '00000000-0000-0000-0000-000000000001');
"""


async def storm(run: Run) -> list[Figure]:
    """Inserts a second: with the trigger, without it, and with a sleeper."""
    seconds = run.size(6, 1)
    found = await run.interleave(
        {
            "silent": partial(inserts, run, seconds, ""),
            "dropped": partial(inserts, run, seconds, NO_TRIGGER),
            "ringing": partial(inserts, run, seconds, ONE_SLEEPER),
        },
        rounds=9,
    )
    silent, dropped, ringing = found["silent"], found["dropped"], found["ringing"]
    return [
        Figure("storm", "the trigger dropped", dropped, "/s"),
        Figure("storm", "nobody sleeps: the bell is silent", silent, "/s"),
        Figure("storm", "silent / dropped", ratios(silent, dropped), "x", Target(0.75)),
        Figure("storm", "somebody sleeps: it rings at every insert", ringing, "/s"),
    ]


async def inserts(run: Run, seconds: int, setting: str) -> float:
    """Rows inserted a second, by pgbench if there is one."""
    async with run.server.scratch(TASKQ.install) as dsn:
        if setting:
            await execute(dsn, setting)
        await execute(dsn, "checkpoint")
        if (pgbench := run.server.program("pgbench")) is not None:
            said = await output(
                pgbench, "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-T", str(seconds),
                "-f", str(INSERT), dsn,
            )  # fmt: skip
            match = re.search(r"tps = ([\d.]+)", said)
            assert match is not None, said
            return float(match[1])
        if "no pgbench" not in run.notes:
            run.notes.append("no pgbench")
        counts = await asyncio.gather(
            *(
                output(sys.executable, "-m", "bench.inserter", dsn, str(CLIENTS // 2), str(seconds))
                for _ in range(2)
            )
        )
        return sum(float(count) for count in counts)


async def output(*command: str) -> str:
    """What the command prints.

    :raises RuntimeError: it fails.
    """
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{command[0]}: {complained.decode()}")
    return said.decode()
