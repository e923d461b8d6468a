"""Acting on a task: one form a verb, as a page of its own or in the dialog of another one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from taskq.errors import InvalidTask, NoSuchTask, NotAnArrow
from taskq.web.access import visitor_of
from taskq.web.access.visitor import require
from taskq.web.acts import VERBS, Act, Subject, Verb, find_subject, possible
from taskq.web.arguments import shown
from taskq.web.forms import FORM_LIMIT, Form, an_id, read_form
from taskq.web.house import house_of
from taskq.web.render import page, pretty

MANY = 2000
"""More tasks than that are not counted."""
BACK = frozenset({"/approvals"})
"""Where a form may lead back to, besides the task."""
Handler = Callable[[Request], Awaitable[Response]]


def show(verb: Verb) -> Handler:
    """The page that asks before it is done."""

    async def handle(request: Request) -> Response:
        subject = await subject_of(request)
        ways = {name: request.query_params.get(name, "") for name in ("back", "next")}
        form = Form.showing(**ways, **starting(verb, subject))
        return await ask(request, verb, subject, form)

    return handle


def send(verb: Verb) -> Handler:
    """Does it, and leads to the task; or shows the form again, with what is wrong."""

    async def handle(request: Request) -> Response:
        form = await read_form(request)
        subject = await subject_of(request)
        if form.text("seen") not in ("", subject.seen) and verb.is_possible(subject):
            return await ask(request, verb, subject, form, conflict="It has changed since you looked.")
        given = form.into(verb.asks)
        if given is None:
            return await ask(request, verb, subject, form)
        house = house_of(request)
        try:
            done = await verb.do(Act(house.queue, subject, form, given, visitor_of(request).actor))
        except NotAnArrow as refusal:
            house.reads.forget()
            return await ask(request, verb, await subject_of(request), form, conflict=str(refusal))
        except InvalidTask as refusal:
            form.refuse(last_field(verb), str(refusal))
            done = None
        if done is None:
            return await ask(request, verb, subject, form)
        house.changed()
        return leave(request, form, done)

    return handle


async def ask(
    request: Request, verb: Verb, subject: Subject, form: Form, *, conflict: str | None = None
) -> Response:
    """The form of a verb; what it is now, where the verb does not fit it."""
    fits = verb.is_possible(subject)
    if not fits and conflict is None:
        conflict = f"“{verb.title}” does not fit a task that is {subject.status.replace('_', ' ')}."
    moved: list[dict[str, Any]] = []
    if fits and verb.cascade is not None:
        moved = await house_of(request).reads.send(verb.cascade[0], subject.id, MANY)
    return page(
        request,
        "act.html",
        409 if conflict else 422 if form.errors else 200,
        title=f"{verb.title}: {subject.name}",
        verb=verb,
        subject=subject,
        form=form,
        fits=fits,
        will=verb.will(subject) if fits else "",
        moved=moved,
        many=MANY,
        arguments=[] if subject.question is None else shown(subject.question.arguments),
        conflict=conflict,
        others=[other for other in possible(subject) if other is not verb],
        back=back_of(form, subject.id),
        fields=set(verb.asks.__struct_fields__),
    )


async def subject_of(request: Request) -> Subject:
    """The task that the address names.

    :raises Refused: the visitor may not act.
    :raises NoSuchTask: there is none.
    """
    require(request, "operate")
    id: UUID = request.path_params["id"]
    found = await find_subject(house_of(request).reads, id)
    if found is None:
        raise NoSuchTask(f"there is no task {id}")
    return found


def starting(verb: Verb, subject: Subject) -> dict[str, str]:
    """What stands in the fields before anything is typed."""
    if verb.name == "amend":
        return {"payload": pretty(subject.payload)}
    if verb.name == "amend-call" and subject.question is not None:
        return {"arguments": pretty(subject.question.arguments)}
    return {"kind": "text"} if verb.name == "complete" else {}


def last_field(verb: Verb) -> str:
    """The field that says what the database refused."""
    fields = verb.asks.__struct_fields__
    return next((name for name in ("payload", "arguments", "result", "text") if name in fields), "reason")


def back_of(form: Form, id: UUID) -> str:
    """Where the form leads when it is given up."""
    back = quote(form.text("back"), safe="/?=&%")
    return back if back.partition("?")[0] in BACK else f"/tasks/{id}"


def leave(request: Request, form: Form, id: UUID) -> Response:
    """On to the task; or back to where the form was opened, to what is next there."""
    to = back_of(form, id)
    if not to.startswith("/tasks/"):
        following = an_id(form.text("next"))
        to += f"{'&' if '?' in to else '?'}done={id}" + (f"#a-{following}" if following else "")
    if request.headers.get("hx-request") == "true":
        return Response(status_code=200, headers={"HX-Redirect": to})
    return RedirectResponse(to, 303)


ROUTES = [
    Route(f"/tasks/{{id:uuid}}/{name}", handler(verb), methods=[method], max_body_size=FORM_LIMIT)
    for name, verb in VERBS.items()
    for method, handler in (("GET", show), ("POST", send))
]
