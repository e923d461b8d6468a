"""Asking the model: heard, paid for and let through the gate before, settled after."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from taskq.agent.claude import Claude
from taskq.agent.conversation import Conversation
from taskq.agent.failures import Exhausted, Overloaded, RateLimited, Unavailable
from taskq.agent.gate import estimate
from taskq.agent.manifest import Manifest
from taskq.agent.prices import Prices
from taskq.agent.shapes import Turn
from taskq.agent.text import clean, without_nul
from taskq.agent.untrusted import said_by
from taskq.errors import Fail, Snooze, Suspended
from taskq.task import Task

PROVIDER: Final = "anthropic"
PATIENCE: Final = 0.5
"""Seconds that are waited in the slot; a longer wait gives it to others."""
LONGEST_SNOOZE: Final = 60.0
"""Seconds after which a paused gate is looked at again: somebody may have resumed it."""
DEFAULT_PAUSE: Final = timedelta(seconds=5)
"""How long a limit without a `retry-after` holds."""


@dataclass(frozen=True)
class Paid:
    """A finished message, and what it cost in US dollars (None: the price is not known)."""

    turn: Turn
    cost: float | None


class Asking:
    """The questions of one attempt."""

    def __init__(
        self, task: Task, manifest: Manifest, claude: Claude, conversation: Conversation, prices: Prices
    ) -> None:
        self._task, self._manifest, self._claude = task, manifest, claude
        self._conversation, self._prices = conversation, prices
        self._models = [manifest.model, *manifest.fallback]

    async def ask(self, request: dict[str, Any]) -> Paid | None:
        """The model's next message; None when something came first (look at the conversation again).

        :raises Snooze: a limit holds for longer than a slot should be kept; no attempt is spent.
        :raises Suspended: somebody paused the task.
        :raises Fail: a budget does not allow another turn, or asking again would not help.
        :raises Unavailable: the provider failed; whether it was paid is not known, so it counts as paid.
        """
        verdict = await self._begin(request)
        match verdict["verdict"]:
            case "hear":
                await self._hear()
                return None
            case "pause":
                await self._task.call("park", verdict["reason"])
                raise Suspended
            case "over":
                raise Fail(verdict["reason"], kind="budget_exceeded")
            case "wait":
                await self._wait(verdict["seconds"], verdict["reason"])
                return None
        return await self._ask(verdict["model"], request)

    async def _begin(self, request: dict[str, Any]) -> Any:
        tokens = estimate(request)
        worst = [self._worst(model, tokens) for model in self._models]
        most = tokens + self._manifest.max_output_tokens
        [verdict] = await self._task.rows(
            "begin_turn",
            self._conversation.next_seq,
            PROVIDER,
            self._models,
            [most] * len(self._models),
            worst,
        )
        return verdict

    async def _ask(self, model: str, request: dict[str, Any]) -> Paid | None:
        try:
            turn = await self._claude.turn({**request, "model": model})
        except Exhausted as limit:
            await self._hold_back(model, str(limit), exhausted=True)
            return None
        except (RateLimited, Overloaded) as limit:
            after = limit.after or DEFAULT_PAUSE
            await self._hold_back(model, str(limit), after, may_have_charged=limit.may_have_charged)
            return None
        except Unavailable as failure:
            await self._hold_back(model, str(failure), may_have_charged=failure.may_have_charged)
            raise
        except Fail as refusal:
            await self._hold_back(model, str(refusal))
            raise
        if turn.limits is not None and turn.limits.are_news:
            await self._task.call("learn_limits", PROVIDER, model, *turn.limits.as_arguments())
        return Paid(turn, self._cost(turn, model))

    async def _hold_back(
        self,
        model: str,
        reason: str,
        after: timedelta | None = None,
        *,
        exhausted: bool = False,
        may_have_charged: bool = False,
    ) -> None:
        await self._task.call(
            "hold_back",
            PROVIDER,
            model,
            after,
            without_nul(clean(self._conversation.redact(reason))),
            exhausted,
            may_have_charged,
        )

    async def _hear(self) -> None:
        """Put in what people said."""
        said = await self._task.rows("steers_to_come")
        blocks = [{"type": "text", "text": said_by(row["actor"], row["text"])} for row in said]
        await self._conversation.tell(blocks, steers=[row["id"] for row in said], note="heard a message")

    async def _wait(self, seconds: float, reason: str | None) -> None:
        """In the slot for a moment, else without it."""
        if seconds > PATIENCE:
            after = min(seconds, LONGEST_SNOOZE)
            raise Snooze(
                timedelta(seconds=after), f"the provider's gate is closed: {reason or 'its rate limit'}"
            )
        await asyncio.sleep(seconds)

    def _worst(self, model: str, tokens: int) -> Decimal:
        price = self._prices.find(model)
        return Decimal(0) if price is None else price.worst(tokens, self._manifest.max_output_tokens)

    def _cost(self, turn: Turn, asked: str) -> float | None:
        """The provider may answer with a longer name of the model than it was asked for."""
        price = self._prices.find(turn.model) or self._prices.find(asked)
        return None if price is None else float(price.cost(turn.usage))
