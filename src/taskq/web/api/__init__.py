"""The operations of the API, by subject."""

from taskq.web.api import acting, creating, events, listing, task

OPERATIONS = [
    *listing.operations,
    *creating.operations,
    *task.operations,
    *acting.operations,
    *events.operations,
]

__all__ = ["OPERATIONS"]
