"""What comes in, checked: the query and the body of a request as the structs that an operation declared."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec.inspect import BoolType, FloatType, IntType, ListType, Metadata, NoneType, Type, UnionType
from starlette.datastructures import Headers, QueryParams

from taskq.web.problems import FieldError, Refused, invalid

S = TypeVar("S", bound=msgspec.Struct)


def read_query(kind: type[S] | None, given: QueryParams) -> S | None:
    """The parameters of a query; those that are lists may be given several times.

    :raises Refused: one is unknown, given too often, or not of its type.
    """
    parameters = {} if kind is None else parameters_of(kind)
    values: dict[str, Any] = {}
    for name in given:
        if name not in parameters:
            raise refused(name, f"unknown parameter; there are: {', '.join(parameters) or 'none'}")
        texts, (is_list, is_text) = given.getlist(name), parameters[name]
        if not is_list and len(texts) > 1:
            raise refused(name, "given more than once")
        read = [text if is_text else number(text) for text in texts]
        values[name] = read if is_list else read[0]
    try:
        query = None if kind is None else msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise invalid(error) from error
    without_nul(values)
    return query


@cache
def parameters_of(kind: type[msgspec.Struct]) -> dict[str, tuple[bool, bool]]:
    """Name → whether it is a list, and whether it is text rather than a number or truth."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    found = {}
    for field in info.fields:
        one = some(field.type)
        item = some(one.item_type) if isinstance(one, ListType) else one
        found[field.encode_name] = (
            isinstance(one, ListType),
            not isinstance(item, IntType | FloatType | BoolType),
        )
    return found


def some(kind: Type) -> Type:
    """The type without its None and its words."""
    if isinstance(kind, Metadata):
        return some(kind.type)
    if isinstance(kind, UnionType):
        return some(next(t for t in kind.types if not isinstance(some(t), NoneType)))
    return kind


def number(text: str) -> Any:
    """A number or a truth, as JSON writes it; the text itself where it is none, which is then refused."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return text


def read_body(kind: type[S], headers: Headers, body: bytes) -> S:
    """The JSON body; nothing at all is an empty object.

    :raises Refused: it is no JSON (400, 415), or not what was declared (422).
    """
    if not body and "content-type" not in headers:
        body = b"{}"
    elif headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "the body must be application/json")
    try:
        read = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise invalid(error) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refused(400, f"the body is no JSON: {error}") from error
    if rb"\u0000" in body:
        without_nul(msgspec.to_builtins(read))
    return read


def without_nul(value: Any, path: str = "") -> None:
    """Postgres keeps no NUL in a text.

    :raises Refused: there is one; its field is named.
    """
    if isinstance(value, str):
        if "\0" in value:
            raise refused(path, "a NUL cannot be kept; remove it from the text")
    elif isinstance(value, dict):
        for name, item in value.items():
            without_nul(name, path)
            without_nul(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            without_nul(item, f"{path}[{number}]")


def refused(name: str, message: str) -> Refused:
    """A refused parameter."""
    return Refused(422, f"{name}: {message}", [FieldError(name, message)])
