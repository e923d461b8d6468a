"""Tools that give work to others: `delegate` to another role, `ask_human` to a person.

The child, its edge and the parent's wait are one transaction, keyed by the tool call; the parent holds no
slot meanwhile, and goes on with the child's result as the result of that call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from taskq.agent.untrusted import marked
from taskq.agent.workspace import place_of
from taskq.durable import Done
from taskq.tool import Answer, Input, Refused, Tool, ToolCall, from_function

HUMAN: Final = "human"
"""The role of what a person is asked: `taskq.complete(id, result, actor)` answers it."""
ANSWER_CHARACTERS: Final = 16_000
"""Most characters of a child's result that its parent is shown."""

Details = Annotated[dict[str, Any], Meta(description="Facts that it needs.")]


def delegate(roles: Sequence[str]) -> Tool:
    """The tool by which an agent gives a task to one of these roles (globs)."""

    def child(
        call: ToolCall, role: str, objective: str, name: str, details: dict[str, Any]
    ) -> dict[str, Any]:
        if not any(fnmatchcase(role, glob) for glob in roles):
            raise Refused(
                f"delegate: you may not give work to {role!r}, only to {', '.join(roles) or 'nobody'}"
            )
        return {
            "role": role,
            "name": name or None,
            "payload": {**details, **place_of(call.task.payload), "objective": objective},
        }

    async def run(
        call: ToolCall,
        role: str,
        objective: Annotated[str, Meta(min_length=1, description="What is to be done, whole in itself.")],
        name: Annotated[str, Meta(max_length=200, description="A short name for people.")] = "",
        details: Details = {},  # noqa: B006  read only
    ) -> Answer:
        """Give a part of the work to another role and wait for its result, which is the result of this call.
        Several calls in one turn are done side by side."""
        task = child(call, role, objective, name, details)
        return _answer(await call.task.spawn([task], key=call.key))

    async def begin(call: ToolCall, given: Input) -> None:
        tool.check(given)
        fields = {"name": "", "details": {}, **given}
        await call.task.call("spawn_ahead", call.key, msgspec.json.encode([child(call, **fields)]).decode())

    # Annotations are looked up among the module's names, and the roles are none of them.
    run.__annotations__["role"] = Annotated[str, Meta(description=f"Who does it: {', '.join(roles)}.")]
    tool = from_function(run, name="delegate", effect="idempotent")
    return replace(tool, begin=begin)


async def ask(
    call: ToolCall,
    question: Annotated[str, Meta(min_length=1, description="What a person must decide or knows.")],
) -> Answer:
    """Ask a person and wait for the answer. People are slow: ask only what you can neither find out nor
    decide."""
    task = {"role": HUMAN, "name": question[:80], "payload": {"question": question}}
    return _answer(await call.task.spawn([task], key=call.key))


ASK_HUMAN: Final = from_function(ask, name="ask_human", effect="idempotent")


def _answer(children: Sequence[Done]) -> Answer:
    """What became of a child, as data."""
    [child] = children
    if child.status != "completed":
        why = marked(str(child.error), f"the error of task {child.id}", most=ANSWER_CHARACTERS)
        text = f"task {child.id} {child.status}: {child.error_kind}\n{why}"
        return Answer(text, artifact=str(child.id), is_error=True)
    result = child.result
    if isinstance(result, dict) and "response" in result and "turns" in result:
        result = result["response"]
    text = result if isinstance(result, str) else msgspec.json.encode(result).decode()
    return Answer(marked(text, f"task {child.id}", most=ANSWER_CHARACTERS), artifact=str(child.id))
