"""A tool made of an annotated function."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from taskq.errors import SettingsError
from taskq.threads import run_in_thread
from taskq.tool.model import Answer, Effect, Input, Tool, ToolCall, ToolError

Function = Callable[..., Any]


def from_function(
    function: Function,
    *,
    effect: Effect,
    needs_approval: bool = False,
    name: str | None = None,
    verify: Function | None = None,
) -> Tool:
    """A tool made of a function: its parameters are the input, its docstring the description.

    A first parameter annotated `ToolCall` gets the call.  A sync function runs in a thread of its own.  What
    it returns is a text, an `Answer`, or a value that is shown as JSON.

    :raises SettingsError: the function cannot be a tool; the message says why.
    """
    named = name or str(getattr(function, "__name__", ""))
    parameters, takes_call = _parameters(named, function)
    if effect == "transactional" and not (takes_call and inspect.iscoroutinefunction(function)):
        raise SettingsError(
            f"tool {named}: a transactional tool is an async function whose first parameter is a ToolCall:"
            " it writes through the call's connection"
        )
    type_ = _input(named, parameters)

    async def run(call: ToolCall, given: Input) -> str | Answer:
        fields = msgspec.structs.asdict(_converted(named, given, type_))
        return _answer(await _invoke(named, function, *([call] if takes_call else []), **fields))

    async def verified(call: ToolCall, given: Input) -> str | None:
        assert verify is not None
        found: str | None = await _invoke(named, verify, call, given)
        return found

    return Tool(
        name=named,
        description=" ".join((inspect.getdoc(function) or "").split()),
        schema=schema_of(type_),
        effect=effect,
        needs_approval=needs_approval,
        run=run,
        verify=verified if verify is not None else None,
        input=type_,
    )


def schema_of(type_: Any) -> dict[str, Any]:
    """The JSON schema of a struct's type, without its name and docstring."""
    [schema], components = msgspec.json.schema_components([type_])
    own = components.pop(schema["$ref"].removeprefix("#/$defs/"))
    own.pop("title", None)
    own.pop("description", None)
    return {**own, "$defs": components} if components else own


def _parameters(name: str, function: Function) -> tuple[list[tuple[inspect.Parameter, Any]], bool]:
    """The parameters that the model fills in, with their types; and whether the call comes before them."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise SettingsError(
            f"tool {name}: {error}; its annotations must name what its module knows"
        ) from error
    parameters = list(inspect.signature(function).parameters.values())
    takes_call = bool(parameters) and hints.get(parameters[0].name) is ToolCall
    found = []
    for parameter in parameters[takes_call:]:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise SettingsError(f"tool {name}: {parameter}: a tool's parameters are given by name")
        if parameter.name not in hints:
            raise SettingsError(f"tool {name}: annotate {parameter.name} with its type")
        found.append((parameter, hints[parameter.name]))
    return found, takes_call


def _input(name: str, parameters: list[tuple[inspect.Parameter, Any]]) -> Any:
    """The struct that an input is checked into."""
    fields: list[Any] = []
    for parameter, type_ in parameters:
        default = parameter.default
        fields.append((parameter.name, type_, msgspec.NODEFAULT if default is parameter.empty else default))
    try:
        struct = msgspec.defstruct(name, fields, forbid_unknown_fields=True, kw_only=True)
        schema_of(struct)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"tool {name}: its parameters have no JSON schema: {error}") from error
    return struct


def _converted(name: str, given: object, type_: Any) -> Any:
    try:
        return msgspec.convert(given, type_)
    except msgspec.ValidationError as error:
        raise ToolError(f"{name}: wrong input: {error}") from None


async def _invoke(name: str, function: Function, /, *args: Any, **fields: Any) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*args, **fields)
    return await run_in_thread(lambda: function(*args, **fields), name=f"taskq tool {name}")


def _answer(value: Any) -> str | Answer:
    return value if isinstance(value, str | Answer) else msgspec.json.encode(value).decode()
