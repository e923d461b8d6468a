"""The pages, by subject.

Each is one URL: it is read whole, and while it is open its `main` is fetched again and morphed whenever
something that it listens to (`topics`) has happened.
"""

from taskq.web.pages import (
    act,
    approvals,
    audit,
    bulk,
    login,
    mission,
    missions,
    new,
    overview,
    pauses,
    roles,
    search,
    task,
    tasks,
)
from taskq.web.pages.errors import on_error

ROUTES = [
    *overview.ROUTES,
    *missions.ROUTES,
    *mission.ROUTES,
    *task.ROUTES,
    *tasks.ROUTES,
    *bulk.ROUTES,
    *roles.ROUTES,
    *pauses.ROUTES,
    *search.ROUTES,
    *audit.ROUTES,
    *act.ROUTES,
    *approvals.ROUTES,
    *new.ROUTES,
    *login.ROUTES,
]

__all__ = ["ROUTES", "on_error"]
