"""What the verbs do: each calls one function of the queue, and returns the task to show then.

None means that what was typed is wrong after all; the form says how.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from taskq.client import Queue
from taskq.web.acts.asks import Answer
from taskq.web.acts.subject import Subject
from taskq.web.forms import Form


@dataclass(frozen=True)
class Act:
    """A person's act: on what, with what he typed, and who he is."""

    queue: Queue
    subject: Subject
    form: Form
    given: Any
    actor: str

    @property
    def id(self) -> UUID:
        return self.subject.id


async def cancel(act: Act) -> UUID:
    await act.queue.cancel(act.id, act.given.reason, act.actor)
    return act.id


async def retry(act: Act) -> UUID:
    await act.queue.retry(act.id, act.given.reason, act.actor)
    return act.id


async def requeue(act: Act) -> UUID:
    await act.queue.requeue(act.id, act.given.reason, act.actor)
    return act.id


async def rerun(act: Act) -> UUID:
    return await act.queue.rerun(act.id, act.given.reason, act.actor)


async def approve(act: Act) -> UUID:
    await act.queue.approve(act.id, act.actor, act.given.reason)
    return act.id


async def reject(act: Act) -> UUID:
    await act.queue.reject(act.id, act.actor, act.given.reason)
    return act.id


async def complete(act: Act) -> UUID | None:
    answer: Answer = act.given
    if answer.kind == "failure" and not answer.result.strip():
        act.form.refuse("result", "Say why it could not be done.")
    result = act.form.json("result") if answer.kind == "json" else answer.result
    if act.form.errors:
        return None
    if answer.kind == "failure":
        await act.queue.complete(act.id, None, act.actor, answer.result)
    else:
        await act.queue.complete(act.id, result, act.actor)
    return act.id


async def steer(act: Act) -> UUID:
    await act.queue.steer(act.id, act.given.text, act.actor)
    return act.id


async def pause(act: Act) -> UUID:
    await act.queue.pause(act.id, act.given.reason, act.actor)
    return act.id


async def amend(act: Act) -> UUID | None:
    payload = act.form.object("payload")
    if act.form.errors:
        return None
    await act.queue.amend(act.id, payload, act.given.reason, act.actor)
    return act.id


async def decline_call(act: Act) -> UUID:
    await act.queue.decline_call(act.id, act.given.reason, act.actor)
    return act.id


async def amend_call(act: Act) -> UUID | None:
    arguments = act.form.object("arguments")
    if act.form.errors:
        return None
    await act.queue.amend_call(act.id, arguments, act.given.reason, act.actor)
    return act.id
