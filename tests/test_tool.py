"""Tools made of functions: their schema, what they take, and how they answer."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from taskq import Answer, App, Tool, ToolCall, ToolError
from taskq.agent.tools import TOOLS, allowed
from taskq.errors import SettingsError
from taskq.task import Task
from taskq.tool import from_function


@dataclass
class Line:
    """One line of an order."""

    article: str
    count: int = 1


def call() -> ToolCall:
    return ToolCall(task=Task(), key="key", workspace=None)


async def run(tool: Tool, **given: Any) -> Any:
    return await tool.run(call(), given)


def tool_of(function: Any, **how: Any) -> Tool:
    app = App()
    app.tool(**{"effect": "read", **how})(function)
    [tool] = app.tools.values()
    return tool


def order(
    customer: Annotated[str, Meta(min_length=1, description="Who orders.")],
    lines: list[Line],
    speed: Literal["slow", "fast"] = "slow",
    note: str | None = None,
) -> str:
    """Put an order
    into the book."""
    return f"{customer}: {sum(line.count for line in lines)} {speed} {note}"


def test_the_annotations_are_the_schema() -> None:
    offer = tool_of(order).offer()
    assert offer["name"] == "order"
    assert offer["description"] == "Put an order into the book."
    schema = offer["input_schema"]
    assert schema["type"] == "object"
    assert schema["required"] == ["customer", "lines"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["customer"] == {
        "type": "string",
        "minLength": 1,
        "description": "Who orders.",
    }
    assert schema["properties"]["speed"] == {"enum": ["fast", "slow"], "default": "slow"}
    assert schema["properties"]["lines"] == {"type": "array", "items": {"$ref": "#/$defs/Line"}}
    assert schema["$defs"]["Line"]["required"] == ["article"]


async def test_an_input_becomes_the_arguments() -> None:
    answer = await run(tool_of(order), customer="Ada", lines=[{"article": "ink", "count": 3}], speed="fast")
    assert answer == "Ada: 3 fast None"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"lines": []}, "`customer`"),
        ({"customer": 3, "lines": []}, "$.customer"),
        ({"customer": "", "lines": []}, "$.customer"),
        ({"customer": "Ada", "lines": [{"article": "ink", "count": "3"}]}, "$.lines[0].count"),
        ({"customer": "Ada", "lines": [], "speed": "idle"}, "$.speed"),
        ({"customer": "Ada", "lines": [], "discount": 50}, "`discount`"),
        ([], "object"),
        (None, "object"),
        ("customer", "object"),
    ],
)
async def test_an_input_that_does_not_fit_is_an_error_that_names_the_field(given: Any, named: str) -> None:
    tool = tool_of(order)
    with pytest.raises(ToolError) as checked:
        tool.check(given)
    with pytest.raises(ToolError) as ran:
        await tool.run(call(), given)
    assert str(checked.value) == str(ran.value)
    assert str(checked.value).startswith("order: wrong input: ")
    assert named in str(checked.value)


async def test_the_first_parameter_may_be_the_call() -> None:
    async def tell_key(call: ToolCall, suffix: str) -> str:
        """Tell the key."""
        return call.key + suffix

    tool = tool_of(tell_key)
    assert list(tool.schema["properties"]) == ["suffix"]
    assert await run(tool, suffix="!") == "key!"


async def test_a_tool_may_take_nothing() -> None:
    def now() -> str:
        """Tell the time."""
        return "noon"

    tool = tool_of(now)
    assert await run(tool) == "noon"
    with pytest.raises(ToolError):
        await run(tool, zone="UTC")


async def test_a_sync_function_runs_in_a_thread_and_an_async_one_on_the_loop() -> None:
    def sync() -> str:
        """Where am I?"""
        return str(threading.get_ident())

    async def on_loop() -> str:
        """Where am I?"""
        return str(threading.get_ident())

    assert await run(tool_of(sync)) != str(threading.get_ident())
    assert await run(tool_of(on_loop)) == str(threading.get_ident())


@pytest.mark.parametrize(
    ("returned", "answer"),
    [
        ("text", "text"),
        (Answer("text", artifact="a.txt"), Answer("text", artifact="a.txt")),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (None, "null"),
        (Line("ink"), '{"article":"ink","count":1}'),
    ],
)
async def test_what_is_no_text_is_answered_as_json(returned: Any, answer: Any) -> None:
    def give() -> Any:
        """Give it."""
        return returned

    assert await run(tool_of(give)) == answer


async def test_verify_gets_the_call_and_the_input() -> None:
    def verify(call: ToolCall, given: dict[str, Any]) -> str | None:
        return f"{call.key} {given['customer']}"

    tool = tool_of(order, effect="unsafe", verify=verify)
    assert tool.verify is not None
    assert await tool.verify(call(), {"customer": "Ada"}) == "key Ada"


def test_effect_approval_and_name_are_declared() -> None:
    tool = tool_of(order, effect="unsafe", needs_approval=True, name="place-order")
    assert (tool.name, tool.effect, tool.needs_approval) == ("place-order", "unsafe", True)
    assert tool.effect_for({}) == "unsafe"


def no_docstring(x: int) -> str:
    return str(x)


def no_annotation(x) -> str:
    """It has none."""
    return str(x)


def by_position(x: int, /) -> str:
    """It cannot be given by name."""
    return str(x)


def many(*x: int) -> str:
    """It has no schema."""
    return str(x)


def no_schema(x: threading.Lock) -> str:
    """A lock has no JSON."""
    return str(x)


async def no_call() -> str:
    """It has no connection to write through."""
    return ""


@pytest.mark.parametrize(
    ("function", "how", "why"),
    [
        (no_docstring, {}, "docstring"),
        (no_annotation, {}, "annotate x"),
        (by_position, {}, "by name"),
        (many, {}, "by name"),
        (no_schema, {}, "JSON schema"),
        (no_call, {"effect": "transactional"}, "ToolCall"),
        (order, {"effect": "transactional"}, "ToolCall"),
        (order, {"effect": "harmless"}, "effect must be one of"),
        (order, {"name": "two words"}, "letters, digits"),
        (order, {"name": "x" * 65}, "letters, digits"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_refused_when_it_is_declared(
    function: Any, how: dict[str, Any], why: str
) -> None:
    with pytest.raises(SettingsError, match=why):
        tool_of(function, **how)


def test_two_tools_of_one_name_are_refused() -> None:
    app = App()
    app.tool(effect="read")(order)
    with pytest.raises(SettingsError, match="twice"):
        app.tool(effect="read")(order)


def test_globs_choose_from_a_registry_in_its_order() -> None:
    tools = {**TOOLS, "order": from_function(order, effect="unsafe")}
    assert [tool.name for tool in allowed(["ord*", "read_*"], tools)] == ["read_file", "order"]
    with pytest.raises(LookupError, match=r"matches no tool; there are .*order"):
        allowed(["orders_*"], tools)
    assert allowed(["orders_*"], tools, is_whole=False) == []


def test_shipped_tools_declare_what_they_do_to_the_world() -> None:
    assert {tool.name: tool.effect for tool in TOOLS.values()} == {
        "list_dir": "read",
        "read_file": "read",
        "grep": "read",
        "write_file": "idempotent",
        "edit_file": "idempotent",
        "submit_result": "read",
    }
    assert [tool.name for tool in TOOLS.values() if tool.ends_task] == ["submit_result"]


def test_a_schema_is_json() -> None:
    for tool in [*TOOLS.values(), tool_of(order)]:
        assert msgspec.json.decode(msgspec.json.encode(tool.offer())) == tool.offer()


async def test_a_parameter_may_have_any_name() -> None:
    def about(name: str, function: str) -> str:
        """Both."""
        return f"{name} {function}"

    assert await run(tool_of(about), name="a", function="b") == "a b"
