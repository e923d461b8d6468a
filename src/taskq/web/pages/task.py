"""One task: why it is where it is, what it was given and brought, what was said, what can be done now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskq.errors import NoSuchTask
from taskq.task import FINAL
from taskq.web.house import house_of
from taskq.web.pages.mission import limits
from taskq.web.problems import Refused
from taskq.web.render import page, pretty
from taskq.web.said import Text, cut_to
from taskq.web.talk import gist_of, talk
from taskq.web.words import linked, why, with_times

PAGE = 50
"""Messages of the conversation that are shown at once."""
LONGEST_JSON = 20_000
LISTS = (
    "dependencies",
    "dependents",
    "children",
    "attempts",
    "events",
    "logs",
    "calls",
    "steps",
    "signals",
    "steers",
    "checks",
    "reruns",
)
BIGGEST_INT = 2**31 - 1


async def task(request: Request) -> Response:
    """`?before=N`: the conversation before its message N."""
    id: UUID = request.path_params["id"]
    before = number(request.query_params.get("before"))
    reads = house_of(request).reads
    found = await reads.fetch_one("page_task", id)
    if found is None:
        raise NoSuchTask(f"there is no task {id}; look for it in /tasks, or in the search")
    lists = {name: with_times(found[name]) for name in LISTS}
    rows = await reads.fetch("page_messages", id, before, PAGE + 1) if found["spent"] else []
    about: dict[str, Any] = {
        **lists,
        "calls": [{**call, "gist": gist_of(call["input"])} for call in lists["calls"]],
    }
    objective, payload = parted(found["payload"])
    return page(
        request,
        "task.html",
        title=found["name"] or found["role"],
        topics=(f"task:{id}",),
        task=found,
        **about,
        why=why(found["explained"]),
        linked=linked,
        is_over=found["status"] in FINAL,
        actions=list(actions(found)),
        objective=None if objective is None else cut_to(objective, LONGEST_JSON),
        payload=as_json(payload) if payload else None,
        result=None if found["result"] is None else as_json(found["result"]),
        took=took(found),
        talk=talk(rows, most=PAGE, calls=lists["calls"], steers=lists["steers"]),
        before=before,
        rounds=[(round, list(checks)) for round, checks in groupby(lists["checks"], lambda c: c["round"])],
        budgets=[(budget, limits(budget)) for budget in found["budgets"] or () if limits(budget)],
    )


async def message(request: Request) -> Response:
    """One message of a conversation, all of it."""
    id, seq = request.path_params["id"], request.path_params["seq"]
    reads = house_of(request).reads
    rows = await reads.fetch("page_message", id, seq) if seq <= BIGGEST_INT else []
    if not rows or rows[0]["seq"] != seq:
        raise Refused(404, f"task {id} has no message {seq}")
    found = rows[0]
    told = rows if found["role"] == "assistant" else rows[:1]
    return page(
        request,
        "message.html",
        title=f"Message {seq} of {found['task_name'] or found['task_role']}",
        row=found,
        id=id,
        said=talk(
            told, most=len(told), calls=found["calls"] or (), steers=found["steers"] or (), cut=False
        ).messages[0],
    )


def actions(task: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What can be done now: the verb in the address, its words, its looks."""
    status, is_agent = task["status"], task["is_agent"] or task["spent"] is not None
    if status == "awaiting_approval":
        yield "approve", "Approve", "primary"
        if any(call["needs_approval"] and call["finished_at"] is None for call in task["calls"] or ()):
            yield "amend-call", "Approve with changes", ""
            yield "decline-call", "Decline the call", ""
        yield "reject", "Reject", "danger"
    if status == "in_progress" and is_agent and task["cancel_requested_at"] is None:
        yield "steer", "Say something to it", ""
        yield "pause", "Pause", ""
    if status in ("failed", "cancelled"):
        yield "retry", "Retry", "primary"
    if status == "queued":
        if task["is_scheduled"]:
            yield "retry", "Run now", ""
        if not task["is_played"] and not is_agent:
            yield "complete", "Complete by hand", ""
    if status in ("queued", "blocked", "awaiting_approval") and task["started_at"] is None:
        yield "amend", "Edit", ""
    if status == "in_progress":
        yield "requeue", "Requeue", ""
    if status in FINAL:
        yield "rerun", "Run again as a new task", ""
    elif status != "awaiting_approval":
        yield "cancel", "Cancel", "danger"


def parted(payload: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The objective, if it is a text, and the rest of a payload."""
    objective = payload.get("objective")
    if not isinstance(objective, str):
        return None, dict(payload)
    return objective, {key: value for key, value in payload.items() if key != "objective"}


def as_json(value: Any) -> Text:
    """JSON for people, cut if it is long."""
    return cut_to(pretty(value), LONGEST_JSON)


def took(task: Mapping[str, Any]) -> Any:
    """How long its last attempt ran, or has run."""
    if task["started_at"] is None or not (task["status"] in FINAL or task["status"] == "in_progress"):
        return None
    return (task["finished_at"] or task["now"]) - task["started_at"]


def number(text: str | None) -> int | None:
    """The number of a message.

    :raises Refused: it is none.
    """
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text[:11]) > BIGGEST_INT:
        raise Refused(422, "the parameter `before` is the number of a message")
    return int(text)


ROUTES = [Route("/tasks/{id:uuid}", task), Route("/tasks/{id:uuid}/messages/{seq:int}", message)]
