"""The committed conversation of one task: what was said, what it cost, what is to be done next."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

from taskq.agent.evidence import SUBMIT
from taskq.agent.shapes import COUNTED, Block, Outcome, Turn, tool_calls, usable
from taskq.agent.text import clean, shortened, without_nul
from taskq.task import Message, Task

Clean = Callable[[Any], Any]
Propose = Callable[[list[Block]], tuple[list[dict[str, Any]], str | None]]

ANSWER_CHARACTERS = 100_000
"""Most characters of a tool's answer that the model is shown, whatever the tool's own bound."""
LATEST = 41
"""How many messages a look back takes in."""


class Conversation:
    """The messages of a task in the order in which they were committed.

    A message is a row before it is acted on, so an attempt that finds rows goes on where they end.  Each tool
    result is a row of its own, committed together with the outcome in the ledger; rows of one speaker that
    follow each other are sent as one message.  A turn that cannot be built on (cut by its token limit,
    refused, empty) stays in the rows for its cost and is left out of what is sent: an operator's retry asks
    again.

    :param redact: takes secrets out of a value before it is committed.
    """

    def __init__(
        self, task: Task, messages: list[Message], *, simulated: bool, redact: Clean = lambda value: value
    ) -> None:
        self._task = task
        self._simulated = simulated
        self.redact = redact
        """Takes secrets out of a value."""
        self._messages: list[Message] = []
        self.sent: list[dict[str, Any]] = []
        """The messages as they go to the Messages API, byte for byte the same after every resume."""
        for message in messages:
            self._take_in(message)
        self.resumed_turns = self.turns

    @classmethod
    async def open(cls, task: Task, *, simulated: bool, redact: Clean = lambda value: value) -> Conversation:
        """The conversation as the task's earlier attempts left it."""
        return cls(task, await task.messages(), simulated=simulated, redact=redact)

    @property
    def next_seq(self) -> int:
        """The number of the next message."""
        return len(self._messages)

    @property
    def turns(self) -> int:
        """How many messages the model has finished."""
        return sum(message.role == "assistant" for message in self._messages)

    def last_turn(self) -> list[Block] | None:
        """The content of the model's last message; None when it has said nothing that can be built on."""
        said = (message["content"] for message in reversed(self.sent) if message["role"] == "assistant")
        return next(said, None)

    @property
    def submissions(self) -> int:
        """How many turns have handed in something, or ended in words that were meant to."""
        turns = [tool_calls(said["content"]) for said in self.sent if said["role"] == "assistant"]
        return sum(not calls or any(call["name"] == SUBMIT for call in calls) for calls in turns)

    def is_the_models_turn(self) -> bool:
        """Whether everything that the model asked for is answered."""
        return self.sent[-1]["role"] == "user" and not self.unanswered()

    def unanswered(self) -> list[Block]:
        """The tool calls of the model's last message that have no result yet, in order."""
        calls = tool_calls(self.last_turn() or [])
        if not calls or self.sent[-1]["role"] == "assistant":
            return calls
        answered = {block.get("tool_use_id") for block in self.sent[-1]["content"]}
        return [call for call in calls if call["id"] not in answered]

    def latest(self) -> list[dict[str, Any]]:
        """The last messages, from one of the model's on."""
        last = self.sent[-LATEST:]
        return last[1:] if last and last[0]["role"] == "user" else last

    def usage(self) -> dict[str, int]:
        """The tokens of all turns together, those before a crash included."""
        total: Counter[str] = Counter()
        for message in self._messages:
            total.update({name: (message.usage or {}).get(name) or 0 for name in COUNTED})
        return {name: total[name] for name in COUNTED}

    def cost(self) -> float:
        """What all turns cost, in US dollars, as far as their prices are known."""
        return round(sum(message.cost or 0.0 for message in self._messages), 6)

    def tools(self) -> dict[str, int]:
        """How often the model called each tool, by name."""
        blocks = [block for said in self.sent if said["role"] == "assistant" for block in said["content"]]
        return dict(sorted(Counter(block["name"] for block in tool_calls(blocks)).items()))

    def model(self) -> str | None:
        """The model that finished the last turn."""
        return next((m.model for m in reversed(self._messages) if m.role == "assistant"), None)

    async def tell(
        self, content: list[Block], *, steers: Sequence[int] = (), note: str | None = None
    ) -> None:
        """Commit a message to the model.

        :param steers: the numbers of the steers that it tells.
        :raises LeaseLost: another worker owns the task now.
        """
        message = self._message("user", content)
        await self._append(message, None, [], steers, note)
        self._take_in(message)

    async def record(self, turn: Turn, *, cost: float | None, propose: Propose) -> None:
        """Commit a finished message of the model, with its tool calls for the ledger, and settle its cost.

        :param propose: the tool calls as the ledger wants them, and a note of what they are, for people.
        :raises LeaseLost: another worker owns the task now.
        """
        message = self._message("assistant", turn.content, turn, cost)
        calls, note = propose(tool_calls(json.loads(message.body)) if usable(message) else [])
        await self._append(message, turn.tokens, calls, (), note)
        self._take_in(message)

    async def answer(self, call: Block, outcome: Outcome, *, more: Sequence[Block] = ()) -> None:
        """Commit how a tool call ended, and the message that tells the model.

        :param more: further blocks for the model, behind the result.
        :raises LeaseLost: another worker owns the task now.
        """
        message, arguments = self.prepare(call, outcome, more)
        await self._task.call("settle_call", *arguments)
        self._take_in(message)

    def prepare(self, call: Block, outcome: Outcome, more: Sequence[Block] = ()) -> tuple[Message, list[Any]]:
        """The message that answers a call, and the arguments of taskq.settle_call behind the lease."""
        shown = shortened(self.redact(outcome.text), ANSWER_CHARACTERS)
        result: Block = {"type": "tool_result", "tool_use_id": call["id"], "content": shown}
        if outcome.status != "success":
            result["is_error"] = True
        message = self._message("user", [result, *more])
        text = json.loads(message.body)[0]["content"]
        arguments = [
            call["id"],
            outcome.status,
            without_nul(text),
            without_nul(self.redact(outcome.artifact)),
        ]
        return message, [*arguments, message.seq, message.body, message.simulated]

    def took(self, message: Message) -> None:
        """A prepared message was committed."""
        self._take_in(message)

    async def _append(
        self,
        message: Message,
        tokens: int | None,
        calls: list[dict[str, Any]],
        steers: Sequence[int],
        note: str | None,
    ) -> None:
        await self._task.call(
            "append_turn",
            message.seq,
            message.role,
            message.body,
            message.stop_reason,
            message.model,
            None if message.usage is None else json.dumps(message.usage),
            message.simulated,
            message.request_id,
            message.cost,
            tokens,
            json.dumps(calls) if calls else None,
            list(steers),
            note,
        )

    def _message(
        self,
        role: Literal["user", "assistant"],
        content: list[Block],
        turn: Turn | None = None,
        cost: float | None = None,
    ) -> Message:
        return Message(
            seq=self.next_seq,
            role=role,
            body=json.dumps(clean(self.redact(content)), ensure_ascii=False),
            stop_reason=turn.stop_reason if turn else None,
            model=turn.model if turn else None,
            usage=turn.usage if turn else None,
            simulated=self._simulated,
            attempt=self._task.attempt,
            request_id=turn.request_id if turn else None,
            cost=cost,
        )

    def _take_in(self, message: Message) -> None:
        """From the body, as a resumed attempt would: what is sent must not depend on who sends it."""
        self._messages.append(message)
        if not usable(message):
            return
        content = json.loads(message.body)
        if self.sent and self.sent[-1]["role"] == message.role == "user":
            self.sent[-1] = {"role": "user", "content": self.sent[-1]["content"] + content}
        else:
            self.sent.append({"role": message.role, "content": content})
