"""The executor: a tool call from its intent to its outcome, whatever crashes in between.

The intent is committed before the effect, the outcome after it, together with the message that tells the
model.  So after a crash a call is in one of three places: not begun (it runs), settled (it does not run
again), or begun, with nothing known of its effect.  Then what the tool declared decides: `read` and
`idempotent` run again with the same key, `transactional` was rolled back and runs again, `unsafe` is looked
into, or reported as unknown.

A person who is asked may change the arguments of a call: then these run, and the model is told first of all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from taskq.agent.amendment import Amendment
from taskq.agent.conversation import Conversation
from taskq.agent.shapes import Block, Outcome
from taskq.errors import DatabaseError, Fail, InvalidTask, Suspended
from taskq.task import Task
from taskq.tool import Answer, Effect, Place, Refused, Tool, ToolCall, ToolError, Unknown

UNKNOWN: Final = (
    "The outcome of this call is unknown: the worker died while it ran. It may have happened, wholly, in part"
    " or not at all, and it is not run again by itself. Find out before you go on."
)
SHOWN: Final = 500
"""Characters of a call's arguments that a person is shown who is to approve it."""


class Executor:
    """The tools of one attempt, and what became of the calls of earlier ones.

    :param tools: what this role may call, by name; the database holds it to that, too.
    :param when_unknown: what follows an unsafe call whose outcome a crash hid: the model is told, or the task
        parks for a person first.
    """

    def __init__(
        self,
        task: Task,
        conversation: Conversation,
        tools: Mapping[str, Tool],
        workspace: Place,
        *,
        needs_approval: Sequence[str] = (),
        when_unknown: Literal["tell", "park"] = "tell",
    ) -> None:
        self._task, self._conversation = task, conversation
        self._tools, self._workspace = tools, workspace
        self._needs_approval, self._when_unknown = needs_approval, when_unknown
        self._begun: dict[str, Any] = {}
        self._amended: dict[str, Amendment] = {}

    async def open(self) -> None:
        """Learn which calls earlier attempts began and did not settle, and which a person changed.

        That happens only while the task waits for a person, so it is known for the whole attempt.
        """
        rows = await self._task.rows("tool_calls")
        self._begun = {row["call_id"]: row for row in rows if row["status"] == "started"}
        self._amended = {
            row["call_id"]: Amendment(json.loads(row["amended_input"]), row["approved_by"])
            for row in rows
            if row["amended_input"] is not None
        }

    def proposals(self, calls: Sequence[Block]) -> list[dict[str, Any]]:
        """The calls of a message for the ledger."""
        return [self._proposal(call) for call in calls]

    async def run(self, call: Block, *, more: Sequence[Block] = ()) -> None:
        """Bring a call to its outcome, and tell the model.

        :param more: further blocks for the model, behind the result.
        :raises Suspended: the task waits for a person, or for tasks that the tool began.
        :raises Fail: a budget does not allow it.
        :raises LeaseLost: another worker owns the task now.
        """
        tool, began = self._tools.get(call["name"]), self._begun.pop(call["id"], None)
        call = self._as_amended(call)
        if began is not None and began["effect"] == "unsafe":
            outcome = await self._look_into(call, tool, looked_at_by=began["looked_at_by"])
            if outcome is not None:
                await self._conversation.answer(call, self._told(call, outcome), more=more)
                return
        verdict = await self._intend(call, tool)
        match verdict["verdict"]:
            case "over":
                raise Fail(verdict["reason"], kind="budget_exceeded")
            case "approve":
                await self.park(f"approve {call['name']}? {str(call['input'])[:SHOWN]}")
            case "blocked":
                await self._conversation.answer(call, Outcome("blocked", verdict["reason"]), more=more)
            case _:
                await self._act(call, tool, more)

    async def begin(self, calls: Sequence[Block]) -> None:
        """Begin what is waited for, of all calls of a turn, before the first is waited for: children run side
        by side."""
        calls = [self._as_amended(call) for call in calls]
        waiting = [(call, tool) for call in calls if (tool := self._tools.get(call["name"])) and tool.begin]
        for call, tool in waiting if len(waiting) > 1 else []:
            verdict = await self._intend(call, tool)
            if verdict["verdict"] == "run":
                assert tool.begin is not None
                with suppress(Refused, ToolError, InvalidTask):  # told to the model when its turn comes
                    await tool.begin(self._call(call), call["input"])

    async def settle(self, call: Block, text: str) -> None:
        """A call that needs no answer, since it ends the task, has succeeded."""
        await self._task.call("settle_call", call["id"], "success", text, None, None, None, False)

    async def park(self, reason: str) -> None:
        """Wait for a person, holding nothing.

        :raises Suspended: always.
        """
        await self._task.call("park", reason)
        raise Suspended

    async def _intend(self, call: Block, tool: Tool | None) -> Any:
        """Commit that the effect is about to happen: what was proposed, or what a person made of it."""
        effect = _effect(tool, call) if tool is not None and call["id"] in self._amended else None
        [verdict] = await self._task.rows("intend", call["id"], effect)
        return verdict

    def _as_amended(self, call: Block) -> Block:
        """The call as a person changed it."""
        amended = self._amended.get(call["id"])
        return call if amended is None else {**call, "input": amended.input}

    def _told(self, call: Block, outcome: Outcome) -> Outcome:
        """The outcome as the model is told it."""
        amended = self._amended.get(call["id"])
        return outcome if amended is None else amended.told(outcome)

    async def _act(self, call: Block, tool: Tool | None, more: Sequence[Block]) -> None:
        if tool is None:
            outcome = Outcome("error", f"{call['name']}: this tool is not there at the moment")
        elif _effect(tool, call) == "transactional":
            await self._act_in_a_transaction(call, tool, more)
            return
        else:
            outcome = await self._outcome(tool, self._call(call), call["input"])
        await self._conversation.answer(call, self._told(call, outcome), more=more)

    async def _act_in_a_transaction(self, call: Block, tool: Tool, more: Sequence[Block]) -> None:
        """The effect, its outcome and the message commit together, or not at all."""
        try:
            async with self._task.transaction() as transaction:
                outcome = await self._outcome(tool, self._call(call, transaction), call["input"])
                if outcome.status != "success":
                    raise _RolledBack(outcome)
                message, arguments = self._conversation.prepare(call, self._told(call, outcome), more)
                await transaction.call("settle_call", *arguments)
        except _RolledBack as rolled_back:
            await self._conversation.answer(call, self._told(call, rolled_back.outcome), more=more)
        else:
            self._conversation.took(message)

    async def _look_into(self, call: Block, tool: Tool | None, *, looked_at_by: str | None) -> Outcome | None:
        """What became of an unsafe call that a crash interrupted; None: it surely did not happen."""
        if tool is not None and tool.verify is not None:
            try:
                found = await tool.verify(self._call(call), call["input"])
            except Unknown:
                pass
            else:
                return None if found is None else Outcome("success", found)
        if self._when_unknown == "park" and looked_at_by is None:
            await self.park(f"the outcome of {call['name']} is unknown: {str(call['input'])[:SHOWN]}")
        seen = f" {looked_at_by} has looked at it and lets you go on." if looked_at_by else ""
        return Outcome("unknown", UNKNOWN + seen)

    async def _outcome(self, tool: Tool, context: ToolCall, given: dict[str, Any]) -> Outcome:
        """Run it.  What it raises otherwise (a lost lease, a bug) ends the attempt."""
        try:
            answer = await tool.run(context, given)
        except Refused as refusal:
            return Outcome("blocked", str(refusal))
        except (ToolError, InvalidTask) as error:
            return Outcome("error", str(error))
        except DatabaseError:
            raise  # the queue's own: no fault of the tool, and the call is still open
        except TimeoutError as error:
            words = f"{tool.name}: took too long{f': {error}' if str(error) else ''}"
            return Outcome("timeout", words + _perhaps(tool))
        except OSError as error:
            return Outcome("error", f"{tool.name}: {error.strerror or 'failed'}" + _perhaps(tool))
        if not isinstance(answer, Answer):
            answer = Answer(answer)
        return Outcome("error" if answer.is_error else "success", answer.text, answer.artifact)

    def _call(self, call: Block, transaction: Any = None) -> ToolCall:
        return ToolCall(
            task=self._task,
            key=f"{self._task.id}:{call['id']}",
            workspace=self._workspace,
            connection=transaction,
        )

    def _proposal(self, call: Block) -> dict[str, Any]:
        tool = self._tools.get(call["name"])
        return {
            "call_id": call["id"],
            "tool": call["name"],
            "effect": "read" if tool is None else _effect(tool, call),
            "input": json.dumps(call["input"], ensure_ascii=False),
            "needs_approval": tool is not None
            and (tool.needs_approval or any(fnmatchcase(tool.name, glob) for glob in self._needs_approval)),
        }


def _perhaps(tool: Tool) -> str:
    """What a broken connection leaves open."""
    return "" if tool.effect == "read" else " (it may have happened all the same)"


def _effect(tool: Tool, call: Block) -> Effect:
    """What the call does to the world; what is no object is refused before it does anything."""
    return tool.effect_for(call["input"]) if isinstance(call["input"], dict) else "read"


class _RolledBack(Exception):
    """Leaves the transaction of a tool that did not succeed."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome
