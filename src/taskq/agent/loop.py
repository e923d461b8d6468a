"""The agent loop: ask the model, commit what it said, run its tools, commit what they returned; again.

Where a run stands is nothing but the committed messages.  So a crashed run and a fresh one take the same
path: look at the last message and do what comes after it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from taskq.agent import prompt
from taskq.agent.claude import Claude
from taskq.agent.conversation import Block, Conversation, text_of, tool_calls
from taskq.agent.manifest import Manifest
from taskq.agent.text import clean, cut, without_nul
from taskq.agent.tools import SUBMIT, Toolbox
from taskq.errors import Fail
from taskq.task import Task

NOTE_CHARACTERS: Final = 160

# Adds nothing to a prefix and makes every later turn read it from the provider's cache.
_CACHE: Final = {"type": "ephemeral"}


async def run(task: Task, manifest: Manifest, claude: Claude) -> dict[str, Any]:
    """Play a role on a task, from wherever its conversation ends.

    :returns: `response` (the submitted object, or the text of the last turn), `usage` (tokens of all turns),
        `tools` (calls by name), `turns`, `resumed_turns` (those found committed), `model`, `simulated`.
    :raises Retry: the provider failed or asked to wait.
    :raises Fail: the role's turns are used up, the model stopped short, or the task cannot be done at all.
    :raises LeaseLost: another worker owns the task now.
    """
    conversation = await Conversation.open(task, simulated=claude.simulated)
    return await Run(task, manifest, claude, conversation).to_its_end()


class Run:
    """One attempt of an agent at a task."""

    def __init__(self, task: Task, manifest: Manifest, claude: Claude, conversation: Conversation) -> None:
        self.task = task
        self.manifest = manifest
        self.claude = claude
        self.conversation = conversation
        self.toolbox = Toolbox(manifest.tools, task.payload.get("directory"))
        self.submits = SUBMIT in self.toolbox.tools
        self.request = self._request()

    async def to_its_end(self) -> dict[str, Any]:
        """Turn after turn until the model has handed in its response."""
        await self._begin()
        while True:
            content = self.conversation.answered()
            if content is None:
                await self._ask()
                continue
            calls = tool_calls(content)
            if not calls:
                return self._result(text_of(content))
            submitted = self.toolbox.submission(calls)
            if submitted is not None:
                return self._result(submitted)
            await self._run_tools(calls)

    async def _begin(self) -> None:
        """Commit the prompt before the first call, so that a resumed run sends the very same."""
        if not self.conversation.sent:
            text = prompt.first_message(self.task, jailed=self.toolbox.jail is not None)
            await self.conversation.tell([{"type": "text", "text": text}])
        resumed = self.conversation.resumed_turns
        await self._note(
            f"resumed after turn {resumed}" if resumed else f"turn 1: asking {self.manifest.model}"
        )

    async def _ask(self) -> None:
        """Have the model finish one message, and commit it."""
        if self.conversation.turns >= self.manifest.max_turns:
            raise Fail(
                f"no result within {self.manifest.max_turns} turns (max_turns)", kind="budget_exceeded"
            )
        turn = await self.claude.turn({**self.request, "messages": self.conversation.sent})
        await self.conversation.record(turn)
        if self.conversation.answered() is None:
            raise Fail(_stopped_short(turn.stop_reason, self.manifest), kind="agent_error")

    async def _run_tools(self, calls: list[Block]) -> None:
        """Run the tools of a turn in order, and commit their results as one message."""
        await self._note(f"turn {self.conversation.turns}: {', '.join(_call_words(call) for call in calls)}")
        content = [await self.toolbox.run(call) for call in calls]
        if self.submits and self.conversation.turns == self.manifest.max_turns - 1:
            content.append({"type": "text", "text": prompt.LAST_TURN})
        await self.conversation.tell(content)

    async def _note(self, words: str) -> None:
        line = without_nul(clean(" ".join(words.split())))
        # A note is not worth an attempt; a commit waits for the database in its stead.
        with suppress(ConnectionError):
            await self.task.progress(None, cut(line, NOTE_CHARACTERS))

    def _request(self) -> dict[str, Any]:
        """Everything of a request but its messages: the same in every turn."""
        request: dict[str, Any] = {
            "model": self.manifest.model,
            "max_tokens": self.manifest.max_output_tokens,
            "system": prompt.system(self.manifest, submits=self.submits),
            "cache_control": _CACHE,
        }
        if offers := self.toolbox.offers():
            request["tools"] = offers
        return request

    def _result(self, response: Any) -> dict[str, Any]:
        return {
            "response": without_nul(response),
            "usage": self.conversation.usage(),
            "tools": self.conversation.tools(),
            "turns": self.conversation.turns,
            "resumed_turns": self.conversation.resumed_turns,
            "model": self.conversation.model(),
            "simulated": self.claude.simulated,
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
