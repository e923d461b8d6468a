"""What the keys of `taskq top` do to tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from taskq.client import Queue

Do = Callable[[Queue, UUID, "str | None", str], Awaitable[str]]


@dataclass(frozen=True)
class Act:
    """One of them.

    :param key: what is pressed.
    :param verb: what it does, in the imperative.
    :param do: does it to a task, with a reason and an actor; returns its status then.
    :param takes: whether what depends on the task falls with it.
    """

    key: str
    verb: str
    do: Do
    takes: bool = False


ACTS: Final = {
    act.verb: act
    for act in (
        Act("c", "cancel", lambda queue, id, why, actor: queue.cancel(id, why, actor), takes=True),
        Act("r", "retry", lambda queue, id, why, actor: queue.retry(id, why, actor)),
        Act("a", "approve", lambda queue, id, why, actor: queue.approve(id, actor, why)),
        Act("x", "reject", lambda queue, id, why, actor: queue.reject(id, actor, why), takes=True),
    )
}
"""By verb.  What takes others with it wants a reason."""
