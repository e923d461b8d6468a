"""The operations of the API, by subject."""

from taskq.web.api import events, metrics, status, tasks

OPERATIONS = [*tasks.operations, *events.operations, *metrics.operations, *status.operations]

__all__ = ["OPERATIONS"]
