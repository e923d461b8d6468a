"""Tools that give work to others: `delegate` to another role, `ask_human` to a person.

The child, its edge and the parent's wait are one transaction, keyed by the tool call; the parent holds no
slot meanwhile, and goes on with the child's result as the result of that call.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from taskq.agent.text import without_nul
from taskq.agent.untrusted import marked
from taskq.agent.workspace import place_of
from taskq.durable import Done, as_json
from taskq.errors import Fail
from taskq.tool import Answer, Input, Refused, Tool, ToolCall, ToolError, from_function, schema_of

HUMAN: Final = "human"
"""The role of what a person is asked: `taskq.complete(id, result, actor)` answers it."""
ANSWER_CHARACTERS: Final = 16_000
"""Most characters of a child's result that its parent is shown."""

_WHAT: Final = (
    "Give a part of the work to another role and wait for its result, which is the result of this call."
    " Several calls in one turn are done side by side. The roles that there are: {roles}."
)


class Delegation(msgspec.Struct, forbid_unknown_fields=True):
    """What `delegate` takes."""

    role: Annotated[str, Meta(min_length=1, max_length=200, description="Who does it.")]
    objective: Annotated[str, Meta(min_length=1, description="What is to be done, whole in itself.")]
    name: Annotated[str, Meta(max_length=200, description="A short name for people.")] = ""
    details: Annotated[dict[str, Any], Meta(description="Facts that it needs.")] = {}


def delegate(roles: Sequence[str]) -> Tool:
    """The tool by which an agent gives a task to one of these roles (globs)."""

    def child(call: ToolCall, given: Input) -> dict[str, Any]:
        tool.check(given)
        wanted = msgspec.convert(without_nul(given), Delegation)
        if not any(fnmatchcase(wanted.role, glob) for glob in roles):
            raise Refused(
                f"delegate: you may not give work to {wanted.role!r}, only to {', '.join(roles) or 'nobody'}"
            )
        payload = {**wanted.details, **place_of(call.task.payload), "objective": wanted.objective}
        return {"role": wanted.role, "name": wanted.name or None, "payload": payload}

    async def run(call: ToolCall, given: Input) -> Answer:
        return await _child_of(call, child(call, given))

    async def begin(call: ToolCall, given: Input) -> None:
        await call.task.call("spawn_ahead", call.key, _text(child(call, given)))

    tool = Tool(
        name="delegate",
        description=_WHAT.format(roles=", ".join(roles)),
        schema=schema_of(Delegation),
        effect="idempotent",
        run=run,
        begin=begin,
        input=Delegation,
    )
    return tool


async def ask(
    call: ToolCall,
    question: Annotated[str, Meta(min_length=1, description="What a person must decide or knows.")],
) -> Answer:
    """Ask a person and wait for the answer. People are slow: ask only what you can neither find out nor
    decide."""
    question = without_nul(question)
    return await _child_of(call, {"role": HUMAN, "name": question[:80], "payload": {"question": question}})


ASK_HUMAN: Final = from_function(ask, name="ask_human", effect="idempotent")


async def _child_of(call: ToolCall, task: dict[str, Any]) -> Answer:
    _text(task)
    return _answer(await call.task.spawn([task], key=call.key))


def _text(task: dict[str, Any]) -> str:
    """:raises ToolError: it is too large, or no JSON that Postgres keeps."""
    try:
        return as_json("delegate", [task])
    except Fail as error:
        raise ToolError(str(error)) from None


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
