"""Tools that give work to others: `delegate` to another role, `ask_human` to a person.

The child, its edge and the parent's wait are one transaction, keyed by the tool call; the parent holds no slot
meanwhile, and goes on with the child's result as the result of that call.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from taskq.agent.untrusted import wrap
from taskq.task import Child
from taskq.tool import Answer, Refused, Tool, ToolCall, tool_from

HUMAN = "human"
"""The role of what a person is asked: `taskq.complete(id, result, actor)` answers it."""


def delegate_tool(roles: Sequence[str]) -> Tool:
    """The tool by which an agent gives a task to one of these roles (globs)."""

    async def delegate(
        call: ToolCall,
        role: Annotated[str, Meta(description=f"Who does it: {', '.join(roles)}.")],
        objective: Annotated[str, Meta(min_length=1, description="What is to be done, whole in itself.")],
        name: Annotated[str, Meta(description="A short name for people.")] = "",
        details: Annotated[dict[str, Any], Meta(description="Facts that it needs.")] = {},  # noqa: B006
    ) -> Answer:
        """Give a part of the work to another role and wait for its result. Calls in one turn run one after
        another; what is independent can go into one call each."""
        if not any(fnmatchcase(role, glob) for glob in roles):
            raise Refused(f"delegate: {role} is not among the roles you may give work to ({', '.join(roles)})")
        payload = {**details, **_place(call), "objective": objective}
        [child] = await call.task.spawn(
            [{"role": role, "name": name or None, "payload": payload}], key=call.key
        )
        return _answer(child, call)

    return tool_from(delegate, effect="idempotent")


async def _ask_human(
    call: ToolCall,
    question: Annotated[str, Meta(min_length=1, description="What a person must decide or know.")],
) -> Answer:
    """Ask a person and wait for the answer. People are slow: ask only what you cannot find out or decide."""
    [child] = await call.task.spawn(
        [{"role": HUMAN, "name": question[:80], "payload": {"question": question}}], key=call.key
    )
    return _answer(child, call)


ASK_HUMAN = tool_from(_ask_human, effect="idempotent", name="ask_human")


def _place(call: ToolCall) -> dict[str, Any]:
    """The child works where its parent does, unless it is told otherwise."""
    return {
        name: call.task.payload[name] for name in ("directory", "repository") if name in call.task.payload
    }


def _answer(child: Child, call: ToolCall) -> Answer:
    """What became of a child, as data."""
    if child.status != "completed":
        why = f"task {child.id} {child.status}: {child.error_kind}: {child.error}"
        return Answer(why, artifact=str(child.id), is_error=True)
    result = child.result
    if isinstance(result, dict) and "response" in result and "turns" in result:
        result = result["response"]
    text = result if isinstance(result, str) else msgspec.json.encode(result).decode()
    return Answer(wrap(text, source=f"task {child.id}", key=call.key), artifact=str(child.id))
