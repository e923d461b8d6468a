"""What a run shows: from the database, from the requests that the model heard, from the world outside."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import asyncpg

from bench.chaos.run import Run
from bench.chaos.script import SUBMIT, play_of
from bench.chaos.world import effects
from taskq.testing import Request

MESSAGES = "select seq, role from taskq.messages where task_id = $1 order by seq"
CALLS = "select call_id, tool, status from taskq.tool_calls where task_id = $1 order by turn, place"
RESULT = "select result from taskq.tasks where id = $1"


@dataclass
class Verdict:
    """What was found of one run.

    :param faults: sentences; there should be none.
    :param repeated: model calls beyond one for each turn.
    :param booked_twice, done_twice: calls of transactional and of unsafe tools that had their effect more
        than once.
    :param interrupted, reported: unsafe calls that a kill left between intent and record, and those of them
        that the ledger calls unknown or that `verify` found out about.
    """

    run: Run
    faults: list[str] = field(default_factory=list)
    repeated: int = 0
    booked_twice: int = 0
    done_twice: int = 0
    interrupted: int = 0
    reported: int = 0

    def hold(self, holds: bool, what: str) -> None:
        """This must hold."""
        if not holds:
            self.faults.append(f"{self.run.name}, killed at {self.run.kills}: {what}")


async def judge(session: asyncpg.Connection, run: Run, requests: Sequence[Request]) -> Verdict:
    """The verdict on a run of either loop."""
    verdict = Verdict(run)
    play = play_of(run.seed)
    verdict.hold(run.status == "completed", f"the task is {run.status}")
    result = json.loads(await session.fetchval(RESULT, run.task) or "{}")
    handed_in = play.reply(len(play.turns) + 1).content[-1]["input"]
    verdict.hold(result.get("response") == handed_in, f"the result is {result}")
    verdict.repeated = len(requests) - len(play.turns) - 1
    asked = Counter(request.turn for request in requests)
    hidden = Counter(int(subject) for place, _, subject in run.kills if place in ("ask", "append_turn"))
    verdict.hold(asked.keys() == set(range(1, len(play.turns) + 2)), f"the turns asked for were {asked}")
    for turn, times in asked.items():  # only a kill between the question and its row repeats it, and once
        verdict.hold(times - 1 <= hidden[turn], f"turn {turn} was asked for {times} times")
    for earlier, later in pairwise(requests):
        verdict.hold(begins_with(later, earlier), "a request does not begin with the one before it")
    done = await effects(session, run.world, run.name)
    verdict.booked_twice = twice(done["book"])
    verdict.done_twice = twice(done["post"]) + twice(done["send"])
    if run.loop == "ledger":
        await judge_ledger(session, verdict, done)
    return verdict


async def judge_ledger(session: asyncpg.Connection, verdict: Verdict, done: dict[str, Counter[str]]) -> None:
    """What only a run with a ledger can show."""
    run, play = verdict.run, play_of(verdict.run.seed)
    seqs = [row["seq"] for row in await session.fetch(MESSAGES, run.task)]
    verdict.hold(seqs == list(range(len(seqs))), f"the messages are numbered {seqs}")
    rows = await session.fetch(CALLS, run.task)
    verdict.hold({row["call_id"]: row["tool"] for row in rows} == play.tools, "the ledger has other calls")
    for id, tool, status in rows:
        times, hidden = done.get(tool, Counter())[id], id in run.interrupted
        expected = "unknown" if tool == "post" and hidden else "success"
        verdict.hold(status == expected, f"{tool} {id} is {status}, not {expected}")
        if tool not in ("look", SUBMIT):
            right = (0, 1) if status == "unknown" else (1,)
            verdict.hold(times in right, f"{tool} {id} is {status} and was done {times} times")
        if hidden:
            verdict.interrupted += 1
            verdict.reported += status == expected


def twice(times: Counter[str]) -> int:
    """How many were more than once."""
    return sum(count > 1 for count in times.values())


def begins_with(later: Request, earlier: Request) -> bool:
    """Whether its prompt begins with the other one's, byte for byte as it came over the wire."""
    return later.raw.startswith(prompt_of(earlier)) and later.extends(earlier)


def prompt_of(request: Request) -> bytes:
    """The bytes of a request up to the end of its last message's last block."""
    last = json.dumps(request.body["messages"][-1]["content"][-1], ensure_ascii=False, separators=(",", ":"))
    end = request.raw.rindex(last.encode()) + len(last.encode())
    return request.raw[:end]
