"""From a draft to tasks as POST /api/v1/tasks takes them, or to what is wrong with it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from taskq.errors import SettingsError
from taskq.settings import duration
from taskq.web.drafts.draft import Draft, number
from taskq.web.drafts.offers import Offers, Role
from taskq.web.forms import Form, an_id

SEPARATORS: Final = re.compile(r"[\s,;]+")
LONGEST: Final = 10 * 365 * 86400


class Typed(msgspec.Struct):
    """What is typed for a task; what needs more than a look is text here."""

    role: Annotated[str, Meta(min_length=1, max_length=200)]
    name: Annotated[str, Meta(max_length=1000)] | None = None
    objective: Annotated[str, Meta(max_length=200_000)] | None = None
    repository: Annotated[str, Meta(max_length=4000)] | None = None
    priority: Annotated[int, Meta(ge=-32768, le=32767)] = 0
    on_dependency_failure: Literal["fail", "run", "wait"] = "fail"


class Limits(msgspec.Struct, omit_defaults=True):
    """What the mission may spend."""

    cost: Annotated[float, Meta(gt=0, le=1e7)] | None = None
    tokens: Annotated[int, Meta(ge=1, le=10**15)] | None = None
    turns: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    tool_calls: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    seconds: Annotated[float, Meta(gt=0, le=1e9)] | None = None


def graph_of(draft: Draft, offers: Offers) -> list[dict[str, Any]] | None:
    """The tasks, labelled where there are several; None when something is wrong, and the forms say what.

    The first task is the root of the mission, so it waits for none of the others.
    """
    tasks = [task_of(part, place, offers) for place, part in enumerate(draft.parts)]
    limits_of(draft)
    if draft.has_errors:
        return None
    if len(tasks) == 1:
        return tasks
    for place, task in enumerate(tasks):
        task["id"] = label(place)
        if place:
            task["mission_id"] = label(0)
    return [{"id": task.pop("id"), **task} for task in tasks]


def task_of(part: Form, place: int, offers: Offers) -> dict[str, Any]:
    """One task; what is wrong is said by its form."""
    typed = part.into(Typed)
    role = offers.by_name.get(part.text("role").strip())
    if role is None and part.text("role").strip():
        part.refuse("role", "No worker ever declared this role. Pick one of the list.")
    payload = payload_of(part, role)
    when = when_of(part)
    depends_on = [*ids_of(part), *(label(n) for n in earlier(part, place))]
    if typed is None or part.errors:
        return {}
    task: dict[str, Any] = {"role": typed.role, "name": typed.name, "payload": payload, **when}
    if typed.priority:
        task["priority"] = typed.priority
    if part.text("requires_approval"):
        task["requires_approval"] = True
    if depends_on:
        task["depends_on"] = depends_on
        task["on_dependency_failure"] = typed.on_dependency_failure
    return {name: value for name, value in task.items() if value not in (None, {})}


def payload_of(part: Form, role: Role | None) -> dict[str, Any]:
    """The objective and the repository, which have fields of their own, and the rest."""
    rest = part.object("payload")
    for name in ("objective", "repository"):
        text = part.text(name).strip()
        if text and name in rest:
            part.refuse("payload", f"“{name}” has a field of its own: say it in one place.")
    typed = part.text("repository").strip()
    repository = typed or (rest.get("repository") if role is not None and role.kind == "agent" else None)
    if role is not None and repository is not None and repository != "":
        said = role.refusal(repository) if isinstance(repository, str) else "“repository” must be a path."
        if said:
            part.refuse("repository" if typed else "payload", said)
    own = {name: part.text(name).strip() for name in ("objective", "repository") if part.text(name).strip()}
    return {**own, **rest}


def when_of(part: Form) -> dict[str, Any]:
    """Not before a moment, or after a while."""
    at, after = part.text("run_at").strip(), part.text("delay").strip()
    if at and after:
        part.refuse("delay", "Give either a moment or a delay.")
    elif at:
        try:
            moment = datetime.fromisoformat(at)
            return {"run_at": moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).isoformat()}
        except (ValueError, OverflowError):
            part.refuse("run_at", "A moment in UTC, such as 2027-01-31T08:00.")
    elif after:
        try:
            seconds = duration(after).total_seconds()
        except SettingsError:
            part.refuse("delay", "A length of time, such as 90s, 15min, 2h or 1d.")
        else:
            if seconds > LONGEST:
                part.refuse("delay", "Ten years at most.")
            return {"delay": seconds}
    return {}


def ids_of(part: Form) -> list[str]:
    """The existing tasks that it depends on: picked, or pasted with anything between them."""
    words = [word for text in part.all("depends_on") for word in SEPARATORS.split(text) if word]
    ids: list[UUID] = []
    for word in words:
        if (id := an_id(word)) is None:
            part.refuse("depends_on", f"“{word[:60]}” is no id of a task.")
        else:
            ids.append(id)
    return [str(id) for id in dict.fromkeys(ids)]


def earlier(part: Form, place: int) -> list[int]:
    """The earlier tasks of the form that it depends on."""
    return sorted({n for text in part.all("after") if 0 <= (n := number(text)) < place})


def limits_of(draft: Draft) -> dict[str, float]:
    """What the mission may spend, as taskq.set_budget takes it."""
    limits = draft.form.into(Limits)
    return (
        {} if limits is None else {k: v for k, v in msgspec.structs.asdict(limits).items() if v is not None}
    )


def label(place: int) -> str:
    """What a task of the form is called by the others."""
    return f"task-{place + 1}"
