"""Pausing a role and resuming it: one form each, as a page of its own or in the dialog of another one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from taskq.web.access.visitor import require
from taskq.web.acts.asks import PerhapsWhy, Why
from taskq.web.forms import FORM_LIMIT, Form, read_form
from taskq.web.house import house_of
from taskq.web.problems import Refused
from taskq.web.render import page

Handler = Callable[[Request], Awaitable[Response]]
ASKS: dict[str, type[msgspec.Struct]] = {"pause": Why, "resume": PerhapsWhy}


def ask(verb: str) -> Handler:
    """The page that asks before it is done."""

    async def handle(request: Request) -> Response:
        require(request, "admin")
        return await show(request, verb, Form())

    return handle


def send(verb: str) -> Handler:
    """Pauses or resumes the role, and leads to the roles; or shows the form again, with what is wrong."""

    async def handle(request: Request) -> Response:
        actor, role = require(request, "admin").actor, request.path_params["role"]
        form = await read_form(request)
        given: Any = form.into(ASKS[verb])
        if given is None:
            return await show(request, verb, form)
        await standing(request)
        house = house_of(request)
        act = house.queue.pause_role if verb == "pause" else house.queue.resume_role
        await act(role, given.reason, actor)
        house.changed()
        to = f"/roles#role-{quote(role, safe='')}"
        if request.headers.get("hx-request") == "true":
            return Response(status_code=200, headers={"HX-Redirect": to})
        return RedirectResponse(to, 303)

    return handle


async def show(request: Request, verb: str, form: Form) -> Response:
    """The form, with what it will hold back or let go."""
    role = request.path_params["role"]
    return page(
        request,
        "pause.html",
        422 if form.errors else 200,
        title=f"{verb.capitalize()} {role}",
        role=role,
        verb=verb,
        now=await standing(request),
        form=form,
    )


async def standing(request: Request) -> dict[str, Any]:
    """How the role stands.

    :raises Refused: nobody ever heard of it.
    """
    role, found = request.path_params["role"], None
    if "\0" not in role:
        found = await house_of(request).reads.fetch_one("pause_of", role, fresh=0)
    if found is None or not (found["is_known"] or found["paused_by"]):
        raise Refused(404, f"there is no role {role}: no worker has declared it, and no task needs it")
    return found


ROUTES = [
    Route(f"/roles/{{role:path}}/{verb}", handler(verb), methods=[method], max_body_size=FORM_LIMIT)
    for verb in ASKS
    for method, handler in (("GET", ask), ("POST", send))
]
