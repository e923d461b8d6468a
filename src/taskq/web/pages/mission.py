"""One mission: its graph, its timeline, or its tasks as a tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from taskq.errors import NoSuchTask
from taskq.reading.layout import arrange, ordered, predecessors
from taskq.web.gantt import timeline
from taskq.web.house import house_of
from taskq.web.nodes import STATUSES, Mission, Node, mission_of
from taskq.web.paths import Path, critical_path, edges
from taskq.web.problems import Refused
from taskq.web.render import page

VIEWS = {"graph": "Graph", "timeline": "Timeline", "list": "List"}
MOST = 500
"""Tasks that are shown, and drawn; the others are found in /tasks."""

MOST_AT_ONCE = 100
"""Tasks whose ids fit in an address."""


async def mission(request: Request) -> Response:
    """`?view=graph|timeline|list`; of a task in a mission: the page of that mission."""
    view = request.query_params.get("view", "graph")
    if view not in VIEWS:
        raise Refused(422, f"there is no view {view[:50]!r}: it is one of {', '.join(VIEWS)}")
    id: UUID = request.path_params["id"]
    rows = await house_of(request).reads.fetch("page_mission", id, MOST)
    root = rows[0]["root"] or stand_in(id, rows[0]["tasks"])
    if root is None:
        raise NoSuchTask(f"there is no mission {id}; look for it in /missions")
    if root["mission_id"] != str(id):
        return RedirectResponse(f"/missions/{root['mission_id']}", 303)
    found = mission_of({**rows[0], "root": root})
    path = critical_path(found.tasks, found.id, found.now)
    is_drawn = view == "graph" and found.total <= MOST
    return page(
        request,
        "mission.html",
        title=found.label,
        topics=(f"mission:{id}",),
        mission=found,
        has_root=rows[0]["root"] is not None,
        view=view,
        views=VIEWS,
        path_=path,
        critical={node.id for node in path.tasks},
        segments=segments(found),
        nodes={node.id: node for node in found.tasks},
        graph=graph(found, path) if is_drawn else None,
        rows=in_order(found) if is_drawn else (),
        timeline=timeline(found, by_start(found.tasks)) if view == "timeline" else None,
        below=arrange(found.tasks, found.id) if not is_drawn and view != "timeline" else None,
        budget=limits(found.budget),
        cancel=cancel_link(found),
    )


def stand_in(id: UUID, tasks: Sequence[Mapping[str, Any]] | None) -> dict[str, Any] | None:
    """For the root of a mission whose root is not in the table."""
    if not tasks:
        return None
    return {
        "id": str(id),
        "mission_id": str(id),
        "role": "",
        "name": f"Mission {str(id)[-8:]} (its root is gone)",
        "status": None,
        "created_by": None,
        "objective": None,
    }


def cancel_link(mission: Mission) -> str | None:
    """Where all of it is cancelled; None when it has ended.

    The cancelling of one task takes with it what it spawned and what cannot run without it; not what only
    belongs to the same mission.
    """
    left = [node.id for node in mission.tasks if not node.has_ended]
    table = f"/tasks?mission={mission.id}"
    if len(left) > MOST_AT_ONCE:
        return table
    given = [("verb", "cancel"), *(("id", str(id)) for id in left), ("back", table)]
    return f"/tasks/bulk?{urlencode(given)}" if left else None


def segments(mission: Mission) -> list[tuple[str, int, float, float]]:
    """The bar: status, how many, and in percent where it begins and how wide it is."""
    found, begin = [], 0.0
    for status in STATUSES:
        if count := mission.counts[status]:
            width = count / mission.total * 100
            found.append((status, count, round(begin, 3), round(width, 3)))
            begin += width
    return found


def in_order(mission: Mission) -> list[Node]:
    """The tasks, each after what comes before it."""
    known = {node.id: node for node in mission.tasks}
    return [known[id] for id in ordered(predecessors(mission.tasks, mission.id))]


def by_start(tasks: Sequence[Node]) -> list[Node]:
    """The tasks in the order in which they first ran; those that have not yet, last."""
    first = {node.id: first_start(node) for node in tasks}
    for child in tasks:
        if child.parent_id in first:  # who waited for its child has begun before it, and again after it
            first[child.parent_id] = min(first[child.parent_id], child.created_at)
    return sorted(tasks, key=lambda node: (node.started_at is None, first[node.id], node.created_at))


def first_start(node: Node) -> datetime:
    """When it first ran; else when it was put in."""
    starts = [ended.started_at for ended in node.attempts or () if ended.started_at is not None]
    return min([*starts, node.started_at or node.created_at])


def graph(mission: Mission, path: Path) -> dict[str, Any]:
    """What the script draws: the tasks in order, and the edges between them."""
    critical = {node.id for node in path.tasks}
    return {
        "nodes": [drawn(node, mission, node.id in critical) for node in in_order(mission)],
        "edges": [
            {
                "from": str(edge.first),
                "to": str(edge.then),
                "kind": edge.kind,
                "critical": edge.is_critical,
            }
            for edge in edges(mission.tasks, mission.id, path)
        ],
    }


def drawn(node: Node, mission: Mission, is_critical: bool) -> dict[str, Any]:
    """A task as a box of the graph: three lines, and all of it in words."""
    state = node.status.replace("_", " ")
    if node.status == "in_progress" and node.progress is not None:
        state += f" {node.progress:.0%}"
    if node.attempt > 1:
        state += f" · attempt {node.attempt}"
    note = node.progress_note if node.status == "in_progress" else node.error_kind if node.error_kind else ""
    return {
        "id": str(node.id),
        "label": mission.name_of(node),
        "role": node.role if node.name else "",
        "status": node.status,
        "state": state,
        "progress": node.progress if node.status == "in_progress" else None,
        "note": note or "",
        "critical": is_critical,
    }


def limits(budget: Mapping[str, Any] | None) -> list[tuple[str, float, float]]:
    """What a budget limits: in which unit, how much is used, of how much."""
    units = ("cost", "tokens", "turns", "tool_calls", "seconds")
    if budget is None:
        return []
    return [
        (unit, float(budget[f"{unit}_used"]), float(budget[unit]))
        for unit in units
        if budget[unit] is not None
    ]


ROUTES = [Route("/missions/{id:uuid}", mission)]
