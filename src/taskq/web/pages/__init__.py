"""The pages, by subject.

Each is one URL: it is read whole, and while it is open its `main` is fetched again and morphed whenever
something that it listens to (`topics`) has happened.
"""

from taskq.web.pages import act, approvals, bulk, login, mission, missions, overview, task, tasks
from taskq.web.pages.errors import on_error

ROUTES = [
    *overview.ROUTES,
    *missions.ROUTES,
    *mission.ROUTES,
    *task.ROUTES,
    *tasks.ROUTES,
    *bulk.ROUTES,
    *act.ROUTES,
    *approvals.ROUTES,
    *login.ROUTES,
]

__all__ = ["ROUTES", "on_error"]
