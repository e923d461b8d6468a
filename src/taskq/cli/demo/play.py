"""The mission, and what is done to it: inserted by plain SQL, robbed of a worker, approved by a person."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from taskq.cli.demo.facts import ACTOR, Kill
from taskq.cli.demo.failed import DemoFailed
from taskq.cli.demo.page import MissionControl
from taskq.cli.demo.screen import Screen
from taskq.cli.demo.workers import WorkerProcess, guard
from taskq.cli.follow import follow_lines, follow_live, looks
from taskq.cli.session import Session
from taskq.cli.text import short
from taskq.database import Pool
from taskq.errors import DatabaseError, NotAnArrow

LOOK_EVERY = 0.02
SHOW_FOR = 1.5
"""Seconds for which a task is seen to wait for a person."""


class Play:
    """One mission.

    :param session: the queue, and a reader with the statements of the command line.
    :param reader: a pool with the statements of demo/queries.sql.
    :param offline: the model is simulated, and its troubles are forced.
    :param page: Mission Control, where it could be started.
    """

    def __init__(
        self,
        session: Session,
        reader: Pool,
        workers: Sequence[WorkerProcess],
        screen: Screen,
        *,
        offline: bool,
        page: MissionControl | None,
    ) -> None:
        self.page = page
        self.session, self.reader, self.workers, self.screen = session, reader, workers, screen
        self.offline = offline
        self.mission: UUID | None = None
        self.kill: Kill | None = None

    async def begin(self, statement: str, budget: str, directory: Path) -> UUID:
        """Insert the mission with its budget, and show the statements; returns its id."""
        literal = "'" + str(directory).replace("'", "''") + "'"
        self.screen.say("\nAny program that can INSERT can start this mission:\n")
        self.screen.say(f"{statement.replace('$1', literal)};\n", "cyan")
        inserting = asyncio.ensure_future(self.insert(str(directory)))
        try:
            await asyncio.shield(inserting)
        finally:  # Ctrl-C just now must not leave a mission that nobody calls off
            self.mission = await inserting
        self.screen.say("And this bounds, in the same transaction, what it may spend:\n")
        self.screen.say(budget.replace("$1", f"'{self.mission}'") + ";\n", "cyan")
        if self.page is not None:
            self.screen.mark(True, f"watch it: {self.page.page_of(self.mission)}")
        return self.mission

    async def insert(self, directory: str) -> UUID:
        """Both statements in one transaction: no turn is taken outside of the budget."""
        async with self.reader.session() as session, session.transaction() as transaction:
            mission = UUID(str(await transaction.call("mission", directory)))
            await transaction.call("budget", str(mission))
        return mission

    async def to_its_end(self, limit: float, *, quiet: bool) -> None:
        """Show the mission until all of its tasks have ended.

        :param limit: seconds that it may take.
        :param quiet: show what is done to it, but not the tasks.
        :raises DemoFailed: it took too long, or no worker is left.
        """
        try:
            async with asyncio.timeout(limit), asyncio.TaskGroup() as group:
                beside = [
                    group.create_task(guard(self.workers)),
                    group.create_task(self.kill_a_worker()),
                    group.create_task(self.approve()),
                    group.create_task(self.tell()),
                    group.create_task(self.watch()),
                ]
                await self.follow(quiet)
                for task in beside:
                    task.cancel()
        except TimeoutError:
            raise DemoFailed(f"the mission has not ended after {limit:g} s") from None
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def follow(self, quiet: bool) -> None:
        """A live tree on a terminal, plain lines elsewhere."""
        assert self.mission is not None
        reader, console = self.session.reader, self.screen.console
        if quiet:
            async for _ in looks(reader, self.mission, self.mission):
                pass
        elif console.is_terminal:
            await follow_live(reader, self.mission, self.mission, console)
        else:
            await follow_lines(reader, self.mission, self.mission, as_json=False)

    async def kill_a_worker(self) -> None:
        """SIGKILL the worker of an engineer who is in the middle of a turn, and see its tasks move."""
        victim = await self.seen("in_mid_turn", self.mission, self.offline)
        worker = next((worker for worker in self.workers if worker.name == victim["worker"]), None)
        if worker is None:
            raise DemoFailed(f"{victim['worker']}, a worker of somebody else, plays the mission; stop it")
        # Read before the kill, so that the time to the restart is never flattered.
        at = await self.reader.fetch_value("moment")
        worker.kill()
        self.kill = Kill(victim["worker_id"], at)
        self.screen.happens(
            f"SIGKILL to worker {worker.number} (pid {worker.process.pid}), which holds"
            f" {counted(victim['holds'], 'task')}; {victim['name']} {short(victim['id'])} waits for its turn"
            f" {victim['turns'] + 1}"
        )
        moved = await self.seen("moved", self.mission, self.kill.worker, self.kill.at)
        self.screen.happens(
            f"the other worker runs {counted(moved['lost'], 'task')} of it, {moved['seconds']:.1f} s after"
            " the kill"
        )

    async def approve(self) -> None:
        """Be the person who is asked."""
        task = await self.seen("awaiting_approval", self.mission)
        self.screen.happens(f"sign-off {await self.session.queue.explain(task['id'])}")
        await asyncio.sleep(SHOW_FOR)
        await self.session.queue.approve(task["id"], ACTOR, "played by the demo")
        self.screen.happens(f"approved as {ACTOR!r}")

    async def tell(self) -> None:
        """Say what goes wrong with the model and with results, as it happens."""
        told = set()
        while True:
            for row in await self.reader.fetch("happened", self.mission):
                if row["text"] not in told:
                    told.add(row["text"])
                    self.screen.happens(row["text"])
            await asyncio.sleep(LOOK_EVERY)

    async def watch(self) -> None:
        """Look at the mission's page now and then, as people do."""
        while self.page is not None and self.mission is not None:
            await self.page.look(self.mission)
            await asyncio.sleep(SHOW_FOR)

    async def seen(self, query: str, *args: Any) -> Any:
        """The first row of a statement, as soon as there is one."""
        while True:
            row = await self.reader.fetch_one(query, *args)
            if row is not None:
                return row
            await asyncio.sleep(LOOK_EVERY)

    async def sum_up(self) -> None:
        """Show what the last task of the mission returned."""
        text = await self.reader.fetch_value("summary", self.mission)
        if text is None:
            return
        sum = json.loads(text)
        tools = ", ".join(f"{name} {count}" for name, count in sum["tools"].items())
        self.screen.say(
            f"\n{sum['agents']} agents took {sum['turns']} turns ({sum['tokens']['in']:,} tokens in, "
            f"{sum['tokens']['out']:,} out), called tools ({tools})"
            f" and rely on {len(sum['files'])} files of sql/."
        )
        spent = await self.reader.fetch_one("spend", str(self.mission))
        assert spent is not None
        self.screen.say(
            f"Of the mission's budget they used ${spent['cost_used']:.2f} of ${spent['cost']:.2f}, "
            f"{spent['tokens_used']:,} of {spent['tokens']:,} tokens and {spent['turns_used']} turns."
        )

    async def call_off(self) -> None:
        """Cancel what has not ended, as far as the database allows, so that no later worker finds it."""
        if self.mission is None:
            return
        with suppress(DatabaseError):
            for row in await self.reader.fetch("unfinished", self.mission):
                with suppress(NotAnArrow):  # it ended by itself meanwhile
                    await self.session.queue.cancel(row["id"], "the demo was stopped", ACTOR)


def counted(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
