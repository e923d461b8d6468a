"""The committed conversation of one task: what was said, what it cost, what is to be done next."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from taskq.agent.gate import RateLimits
from taskq.agent.text import clean
from taskq.task import Message, Task

Block = dict[str, Any]

PAUSE_SECONDS = 1.0
"""How long to wait for a database that is away before looking again."""

_COUNTED = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


@dataclass(frozen=True)
class Turn:
    """One finished message of the model."""

    content: list[Block]
    stop_reason: str | None
    model: str
    usage: dict[str, Any]
    request_id: str | None = None
    limits: RateLimits | None = None


class Conversation:
    """The messages of a task in the order in which they were committed.

    A message is a row before it is acted on, so an attempt that finds rows goes on where they end.  A turn
    that cannot be built on (cut by its token limit, refused, empty) stays in the rows for its cost and is
    left out of what is sent: an operator's retry asks again.
    """

    def __init__(self, task: Task, messages: list[Message], *, simulated: bool) -> None:
        self._task = task
        self._simulated = simulated
        self._messages = list(messages)
        self._sent = [{"role": m.role, "content": json.loads(m.body)} for m in messages if usable(m)]
        self.resumed_turns = self.turns

    @classmethod
    async def open(cls, task: Task, *, simulated: bool) -> Conversation:
        """The conversation as the task's earlier attempts left it."""
        return cls(task, await task.messages(), simulated=simulated)

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The messages as they go to the Messages API, byte for byte the same after every resume."""
        return self._sent

    @property
    def turns(self) -> int:
        """How many messages the model has finished."""
        return sum(message.role == "assistant" for message in self._messages)

    def answered(self) -> list[Block] | None:
        """The content of the model's message, if that is what the conversation ends with."""
        if not self._sent or self._sent[-1]["role"] != "assistant":
            return None
        content: list[Block] = self._sent[-1]["content"]
        return content

    def usage(self) -> dict[str, int]:
        """The tokens of all turns together, those before a crash included."""
        total: Counter[str] = Counter()
        for message in self._messages:
            total.update({name: (message.usage or {}).get(name) or 0 for name in _COUNTED})
        return {name: total[name] for name in _COUNTED}

    def tools(self) -> dict[str, int]:
        """How often the model called each tool, by name."""
        blocks = [block for said in self._sent if said["role"] == "assistant" for block in said["content"]]
        return dict(sorted(Counter(block["name"] for block in tool_calls(blocks)).items()))

    def model(self) -> str | None:
        """The model that finished the last turn."""
        return next((m.model for m in reversed(self._messages) if m.role == "assistant"), None)

    async def tell(self, content: list[Block]) -> None:
        """Commit a message to the model.

        :raises LeaseLost: another worker owns the task now.
        """
        await self._append("user", content, None)

    async def record(self, turn: Turn) -> None:
        """Commit a finished message of the model.

        :raises LeaseLost: another worker owns the task now.
        """
        await self._append("assistant", turn.content, turn)

    async def _append(
        self, role: Literal["user", "assistant"], content: list[Block], turn: Turn | None
    ) -> None:
        message = Message(
            seq=len(self._messages),
            role=role,
            body=json.dumps(clean(content), ensure_ascii=False),
            stop_reason=turn.stop_reason if turn else None,
            model=turn.model if turn else None,
            usage=turn.usage if turn else None,
            simulated=self._simulated,
            attempt=self._task.attempt,
        )
        await self._commit(message)
        self._messages.append(message)
        if usable(message):
            # From the body, as a resumed attempt would: what is sent must not depend on who sends it.
            self._sent.append({"role": role, "content": json.loads(message.body)})

    async def _commit(self, message: Message) -> None:
        """Commit a message; while the database is away, wait for it: the turn is paid for.

        :raises LeaseLost: another worker owns the task now, perhaps since it was away for too long.
        """
        while True:
            try:
                await self._task.append_message(message)
                return
            except ConnectionError:
                await asyncio.sleep(PAUSE_SECONDS)
            # The answer to the commit may be all that was lost.
            with suppress(ConnectionError):
                if any(
                    seen.seq == message.seq and seen.body == message.body
                    for seen in await self._task.messages()
                ):
                    return


def usable(message: Message) -> bool:
    """Whether the conversation can go on from this message."""
    if message.role == "user":
        return True
    content = json.loads(message.body)
    if message.stop_reason == "tool_use":
        return bool(tool_calls(content))
    return (
        message.stop_reason in ("end_turn", "stop_sequence")
        and bool(text_of(content))
        and not tool_calls(content)
    )


def tool_calls(content: list[Block]) -> list[Block]:
    """The tool calls in a message."""
    return [block for block in content if block["type"] == "tool_use"]


def text_of(content: list[Block]) -> str:
    """The text of a message, without the blanks around it."""
    return "".join(block["text"] for block in content if block["type"] == "text").strip()
