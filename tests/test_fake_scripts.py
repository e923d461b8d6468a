"""Scripts of the fake: by role, by what the last tool returned, by any condition."""

from __future__ import annotations

from typing import Any

import pytest

from taskq.testing import (
    ApiError,
    FakeMessages,
    Reply,
    Request,
    by_role,
    by_turn,
    first_of,
    in_order,
    text,
    when,
)
from wire import CALL, RESULT, conversation, posted

ONE, TWO, THREE = (Reply([text(word)]) for word in ("one", "two", "three"))


def asked(task: str = "librarian", system: str = "You keep the books.", *more: Any) -> Any:
    return conversation(("user", f"Task: {task}\n\nObjective: x"), *more, system=system)


def after(answer: str, *, name: str = "look", failed: bool = False) -> Any:
    result = {**RESULT, "content": answer, "is_error": failed}
    return asked("a", "b", ("assistant", [{**CALL, "name": name}]), ("user", [result]))


async def said(script: Any, body: Any) -> str:
    response = (await posted(FakeMessages(script), body)).json()
    return str(response["error"]["message"] if "error" in response else response["content"][0]["text"])


async def test_a_role_is_known_by_the_task_or_by_the_system_prompt() -> None:
    script = by_role({"books": ONE, "librarian": TWO, "Tailor": THREE})
    assert await said(script, asked()) == "two"
    assert await said(script, asked("sort the shelf")) == "one"
    assert await said(script, asked("x", "You are a TAILOR.")) == "three"


async def test_a_role_without_a_script_is_an_error_that_says_so() -> None:
    assert (
        await said(by_role({"x-ray": ONE}), asked()) == "the script has no answer for turn 1 of 'librarian'"
    )
    assert await said(by_role({"x-ray": ONE}, otherwise=TWO), asked()) == "two"


async def test_scripts_go_into_scripts() -> None:
    script = by_role({"librarian": by_turn(ONE, first_of(when(failed=True).then(TWO), otherwise=THREE))})
    assert await said(script, asked()) == "one"
    answered = [("assistant", [CALL]), ("user", [{**RESULT, "is_error": True}])]
    assert await said(script, asked("librarian", "s", *answered)) == "two"
    assert await said(script, asked("librarian", "s", ("assistant", "a"), ("user", "b"))) == "three"
    assert await said(in_order(by_turn(TWO)), asked()) == "two"


@pytest.mark.parametrize(
    ("condition", "applies"),
    [
        (when(), True),
        (when(turn=2), True),
        (when(turn=1), False),
        (when(after="look"), True),
        (when(after="lo*"), True),
        (when(after="read"), False),
        (when(saying="no such"), True),
        (when(saying="found"), False),
        (when(failed=True), True),
        (when(failed=False), False),
        (when(role="a"), True),
        (when(role="z"), False),
        (when(test=lambda request: "look" in str(request.messages)), True),
        (when(turn=2, after="look", failed=False), False),
    ],
)
async def test_all_of_a_condition_must_be_so(condition: Any, applies: bool) -> None:
    script = first_of(condition.then(ONE), otherwise=TWO)
    assert await said(script, after("no such file", failed=True)) == ("one" if applies else "two")


async def test_the_first_rule_that_applies_answers() -> None:
    script = first_of(when(after="look").then(ONE), when(turn=2).then(TWO))
    assert await said(script, after("x")) == "one"
    assert await said(script, after("x", name="read")) == "two"
    assert await said(script, asked()) == "the script has no answer for turn 1 of 'librarian'"


async def test_an_error_or_an_async_function_is_an_answer() -> None:
    async def later(request: Request) -> Reply:
        return TWO

    assert await said(ApiError(500, message="no"), asked()) == "no"
    assert await said(first_of(when(turn=1).then(later)), asked()) == "two"
