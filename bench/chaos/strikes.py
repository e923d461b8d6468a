"""Where a process can die: the places that an attempt passes, and the one at which it is struck.

A place is named after what happens there ("append_turn", "effect post"), with a phase: `before` it, `during`
it (it was sent, no answer was heard), `after` it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from bench.chaos.script import EFFECTS, SUBMIT, Play

T = TypeVar("T")
PHASES = ("before", "during", "after")


def _places() -> list[str]:
    """The places that every attempt from the beginning to the end passes."""
    calls = ["claim", "messages", "adopt_policy", "tool_calls", "tell", "begin_turn", "ask", "append_turn"]
    calls += [f"intend {tool}" for tool in EFFECTS]
    calls += [f"settle {tool}" for tool in (*EFFECTS, SUBMIT)] + ["complete"]
    sudden = [f"effect {tool}" for tool in EFFECTS] + ["commit book"]
    return [f"{place}:{phase}" for place in calls for phase in PHASES] + [
        f"{place}:{phase}" for place in sudden for phase in ("before", "after")
    ]


PLACES = _places()


class Strikes:
    """Passes places, and dies at one of them.

    :param at: the place with its phase; None is any place.
    :param nth: at which passing of it; 0 is never.
    :param subject: the turn or call that it must be about; None is any.
    :param diary: the file in which the place is written before the end.
    :param delay: how many seconds a `during` lasts.
    """

    def __init__(
        self, diary: Path, *, at: str | None, nth: int, subject: str | None = None, delay: float = 0.0
    ) -> None:
        self._diary, self._at, self._nth, self._subject, self._delay = diary, at, nth, subject, delay
        self._passed: Counter[str | None] = Counter()

    def pass_by(self, place: str, phase: str, subject: object = "") -> None:
        """Die here, if it is here."""
        if self._is_due(place, phase, subject):
            self._strike(place, phase, subject)

    async def around(self, place: str, subject: object, send: Callable[[], Awaitable[T]]) -> T:
        """Do this, and die before, in or after it, if it is there."""
        self.pass_by(place, "before", subject)
        doing = asyncio.ensure_future(send())
        if self._is_due(place, "during", subject):
            await asyncio.wait({doing}, timeout=self._delay)
            self._strike(place, "during", subject)
        answer = await doing
        self.pass_by(place, "after", subject)
        return answer

    def _is_due(self, place: str, phase: str, subject: object) -> bool:
        here = f"{place}:{phase}"
        if self._subject not in (None, str(subject)) or self._at not in (None, here):
            return False
        self._passed[self._at] += 1
        return self._passed[self._at] == self._nth

    def _strike(self, place: str, phase: str, subject: object) -> None:
        with self._diary.open("a", encoding="utf-8") as diary:
            diary.write(json.dumps([place, phase, str(subject)]) + "\n")
        os.kill(os.getpid(), signal.SIGKILL)


def without_ledger(play: Play, place: str, phase: str, subject: str) -> dict[str, Any]:
    """The same moment in the loop that has no ledger, for `Strikes`: where it is nearest to it."""
    what, _, tool = place.partition(" ")
    if what == "begin_turn":
        what, phase = "ask", "before"
    elif what in ("settle", "commit") and subject in play.last_of_turns:
        what, subject = "results", subject.split("_")[2]
    elif what == "settle" and tool == SUBMIT:
        what, phase, subject = "complete", "before", ""
    elif what in ("intend", "settle", "commit", "effect"):
        phase = phase if what == "effect" else "before" if what == "intend" else "after"
        what = f"effect {tool}"
    elif what not in ("ask", "append_turn", "complete", "claim"):
        what, phase, subject = "claim", "after", ""
    return {"at": f"{what}:{phase}", "nth": 1, "subject": subject}
