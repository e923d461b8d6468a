"""A new mission: the form, what would become of it, and putting it in."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from taskq.errors import InvalidTask
from taskq.web.access import visitor_of
from taskq.web.access.visitor import require
from taskq.web.drafts import Draft, check, draft_of, find_offers, graph_of, limits_of, send, template_of
from taskq.web.drafts.sending import Once
from taskq.web.forms import FORM_LIMIT, MISSING, an_id, read_form
from taskq.web.house import house_of
from taskq.web.problems import Refused
from taskq.web.render import page, pretty

START: Final = ("role", "name", "objective", "repository", "depends_on")
"""Fields of the first task that the address may fill in."""
sent: Once[UUID | None] = Once()


async def new(request: Request) -> Response:
    """The form: empty, from a template, or with what the address says."""
    house = house_of(request)
    require(request, "dispatch")
    draft = Draft.blank(**{name: request.query_params.get(name, "") for name in START})
    if name := request.query_params.get("template"):
        saved = await house.reads.send("template", name)
        if not saved:
            raise Refused(404, f"there is no template “{name}”")
        draft = draft_of(saved[0]["task"])
        draft.form.typed["template"] = [name]
    return await show(request, draft, fresh=0)


async def post(request: Request) -> Response:
    """What the button says: one task more or less, a dry run, a template, or the mission itself."""
    house = house_of(request)
    require(request, "dispatch")
    draft = Draft.read(await read_form(request))
    do, _, place = draft.form.text("do").partition(".")
    match do:
        case "add":
            draft.add()
            return await show(request, draft, fresh=len(draft.parts) - 1)
        case "remove" if place.isdigit():
            draft.remove(int(place))
            return await show(request, draft, fresh=max(int(place) - 1, 0))
        case "check":
            return await dry_run(request, draft)
        case "save":
            return await save(request, draft)
        case "send":
            graph = graph_of(draft, await find_offers(house.reads))
            if graph is None:
                return await show(request, draft, 422)
            root = await dispatch(request, draft, graph)
            return leave(request, f"/missions/{root}") if root else await show(request, draft, 422)
    return await show(request, draft)


async def preview(request: Request) -> Response:
    """The side of the form alone: the tasks as JSON, the objectives as they will be read."""
    require(request, "dispatch")
    return await show(request, Draft.read(await read_form(request)), template="preview.html")


async def tasks(request: Request) -> Response:
    """Options: the tasks that somebody may mean who types this."""
    require(request, "dispatch")
    asked = request.query_params.get("find", "").strip()[:200]
    pattern = asked.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("\x00", "")
    rows = await house_of(request).reads.fetch("found", pattern, fresh=2.0) if pattern else []
    place = request.query_params.get("place", "0")
    return page(
        request, "found.html", title="Tasks", found=rows, asked=asked, place=place if place.isdigit() else "0"
    )


async def show(
    request: Request,
    draft: Draft,
    status: int = 200,
    *,
    template: str = "new.html",
    fresh: int = -1,
    **about: Any,
) -> Response:
    """The form as it stands.

    :param fresh: the task that gets the focus; -1 for none.
    """
    house = house_of(request)
    offers = await find_offers(house.reads)
    ids = [id for part in draft.parts for text in part.all("depends_on") if (id := an_id(text))]
    named = {row["id"]: row for row in await house.reads.fetch("named", ids)} if ids else {}
    quiet = draft.copy()  # an empty form is not wrong yet: what is missing is not said in it
    graph = graph_of(quiet, offers)
    return page(
        request,
        template,
        status,
        title="New mission",
        draft=draft,
        offers=offers,
        named={str(id): row for id, row in named.items()},
        graph=graph,
        body=None if graph is None else pretty(graph[0] if len(graph) == 1 else {"tasks": graph}),
        limits=limits_of(quiet),
        focus=fresh,
        roles_data={
            role.name: {"about": role.about, "globs": role.globs, "repositories": role.repositories}
            for role in offers.roles
        },
        **{"checked": None, "saved": None, **about},
    )


async def dry_run(request: Request, draft: Draft) -> Response:
    """What would happen."""
    house = house_of(request)
    graph = graph_of(draft, await find_offers(house.reads))
    checked = [] if graph is None else await check(house.queue, draft, graph)
    return await show(request, draft, 422 if draft.has_errors else 200, checked=checked)


async def save(request: Request, draft: Draft) -> Response:
    """Keep the form under a name."""
    house = house_of(request)
    name = draft.form.text("template").strip()
    graph = graph_of(draft, await find_offers(house.reads))
    if not name:
        draft.form.refuse("template", MISSING)
    if graph is None or draft.has_errors:
        return await show(request, draft, 422)
    try:
        await house.queue.save_template(name, template_of(graph, limits_of(draft)), visitor_of(request).actor)
    except InvalidTask as error:
        draft.form.refuse("template", str(error))
        return await show(request, draft, 422)
    house.changed()
    return await show(request, draft, saved=name)


async def dispatch(request: Request, draft: Draft, graph: list[dict[str, Any]]) -> UUID | None:
    """Put the mission in, once however often the button was pressed; returns its root."""
    house, actor = house_of(request), visitor_of(request).actor

    async def deed() -> UUID | None:
        return await send(house.queue, draft, graph, limits_of(draft), actor)

    what = [house.queue.dsn, actor, draft.form.text("once"), graph, limits_of(draft)]
    key = sha256(msgspec.json.encode(what)).hexdigest()
    root = await sent.do(key, deed, counts=bool)
    house.changed()
    return root


def leave(request: Request, to: str) -> Response:
    """On to another page."""
    if request.headers.get("hx-request") == "true":
        return Response(status_code=200, headers={"HX-Redirect": to})
    return RedirectResponse(to, 303)


ROUTES = [
    Route("/new", new),
    Route("/new", post, methods=["POST"], max_body_size=FORM_LIMIT),
    Route("/new/preview", preview, methods=["POST"], max_body_size=FORM_LIMIT),
    Route("/new/tasks", tasks),
]
