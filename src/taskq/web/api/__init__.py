"""The operations of the API, by subject."""

from taskq.web.api import events, tasks

OPERATIONS = [*tasks.operations, *events.operations]

__all__ = ["OPERATIONS"]
