"""Concerns: what a person should look at, worst first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode

from taskq.web.render import short, took

OLD = 300.0
"""Seconds that something ready may wait for a slot before somebody should know."""


@dataclass(frozen=True)
class Concern:
    """Something that does not go as it should.

    `what` is the subject, `why` a sentence on it, `at` since when; `href` leads to where more is seen,
    `command` is what helps, if one command does.
    """

    level: Literal["danger", "warn"]
    what: str
    why: str
    href: str = ""
    command: str = ""
    at: str | None = None


def concerns_of(found: dict[str, Any]) -> list[Concern]:
    """The concerns in what the overview found (see queries/overview.sql)."""
    all_ = [*of_alerts(found["alerts"]), *of_tasks(found), *of_gates(found["gates"])]
    all_ += [*of_roles(found["roles"]), *of_lateness(found["roles"]), *of_workers(found["workers"])]
    return sorted(all_, key=lambda concern: concern.level != "danger")


def of_alerts(alerts: list[dict[str, Any]]) -> Iterator[Concern]:
    for alert in alerts:
        yield Concern(
            "danger",
            alert["name"] or "Alert",
            alert["text"] or "",
            f"/tasks/{alert['id']}",
            at=alert["created_at"],
        )


def of_tasks(found: dict[str, Any]) -> Iterator[Concern]:
    for task in found["stuck"]:
        what = f"{task['name'] or task['role']} {short(task['id'])} is stuck"
        yield Concern("danger", what, task["why"], f"/tasks/{task['id']}")
    if count := found["orphaned"]:
        why = "their workers are gone; the next tend requeues them"
        yield Concern("danger", f"{tasks(count)} orphaned", why, command="taskq tend")


def of_gates(gates: list[dict[str, Any]]) -> Iterator[Concern]:
    for gate in gates:
        whole = gate["model"] == "*"
        what = f"{gate['provider'] if whole else gate['model']} is paused"
        until = "until somebody resumes it" if gate["until"] is None else "until the provider allows more"
        resume = f"taskq gate resume {gate['provider']}" + ("" if whole else f" {gate['model']}")
        why = f"{gate['reason'] or 'no agent asks it'} ({until})"
        yield Concern("danger" if whole else "warn", what, why, "/roles#limits", resume)


def of_roles(roles: list[dict[str, Any]]) -> Iterator[Concern]:
    for role in roles:
        name, waits = role["role"], role["ready"] + role["scheduled"]
        href = f"/tasks?{urlencode({'role': name, 'status': 'queued'})}"
        if role["paused"]:
            why = f"by {role['paused_by']}" + (f": {role['paused_why']}" if role["paused_why"] else "")
            at, where = role["paused_at"], f"/roles#role-{quote(name, safe='')}"
            what = f"{name} is paused"
            yield Concern("warn", what, f"{why}; {tasks(waits)} queued", where, at=at)
        elif role["workers"] == 0 and waits and name != "alert":
            what, command = f"No worker plays {name}", f"taskq worker --roles {name}"
            yield Concern("danger", what, f"{tasks(waits)} queued for it", href, command)


def of_lateness(roles: list[dict[str, Any]]) -> Iterator[Concern]:
    """Roles that are played, and not by enough; one line for all, or they would crowd out the rest."""
    late = [r for r in roles if not r["paused"] and r["workers"] and (r["oldest_ready"] or 0) > OLD]
    if late:
        oldest = took(max(role["oldest_ready"] for role in late))
        waiting = tasks(sum(role["ready"] for role in late))
        names = ", ".join(role["role"] for role in late)
        what = f"{names} falls behind" if len(late) == 1 else f"{len(late)} roles fall behind"
        which = "" if len(late) == 1 else f": {names}"
        why = f"{waiting} ready, the oldest for {oldest}{which}"
        yield Concern("warn", what, why, f"/tasks?{urlencode({'status': 'queued'})}")


def of_workers(workers: list[dict[str, Any]]) -> Iterator[Concern]:
    for worker in workers:
        if worker["trouble"]:
            yield Concern("warn", f"{worker['name']} is in trouble", worker["trouble"], "/roles#workers")


def tasks(count: int) -> str:
    """So many tasks."""
    return "1 task" if count == 1 else f"{count:,} tasks"
