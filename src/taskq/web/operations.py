"""The table of the API's operations: what is routed and what the OpenAPI document says are the same.

operations = Operations("tasks")

@operations.post("/tasks/{id:uuid}/cancel", scope="operate", body=Reason, returns=Moved)
async def cancel(call: Call[Any, Reason]) -> Moved:
    '''Cancel a task: at once when it waits; a running one is asked to stop.'''
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskq.web.access import Scope, visitor_of
from taskq.web.house import House, house_of
from taskq.web.incoming import read_body, read_query
from taskq.web.problems import Refused

PREFIX = "/api/v1"
Q = TypeVar("Q")
B = TypeVar("B")
Handler = Callable[["Call[Any, Any]"], Awaitable[Any]]


@dataclass(frozen=True)
class Call(Generic[Q, B]):
    """One request to an operation, checked: `query` and `body` are what the operation declared."""

    house: House
    actor: str
    query: Q
    body: B
    path: Mapping[str, Any]
    request: Request

    @property
    def id(self) -> UUID:
        """The task, mission or whatever the path names."""
        id: UUID = self.path["id"]
        return id


@dataclass(frozen=True)
class Operation:
    """One line of the table.

    :param scope: what the visitor's token must be good for; None for everybody.
    :param query: a msgspec.Struct of the query's parameters; None for none.
    :param body: the type of the JSON body; None for none.
    :param returns: the type of the answer.
    :param refusals: the statuses that it may refuse with, besides those that all have.
    :param media_type: what the answer is; of a stream, each message of which is what it `returns`.
    """

    method: str
    path: str
    scope: Scope | None
    handler: Handler
    tag: str
    returns: Any
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    status: int = 200
    refusals: tuple[int, ...] = ()
    media_type: str = "application/json"

    @property
    def name(self) -> str:
        return self.handler.__name__

    @property
    def description(self) -> str:
        return inspect.getdoc(self.handler) or ""

    async def serve(self, request: Request) -> Response:
        """Check the request, do it, and encode the answer.

        :raises Refused: the request is not what the operation declared, or the visitor may not.
        """
        visitor = visitor_of(request)
        if self.scope is not None and not visitor.may(self.scope):
            raise Refused(403, f"this takes a token with the scope {self.scope}")
        call = Call(
            house=house_of(request),
            actor=visitor.actor,
            query=self._query(request),
            body=await self._body(request),
            path=request.path_params,
            request=request,
        )
        found = await self.handler(call)
        if isinstance(found, Response):
            return found
        return Response(msgspec.json.encode(found), self.status, media_type="application/json")

    def _query(self, request: Request) -> Any:
        return read_query(self.query, request.query_params)

    async def _body(self, request: Request) -> Any:
        return None if self.body is None else read_body(self.body, request.headers, await request.body())

    @property
    def needs_body(self) -> bool:
        """Whether the body has something that must be said."""
        return self.body is not None and any(f.required for f in msgspec.structs.fields(self.body))


@dataclass
class Operations:
    """The operations of one subject."""

    tag: str
    listed: list[Operation] = field(default_factory=list)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.listed)

    def get(self, path: str, **how: Any) -> Callable[[Handler], Handler]:
        """Declare a GET; see Operation."""
        return self._declare("GET", path, **how)

    def post(self, path: str, **how: Any) -> Callable[[Handler], Handler]:
        """Declare a POST; see Operation."""
        return self._declare("POST", path, **how)

    def put(self, path: str, **how: Any) -> Callable[[Handler], Handler]:
        """Declare a PUT; see Operation."""
        return self._declare("PUT", path, **how)

    def delete(self, path: str, **how: Any) -> Callable[[Handler], Handler]:
        """Declare a DELETE; see Operation."""
        return self._declare("DELETE", path, **how)

    def _declare(
        self, method: str, path: str, *, scope: Scope | None = "read", **how: Any
    ) -> Callable[[Handler], Handler]:
        def declare(handler: Handler) -> Handler:
            self.listed.append(Operation(method, path, scope, handler, self.tag, **how))
            return handler

        return declare


def routes(operations: list[Operation]) -> list[Route]:
    """The routes of the operations, one a path, so that a wrong method is told the right ones."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = operation

    def route(path: str, methods: dict[str, Operation]) -> Route:
        async def endpoint(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            return await methods[method].serve(request)

        return Route(PREFIX + path, endpoint, methods=list(methods))

    return [route(path, methods) for path, methods in by_path.items()]


def phrase(status: int) -> str:
    """What a status means, in the words of RFC 9110."""
    return HTTPStatus(status).phrase
