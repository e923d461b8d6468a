"""The agent loop: ask the model, commit what it said, run its tools, commit what they returned; again.

Where a run stands is nothing but the committed messages and the ledger of tool calls.  So a crashed run and a
fresh one take the same path: look at the last turn and do what comes after it.
"""

from __future__ import annotations

from typing import Any, Final

from taskq.agent import prompt
from taskq.agent.breaker import GO_ON, Breaker, reason, warning
from taskq.agent.claude import Claude
from taskq.agent.conversation import Conversation
from taskq.agent.executor import Executor
from taskq.agent.inspection import Inspection
from taskq.agent.manifest import Manifest
from taskq.agent.prices import Prices
from taskq.agent.shapes import Block, Outcome, text_of
from taskq.agent.text import cut, without_nul
from taskq.agent.tools import FILE_TOOLS, SUBMIT
from taskq.agent.turns import Asking
from taskq.agent.workspace import Workspace
from taskq.errors import Fail
from taskq.task import Task
from taskq.tool import Tool

NOTE_CHARACTERS: Final = 160

# Adds nothing to a prefix and makes every later turn read it from the provider's cache.
_CACHE: Final = {"type": "ephemeral"}


class Run:
    """One attempt of an agent at a task.

    :param tools: what it may call, by name.
    :param workspace: where its file tools work.
    """

    def __init__(
        self,
        task: Task,
        manifest: Manifest,
        claude: Claude,
        conversation: Conversation,
        *,
        tools: dict[str, Tool],
        workspace: Workspace,
        prices: Prices,
    ) -> None:
        self.task, self.manifest, self.conversation = task, manifest, conversation
        self.simulated = claude.simulated
        self.workspace = workspace
        self.submits, self.has_files = SUBMIT in tools, not FILE_TOOLS.isdisjoint(tools)
        self.executor = Executor(
            task,
            conversation,
            tools,
            workspace,
            needs_approval=manifest.approve,
            when_unknown=manifest.unknown_outcome,
        )
        self.asking = Asking(task, manifest, claude, conversation, prices)
        self.inspection = Inspection(task, manifest, workspace, conversation, tools.get(SUBMIT))
        self.request = self._request(list(tools.values()))

    async def to_its_end(self) -> dict[str, Any]:
        """Turn after turn until the model has handed in a response that its evidence supports.

        :returns: `response` (the submitted object, or the text of the last turn), `usage` (tokens of all
            turns), `cost` (US dollars), `tools` (calls by name), `turns`, `resumed_turns` (those found
            committed), `model`, `simulated`.
        :raises Fail: a budget or the turns are used up, the model stopped short, or the evidence is missing.
        :raises Snooze, Suspended: the task waits.
        """
        await self._begin()
        while True:
            if self.conversation.is_the_models_turn():
                await self._ask()
                continue
            calls = self.conversation.unanswered()
            if not calls:
                text = text_of(self.conversation.last_turn() or [])
                if await self._accepts(text):
                    return self._result(text)
            elif (submitted := await self._submission(calls)) is not None:
                return self._result(submitted)

    async def _begin(self) -> None:
        """Commit the prompt before the first call, so that a resumed run sends the very same."""
        await self.executor.open()
        if not self.conversation.sent:
            text = prompt.first_message(self.task, jailed=self.has_files)
            await self.conversation.tell(
                [{"type": "text", "text": text}], note=f"turn 1: asking {self.manifest.model}"
            )
        elif resumed := self.conversation.resumed_turns:
            await self.task.progress(None, f"resumed after turn {resumed}")
            if self.conversation.is_the_models_turn():
                await self._break_loops(resumed=True)

    async def _ask(self) -> None:
        """Have the model finish one message, and commit it."""
        if self.conversation.turns >= self.manifest.max_turns:
            raise Fail(
                f"no result within {self.manifest.max_turns} turns (max_turns)", kind="budget_exceeded"
            )
        paid = await self.asking.ask({**self.request, "messages": self.conversation.sent})
        if paid is None:
            return
        await self.conversation.record(paid.turn, cost=paid.cost, propose=self._propose)
        if self.conversation.is_the_models_turn():
            raise Fail(_stopped_short(paid.turn.stop_reason, self.manifest), kind="agent_error")

    async def _submission(self, calls: list[Block]) -> Any:
        """The response that a turn hands in and that is accepted; else its tools are run, and it is None."""
        submissions = [call for call in calls if self.submits and call["name"] == SUBMIT]
        others = [call for call in calls if call not in submissions]
        for call in submissions:  # first: what is accepted ends the task without the others
            if await self._hands_in(call, is_last=not others and call is submissions[-1]):
                return call["input"]
        await self.executor.begin(others)
        for call in others:
            await self.executor.run(call, more=self._more(call is others[-1]))
        await self._break_loops()
        return None

    async def _hands_in(self, call: Block, *, is_last: bool) -> bool:
        """Whether the submission counts; if not, the model is told why."""
        report = await self.inspection.report(call["input"])
        if report is None:
            await self.executor.settle(call, "accepted")
            return True
        await self.conversation.answer(call, Outcome("error", report), more=self._more(is_last))
        return False

    async def _accepts(self, text: str) -> bool:
        """Whether the last words count as the result; if not, the model is told why."""
        report = await self.inspection.report(text)
        if report is not None:
            await self.conversation.tell([{"type": "text", "text": report}])
        return report is None

    async def _break_loops(self, *, resumed: bool = False) -> None:
        """An agent that does the same again and again is told so; then a person looks at it."""
        breaker = Breaker(self.manifest.repeat_warning, self.manifest.repeat_limit)
        verdicts = breaker.read(self.conversation.latest())
        if "park" in verdicts.values():
            if not (resumed and await self.task.call("was_let_go")):
                await self.executor.park(reason(verdicts))
            await self.conversation.tell([{"type": "text", "text": GO_ON}])
        elif verdicts and not resumed:
            await self.conversation.tell([{"type": "text", "text": warning(verdicts)}])

    def _more(self, is_last: bool) -> list[Block]:
        """What the model is told behind the results of a turn."""
        if is_last and self.submits and self.conversation.turns == self.manifest.max_turns - 1:
            return [{"type": "text", "text": prompt.LAST_TURN}]
        return []

    def _propose(self, calls: list[Block]) -> tuple[list[dict[str, Any]], str | None]:
        words = ", ".join(_call_words(call) for call in calls)
        note = f"turn {self.conversation.turns + 1}: {words}" if calls else None
        return self.executor.proposals(calls), note and cut(
            without_nul(" ".join(note.split())), NOTE_CHARACTERS
        )

    def _request(self, tools: list[Tool]) -> dict[str, Any]:
        """Everything of a request but its model and messages: the same in every turn."""
        request: dict[str, Any] = {
            "max_tokens": self.manifest.max_output_tokens,
            "system": prompt.system(self.manifest, submits=self.submits),
            "cache_control": _CACHE,
        }
        if tools:
            request["tools"] = [self.inspection.offer(tool) for tool in tools]
        return request

    def _result(self, response: Any) -> dict[str, Any]:
        return {
            "response": without_nul(response),
            "usage": self.conversation.usage(),
            "cost": self.conversation.cost(),
            "tools": self.conversation.tools(),
            "turns": self.conversation.turns,
            "resumed_turns": self.conversation.resumed_turns,
            "model": self.conversation.model(),
            "simulated": self.simulated,
        }


def _call_words(call: Block) -> str:
    """A tool call in a word or two, for people."""
    given = call["input"] if isinstance(call["input"], dict) else {}
    return " ".join([call["name"], *(str(given[name]) for name in ("pattern", "path") if name in given)])


def _stopped_short(stop_reason: str | None, manifest: Manifest) -> str:
    """Why a finished message cannot be built on."""
    if stop_reason == "max_tokens":
        return (
            f"a turn needed more than {manifest.max_output_tokens} tokens (the manifest's max_output_tokens)"
        )
    if stop_reason == "refusal":
        return "the model refused to go on"
    if stop_reason == "model_context_window_exceeded":
        return "the conversation is longer than the model's context window"
    return f"the model stopped without saying anything (stop_reason {stop_reason})"
