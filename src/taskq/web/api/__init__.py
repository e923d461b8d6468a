"""The operations of the API, by subject."""

from taskq.web.api import acting, creating, events, listing, metrics, status, task

OPERATIONS = [
    *listing.operations,
    *creating.operations,
    *task.operations,
    *acting.operations,
    *events.operations,
    *metrics.operations,
    *status.operations,
]

__all__ = ["OPERATIONS"]
