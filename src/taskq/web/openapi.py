"""The OpenAPI document, from the table of operations."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec

from taskq import __version__
from taskq.web.operations import PREFIX, Operation, phrase
from taskq.web.problems import CONTENT_TYPE, Problem

ALWAYS = (400, 401, 403, 421, 422, 503)
"""What any operation may answer: a query or host that cannot be read, no token, its scope, no database."""
WITH_BODY = (413, 415)
WITH_PATH = (404,)
REF = "#/components/schemas/{name}"
PARAMETER = re.compile(r"\{(\w+):(\w+)\}")
FORMATS = {
    "uuid": {"type": "string", "format": "uuid"},
    "str": {"type": "string"},
    "path": {"type": "string", "minLength": 1, "maxLength": 200},
    "int": {"type": "integer"},
}


def document(operations: list[Operation]) -> dict[str, Any]:
    """The document of these operations: OpenAPI 3.1."""
    types = [Problem, *(t for o in operations for t in (o.query, o.body, o.returns) if t is not None)]
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    by_type = dict(zip(map(id, types), schemas, strict=True))
    paths: dict[str, Any] = {}
    for operation in operations:
        path = PREFIX + PARAMETER.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = described(operation, by_type, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "taskq", "version": __version__, "description": "Mission Control's API."},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def described(operation: Operation, schemas: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    """One operation."""
    problem = {"content": {CONTENT_TYPE: {"schema": schemas[id(Problem)]}}}
    said: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": " ".join(operation.description.partition("\n\n")[0].split()),
        "description": operation.description,
        "parameters": [*path_parameters(operation), *query_parameters(operation, schemas, components)],
        "responses": {
            str(operation.status): {
                "description": phrase(operation.status),
                "content": {operation.media_type: {"schema": schemas[id(operation.returns)]}},
            },
            **{str(status): {"description": phrase(status), **problem} for status in refusals(operation)},
        },
        "x-scope": operation.scope,
    }
    if operation.scope is None:
        said["security"] = []
    if operation.body is not None:
        said["requestBody"] = {
            "required": operation.needs_body,
            "content": {"application/json": {"schema": schemas[id(operation.body)]}},
        }
    return said


def refusals(operation: Operation) -> list[int]:
    """The statuses that it may refuse with."""
    found = {*ALWAYS, *operation.refusals}
    found.update(WITH_BODY if operation.body is not None else ())
    found.update(WITH_PATH if "{" in operation.path else ())
    return sorted(found)


def path_parameters(operation: Operation) -> list[dict[str, Any]]:
    """The parameters in the path."""
    return [
        {"name": name, "in": "path", "required": True, "schema": FORMATS[kind]}
        for name, kind in PARAMETER.findall(operation.path)
    ]


def query_parameters(
    operation: Operation, schemas: dict[int, Any], components: dict[str, Any]
) -> list[dict[str, Any]]:
    """The fields of the query's struct."""
    if operation.query is None:
        return []
    schema = components[schemas[id(operation.query)]["$ref"].rpartition("/")[2]]
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": without_null(field),
            "description": without_null(field).get("description", ""),
        }
        for name, field in schema["properties"].items()
    ]


def without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema: one that may be left out is never sent as null."""
    if "anyOf" not in schema:
        return schema
    [only] = [one for one in schema["anyOf"] if one != {"type": "null"}]
    return dict(only)


@cache
def shipped() -> bytes:
    """The document of this version, as JSON."""
    from taskq.web.api import OPERATIONS

    return msgspec.json.encode(document(OPERATIONS))
