"""Templates: from a draft to what is saved of it, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskq.web.drafts.draft import Draft, part
from taskq.web.forms import Form
from taskq.web.ids import new_id
from taskq.web.render import pretty


def template_of(graph: list[dict[str, Any]], limits: dict[str, float]) -> dict[str, Any]:
    """What is saved: the columns of a task; of several tasks, or with a budget, an object of these."""
    if len(graph) == 1 and not limits:
        return graph[0]
    return {"tasks": graph, **({"budget": limits} if limits else {})}


def draft_of(saved: Mapping[str, Any]) -> Draft:
    """The form that a template fills; what it says that the form does not know is left out."""
    listed = saved.get("tasks")
    tasks = [task for task in listed if isinstance(task, dict)] if isinstance(listed, list) else [dict(saved)]
    budget = saved.get("budget")
    limits = {k: str(v) for k, v in budget.items()} if isinstance(budget, dict) else {}
    labels = {str(task["id"]): place for place, task in enumerate(tasks) if "id" in task}
    form = Form.showing(once=str(new_id()), **{str(k): v for k, v in limits.items()})
    return Draft(form, [part_of(task, labels) for task in tasks] or [part()])


def part_of(task: Mapping[str, Any], labels: Mapping[str, int]) -> Form:
    """The fields of one task."""
    payload = dict(task["payload"]) if isinstance(task.get("payload"), dict) else {}
    own = {
        name: payload.pop(name) for name in ("objective", "repository") if isinstance(payload.get(name), str)
    }
    parents = [str(parent) for parent in task.get("depends_on") or []]
    given = {
        name: str(task[name])
        for name in ("role", "name", "priority", "run_at", "on_dependency_failure")
        if task.get(name) is not None
    }
    delay = task.get("delay")
    return part(
        **given,
        **own,
        **({"payload": pretty(payload)} if payload else {}),
        **({"delay": f"{delay:g}s" if isinstance(delay, int | float) else str(delay)} if delay else {}),
        **({"requires_approval": "on"} if task.get("requires_approval") is True else {}),
        after=[str(labels[parent]) for parent in parents if parent in labels],
        depends_on=[parent for parent in parents if parent not in labels],
    )
