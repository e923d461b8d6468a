"""The verbs: what a person can do to a task, when, what it asks of him, and what it says will happen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from taskq.web.acts import asks, deeds, foretold
from taskq.web.acts.deeds import Act
from taskq.web.acts.subject import Subject

LIVE: Final = frozenset({"blocked", "awaiting_approval", "queued", "in_progress"})
AWAITING: Final = frozenset({"awaiting_approval"})
WAITING: Final = LIVE - {"in_progress"}
FALLS = ("falls", "is cancelled with it", "are cancelled with it")
RISES = ("rises", "is revived with it", "are revived with it")
FOLLOWS = ("follows", "waits for it", "wait for it")


@dataclass(frozen=True)
class Verb:
    """One thing that a person can do to a task.

    :param title: over the form; `button`: what sends it.
    :param statuses: in which of them it can be done; `fits` may ask for more.
    :param asks: the struct of what he types; the template has a field for each of its own.
    :param will: what will happen, in plain words, for this task in its status.
    :param do: does it; returns the task to show then, or None when what was typed is wrong after all.
    :param cascade: the statement of the tasks that move with it, and what is said of them.
    """

    name: str
    title: str
    button: str
    statuses: frozenset[str]
    asks: type[msgspec.Struct]
    will: Callable[[Subject], str]
    do: Callable[[Act], Awaitable[UUID | None]]
    cascade: tuple[str, str, str] | None = None
    dangerous: bool = False
    fits: Callable[[Subject], bool] = lambda _subject: True

    @property
    def needs_a_reason(self) -> bool:
        """Whether the record must say why."""
        return any(field.name == "reason" and field.required for field in msgspec.structs.fields(self.asks))

    def is_possible(self, subject: Subject) -> bool:
        """Whether it can be done to the task as it is."""
        return subject.status in self.statuses and self.fits(subject)


def asked(subject: Subject) -> bool:
    """Whether a tool call of it awaits a yes."""
    return subject.question is not None and subject.question.asks


VERBS: Final = {
    verb.name: verb
    for verb in (
        Verb(
            "approve", "Approve", "Approve", AWAITING,
            asks.PerhapsWhy, foretold.approve, deeds.approve, FOLLOWS,
        ),
        Verb(
            "amend-call", "Approve with other arguments", "Approve the changed call", AWAITING,
            asks.Arguments, foretold.amend_call, deeds.amend_call, fits=asked,
        ),
        Verb(
            "decline-call", "Decline this call", "Decline the call", AWAITING,
            asks.Why, foretold.decline_call, deeds.decline_call, fits=asked,
        ),
        Verb(
            "reject", "Reject", "Reject the task", AWAITING,
            asks.Why, foretold.reject, deeds.reject, FALLS, dangerous=True,
        ),
        Verb(
            "complete", "Complete by hand", "Complete the task", frozenset({"queued"}),
            asks.Answer, foretold.complete, deeds.complete, FOLLOWS,
        ),
        Verb(
            "steer", "Steer", "Tell the agent", LIVE,
            asks.Said, foretold.steer, deeds.steer,
        ),
        Verb(
            "pause", "Pause", "Pause the agent", LIVE,
            asks.Why, foretold.pause, deeds.pause,
        ),
        Verb(
            "amend", "Edit the payload", "Save the payload", WAITING,
            asks.Payload, foretold.amend, deeds.amend, fits=lambda subject: not subject.has_begun,
        ),
        Verb(
            "retry", "Retry", "Retry the task", frozenset({"failed", "cancelled", "queued"}),
            asks.PerhapsWhy, foretold.retry, deeds.retry, RISES,
        ),
        Verb(
            "requeue", "Requeue", "Requeue the task", frozenset({"in_progress"}),
            asks.Why, foretold.requeue, deeds.requeue, dangerous=True,
        ),
        Verb(
            "rerun", "Rerun", "Put a new task in", frozenset({"completed", "failed", "cancelled"}),
            asks.PerhapsWhy, foretold.rerun, deeds.rerun,
        ),
        Verb(
            "cancel", "Cancel", "Cancel the task", LIVE,
            asks.Why, foretold.cancel, deeds.cancel, FALLS, dangerous=True,
        ),
    )
}  # fmt: skip
"""By name, in the order in which they are offered."""


def possible(subject: Subject) -> Sequence[Verb]:
    """The verbs that fit a task now."""
    return [verb for verb in VERBS.values() if verb.is_possible(subject)]
