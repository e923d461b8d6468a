"""Errors as answers: problem+json (RFC 9457) that names the field; pages get a page that says the same."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from taskq.errors import Conflict, InvalidTask, LeaseLost, NoSuchTask, NotAnArrow, NotMigrated

CONTENT_TYPE = "application/problem+json"
FOR_PROGRAMS = ("/api/", "/live", "/metrics", "/healthz", "/readyz")
"""Where programs read what comes back: errors are problems there, and nobody is sent to a login page."""
PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$?\.?(?P<where>[^`]*)`)?$", re.DOTALL)
log = logging.getLogger("taskq.web")
Handler = Callable[[Request, Exception], Awaitable[Response]]


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field; `field` is its path, such as tasks[1].role."""

    field: str
    message: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong: RFC 9457."""

    status: int
    title: str
    detail: str = ""
    type: str = "about:blank"
    errors: list[FieldError] = []


class Refused(Exception):
    """A request that cannot be served; its problem is the answer."""

    def __init__(self, status: int, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.problem = Problem(status, HTTPStatus(status).phrase, detail, errors=list(errors))


def invalid(error: Exception) -> Refused:
    """What msgspec found, as the problem of a field."""
    found = PLACE.match(str(error))
    assert found is not None
    message, field = found["what"], found["where"] or ""
    if named := re.search(r"field `([^`]*)`", message):
        field = f"{field}.{named[1]}".removeprefix(".")
    return Refused(422, message, [FieldError(field, message)])


def problem_of(error: Exception) -> Problem:
    """The problem that an error is."""
    match error:
        case Refused():
            return error.problem
        case HTTPException():
            return Refused(error.status_code, error.detail).problem
        case NoSuchTask():
            return Refused(404, str(error)).problem
        case NotAnArrow() | LeaseLost():
            return Refused(409, str(error)).problem
        case InvalidTask():
            return Refused(422, str(error), field_errors(error)).problem
        case Conflict():
            return Refused(503, f"two transactions met; send it again: {error}").problem
        case NotMigrated():
            return Refused(503, str(error)).problem
        case ConnectionError() if "statement timeout" in str(error):
            return Refused(503, "the database took too long; ask for less, or again later").problem
        case ConnectionError():
            return Refused(503, "the database cannot be reached; it is tried again at every request").problem
        case _:
            return Refused(500, "this is a defect; the server's log says more").problem


def field_errors(error: InvalidTask) -> list[FieldError]:
    """The column that the database speaks of, where it is known."""
    return [] if error.field is None else [FieldError(error.field, str(error))]


def answer(problem: Problem) -> Response:
    """The problem as a response."""
    headers = {"Retry-After": "1"} if problem.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="taskq"'
    return Response(msgspec.json.encode(problem), problem.status, headers, CONTENT_TYPE)


def is_for_programs(path: str) -> bool:
    """Whether programs ask for this path, not people."""
    return path.startswith(FOR_PROGRAMS)


def handler(page: Handler) -> Handler:
    """Answers errors of the API with a problem, and of pages with what `page` makes of it."""

    async def handle(request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
        if is_for_programs(request.scope["path"]):
            response = answer(problem)
            if isinstance(error, HTTPException) and error.headers:
                response.headers.update(error.headers)
            return response
        return await page(request, error)

    return handle
