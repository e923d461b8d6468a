"""The operations of the API, by subject."""

from taskq.web.api import acting, creating, listing, task

OPERATIONS = [*listing.operations, *creating.operations, *task.operations, *acting.operations]

__all__ = ["OPERATIONS"]
