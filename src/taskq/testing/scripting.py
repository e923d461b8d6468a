"""Scripts out of answers: by turn, in order, by role, by what the last tool returned.

Wherever an answer stands here, a script may stand too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from taskq.testing.reply import Answer, ApiError, Reply
from taskq.testing.request import Request

Script = Callable[[Request], Answer | Awaitable[Answer]]
"""What a script is: a function of the request, async if it likes."""
Source = Script | Answer
"""An answer, or a script that finds one."""


def in_order(*answers: Source) -> Script:
    """A script that gives each answer once, in order; the last one again and again."""
    left = list(answers)

    def script(request: Request) -> Answer | Awaitable[Answer]:
        return answer_of(left.pop(0) if len(left) > 1 else left[0], request)

    return script


def by_turn(*answers: Source) -> Script:
    """A script that gives the n-th answer to a conversation's n-th turn, however often it is asked; the
    last one from there on."""

    def script(request: Request) -> Answer | Awaitable[Answer]:
        return answer_of(answers[min(request.turn, len(answers)) - 1], request)

    return script


def by_role(answers: Mapping[str, Source], otherwise: Source | None = None) -> Script:
    """A script that answers by the role which asks, see `plays`.

    :param otherwise: answers every other role; None makes that an error 400 which names the request's task.
    """

    def script(request: Request) -> Answer | Awaitable[Answer]:
        found = [answer for role, answer in answers.items() if request.task == role]
        found += [answer for role, answer in answers.items() if plays(request, role)]
        return answer_of((found or [otherwise or _unscripted(request)])[0], request)

    return script


def plays(request: Request, role: str) -> bool:
    """Whether a role asks: the task has its name, or no name, or the system prompt speaks of it."""
    return request.task == role or role.lower() in request.system.lower()


@dataclass(frozen=True)
class Rule:
    """A condition on a request, and what answers it."""

    applies: Callable[[Request], bool]
    answer: Source


@dataclass(frozen=True)
class Condition:
    """What must be so of a request; all that is given must be.

    :param role: the role that asks, see `plays`.
    :param turn: the turn that is asked for; the first is 1.
    :param after: the tool whose answer came last; may be a glob, such as `read_*`.
    :param saying: what that answer contains.
    :param failed: whether that answer is an error.
    :param test: any other question.
    """

    role: str | None = None
    turn: int | None = None
    after: str | None = None
    saying: str | None = None
    failed: bool | None = None
    test: Callable[[Request], bool] | None = None

    def then(self, answer: Source) -> Rule:
        """The rule that gives this answer whenever it is so."""
        return Rule(self.applies, answer)

    def applies(self, request: Request) -> bool:
        """Whether it is so."""
        call = request.last_call
        return (
            (self.role is None or plays(request, self.role))
            and (self.turn is None or request.turn == self.turn)
            and (self.after is None or (call is not None and fnmatchcase(call.name, self.after)))
            and (self.saying is None or (call is not None and self.saying in call.answer))
            and (self.failed is None or (call is not None and call.failed == self.failed))
            and (self.test is None or self.test(request))
        )


when = Condition
"""`when(turn=2, after="read_file", failed=True).then(Reply([...]))`, for `first_of`."""


def first_of(*rules: Rule, otherwise: Source | None = None) -> Script:
    """A script that gives the answer of the first rule which applies.

    :param otherwise: answers when none does; None makes that an error 400 which names the request's task.
    """

    def script(request: Request) -> Answer | Awaitable[Answer]:
        found = [rule.answer for rule in rules if rule.applies(request)]
        return answer_of((found or [otherwise or _unscripted(request)])[0], request)

    return script


def answer_of(source: Source, request: Request) -> Answer | Awaitable[Answer]:
    """What a source answers to a request."""
    return source if isinstance(source, Reply | ApiError) else source(request)


def _unscripted(request: Request) -> ApiError:
    call = request.last_call
    after = f" after {call.name}" if call else ""
    message = f"the script has no answer for turn {request.turn} of {request.task!r}{after}"
    return ApiError(400, message=message)
