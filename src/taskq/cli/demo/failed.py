"""How the demo ends when it cannot go on."""

from __future__ import annotations

from taskq.errors import TaskqError


class DemoFailed(TaskqError):
    """The demo cannot go on; the message says why."""
