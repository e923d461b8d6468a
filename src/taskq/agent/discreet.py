"""No secret leaves an attempt in what it notes, raises or returns; its conversation is cleaned where it is
committed (conversation.py)."""

from __future__ import annotations

from dataclasses import replace

from taskq.agent.redaction import Redactor
from taskq.errors import LeaseLost, Snooze
from taskq.task import Attempt, Line
from taskq.worker.outcome import Failed, classify


class DiscreetLine:
    """An attempt's way back to the database, on which notes and log lines are cleaned."""

    def __init__(self, line: Line, redactor: Redactor) -> None:
        self._line, self._redactor = line, redactor
        self.call, self.rows, self.transaction = line.call, line.rows, line.transaction
        self.messages = line.messages

    async def progress(self, task: Attempt, fraction: float | None, note: str | None) -> None:
        await self._line.progress(task, fraction, None if note is None else self._redactor.clean(note))

    async def log(self, task: Attempt, text: str) -> None:
        await self._line.log(task, self._redactor.clean(text))


def discreet(error: Exception, redactor: Redactor) -> Exception:
    """What to raise in the place of an error: itself, or when it speaks of a secret, the same failure without
    it."""
    if isinstance(error, LeaseLost | Snooze):  # nothing of them is kept
        return error
    failure = classify(error)
    cleaned = replace(
        failure,
        message=redactor.clean(failure.message),
        traceback=failure.traceback and redactor.clean(failure.traceback),
    )
    return error if cleaned == failure else Failed(cleaned)
