"""The pages, by subject.

Each is one URL: it is read whole, and while it is open its `main` is fetched again and morphed whenever
something that it listens to (`topics`) has happened.
"""

from taskq.web.pages import act, approvals, login, mission, missions, overview, task
from taskq.web.pages.errors import on_error

ROUTES = [
    *overview.ROUTES,
    *missions.ROUTES,
    *mission.ROUTES,
    *task.ROUTES,
    *act.ROUTES,
    *approvals.ROUTES,
    *login.ROUTES,
]

__all__ = ["ROUTES", "on_error"]
