"""What the model says in a run: a few turns with calls of every kind of tool, then it hands in.

Everything follows from the seed, so that every process of a run knows it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from taskq.testing import Reply, Request, text, thinking, tool_use

EFFECTS = {
    "look": "read",
    "keep": "idempotent",
    "book": "transactional",
    "post": "unsafe",
    "send": "unsafe, with verify",
}
"""The tools, and what each does to the world."""
SUBMIT = "submit_result"


@dataclass(frozen=True)
class Play:
    """The script of one run: the tools called in each turn but the last, which hands in."""

    seed: int
    turns: tuple[tuple[str, ...], ...]

    def id(self, turn: int, place: int) -> str:
        """The id of a call; turns count from 1, places from 0."""
        return f"toolu_{self.seed:05d}_{turn}_{place}"

    @cached_property
    def tools(self) -> dict[str, str]:
        """The tool of every call by its id, in order; the last one hands in."""
        calls = {
            self.id(turn, place): tool
            for turn, tools in enumerate(self.turns, 1)
            for place, tool in enumerate(tools)
        }
        return {**calls, self.id(len(self.turns) + 1, 0): SUBMIT}

    @cached_property
    def last_of_turns(self) -> frozenset[str]:
        """The ids of the calls that are the last of their turn."""
        return frozenset(self.id(turn, len(tools) - 1) for turn, tools in enumerate(self.turns, 1))

    def reply(self, turn: int) -> Reply:
        """What the model says in this turn."""
        if turn > len(self.turns):
            answer = {"summary": f"Done, by script {self.seed}."}
            return Reply([text("Das wär's."), tool_use(SUBMIT, answer, id=self.id(turn, 0))])
        calls = [
            tool_use(tool, {"what": f"{tool} {turn}.{place} „ü“ 🦜"}, id=self.id(turn, place))
            for place, tool in enumerate(self.turns[turn - 1])
        ]
        return Reply([thinking(f'Turn {turn} … \t"\\u00fc"'), text(f"I do {len(calls)}."), *calls])


@lru_cache(maxsize=1000)
def play_of(seed: int) -> Play:
    """The script of a seed: every tool at least once, one to three calls a turn."""
    dice = random.Random(seed)
    calls = [*EFFECTS, *dice.choices(list(EFFECTS), k=dice.randint(1, 3))]
    dice.shuffle(calls)
    turns = []
    while calls:
        many = dice.choice((1, 2, 2, 3))
        turns.append(tuple(calls[:many]))
        calls = calls[many:]
    return Play(seed, tuple(turns))


def name_of(seed: int, loop: str) -> str:
    """The name, and the role, of a run's task."""
    return f"{loop}-{seed}"


def recorder(heard: dict[str, list[Request]]) -> Callable[[Request], Reply]:
    """The script of all runs; keeps the requests of each by the name of its task."""

    def script(request: Request) -> Reply:
        name = str(request.task)
        heard.setdefault(name, []).append(request)
        return play_of(int(name.rpartition("-")[2])).reply(request.turn)

    return script
