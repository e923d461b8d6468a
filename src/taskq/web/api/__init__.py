"""The operations of the API, by subject."""

from taskq.web.api import tasks

OPERATIONS = [*tasks.operations]

__all__ = ["OPERATIONS"]
