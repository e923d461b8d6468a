"""The loop that people write first: a row for each message, and what is not answered yet is run again.

It keeps the messages as well as ours does.  It has no ledger, and its tools' rows commit by themselves.
"""

from __future__ import annotations

import json
from typing import Any

from bench.chaos.script import SUBMIT
from bench.chaos.strikes import Strikes
from taskq.agent import Claude
from taskq.database import Pool
from taskq.task import Task
from taskq.tool import Answer, Tool, ToolCall

READ = "select role, body from chaos.said where task = $1 order by seq"
WRITE = "insert into chaos.said (task, seq, role, body) values ($1, $2, $3, $4)"


class Naive:
    """One attempt."""

    def __init__(
        self, task: Task, pool: Pool, claude: Claude, tools: dict[str, Tool], strikes: Strikes
    ) -> None:
        self._task, self._pool, self._claude, self._tools, self._strikes = task, pool, claude, tools, strikes
        self._said: list[dict[str, Any]] = []

    async def to_its_end(self) -> dict[str, Any]:
        """From wherever the messages end to the submitted result."""
        async with self._pool.transaction() as transaction:
            rows = await transaction.fetch(READ, self._task.id)
        self._said = [{"role": row["role"], "content": json.loads(row["body"])} for row in rows]
        if not self._said:
            await self._say("user", [{"type": "text", "text": f"Task: {self._task.name}"}])
        while True:
            if self._said[-1]["role"] == "user":
                await self._ask()
            calls = [block for block in self._said[-1]["content"] if block["type"] == "tool_use"]
            if calls[0]["name"] == SUBMIT:
                return {"response": calls[0]["input"]}
            results = [await self._run(call) for call in calls]
            await self._strikes.around("results", self._turn, lambda: self._say("user", results))  # noqa: B023

    @property
    def _turn(self) -> int:
        return sum(message["role"] == "assistant" for message in self._said)

    async def _ask(self) -> None:
        offers = [tool.offer() for tool in self._tools.values()]
        submit = {"name": SUBMIT, "description": "Hand in.", "input_schema": {"type": "object"}}
        request = {"model": "claude-sonnet-5-5", "max_tokens": 4096, "tools": [*offers, submit]}
        turn = self._turn + 1
        answer = await self._strikes.around(
            "ask", turn, lambda: self._claude.turn({**request, "messages": self._said})
        )
        await self._strikes.around("append_turn", turn, lambda: self._say("assistant", answer.content))

    async def _run(self, call: dict[str, Any]) -> dict[str, Any]:
        tool, key = self._tools[call["name"]], f"{self._task.id}:{call['id']}"
        if tool.effect == "transactional":
            async with self._pool.transaction() as transaction:
                answer = await tool.run(ToolCall(self._task, key, None, transaction), call["input"])
        else:
            answer = await tool.run(ToolCall(self._task, key, None), call["input"])
        text = answer.text if isinstance(answer, Answer) else answer
        return {"type": "tool_result", "tool_use_id": call["id"], "content": text}

    async def _say(self, role: str, content: list[dict[str, Any]]) -> None:
        async with self._pool.transaction() as transaction:
            await transaction.execute(WRITE, self._task.id, len(self._said), role, json.dumps(content))
        self._said.append({"role": role, "content": content})
