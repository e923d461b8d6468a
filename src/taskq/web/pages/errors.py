"""What a page says when something is wrong."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from taskq.web.problems import problem_of
from taskq.web.render import page


async def on_error(request: Request, error: Exception) -> Response:
    """The error as a page."""
    problem = problem_of(error)
    return page(request, "error.html", problem.status, title=problem.title, problem=problem)
