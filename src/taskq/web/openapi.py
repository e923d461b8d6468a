"""The OpenAPI document, from the table of operations."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec

from taskq import __version__
from taskq.web.operations import PREFIX, Operation, phrase
from taskq.web.problems import CONTENT_TYPE, Problem

COMMON = {
    400: "query or body cannot be read",
    401: "no token",
    403: "scope",
    422: "invalid",
    503: "database away",
}
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
    refusals = {
        status: {"description": phrase(status), **problem} for status in (*COMMON, *operation.refusals)
    }
    said: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.description.partition("\n")[0],
        "description": operation.description,
        "parameters": [*path_parameters(operation), *query_parameters(operation, schemas, components)],
        "responses": {
            str(operation.status): {
                "description": phrase(operation.status),
                "content": {operation.media_type: {"schema": schemas[id(operation.returns)]}},
            },
            **{str(status): refusal for status, refusal in sorted(refusals.items())},
        },
    }
    if operation.scope is None:
        said["security"] = []
    if operation.body is not None:
        said["requestBody"] = {
            "required": operation.needs_body,
            "content": {"application/json": {"schema": schemas[id(operation.body)]}},
        }
    return said


def path_parameters(operation: Operation) -> list[dict[str, Any]]:
    """The parameters in the path; those with an id may not be there, which is a 404."""
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
            "schema": field,
            "description": field.get("description", ""),
        }
        for name, field in schema["properties"].items()
    ]


@cache
def shipped() -> bytes:
    """The document of this version, as JSON."""
    from taskq.web.api import OPERATIONS

    return msgspec.json.encode(document(OPERATIONS))
