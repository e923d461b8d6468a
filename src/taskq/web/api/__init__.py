"""The operations of the API, by subject."""

from taskq.web.api import (
    acting,
    audit,
    bulk,
    creating,
    events,
    fleet,
    listing,
    metrics,
    missions,
    status,
    task,
    templates,
    waiting,
)

OPERATIONS = [
    *listing.operations,
    *creating.operations,
    *waiting.operations,
    *fleet.operations,
    *bulk.operations,
    *task.operations,
    *acting.operations,
    *missions.operations,
    *audit.operations,
    *templates.operations,
    *events.operations,
    *metrics.operations,
    *status.operations,
]

__all__ = ["OPERATIONS"]
