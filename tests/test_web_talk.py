"""A conversation as the page shows it: from the rows of the messages."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from taskq.web.said import CallPart, Part
from taskq.web.talk import LONGEST, LONGEST_ANSWER, gist, gist_of, talk

AT = datetime(2026, 5, 1, tzinfo=UTC)


def row(seq: int, role: str, *blocks: Any, body: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "seq": seq,
        "role": role,
        "body": json.dumps(list(blocks)) if body is None else body,
        "stop_reason": None,
        "model": "a-model" if role == "assistant" else None,
        "usage": None,
        "cost": None,
        "simulated": False,
        "attempt": 1,
        "created_at": AT,
        **more,
    }


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def use(id: str, tool: str, **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": tool, "input": given}


def answer(id: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": content, **more}


def test_an_answer_stands_with_its_call_and_what_the_ledger_says() -> None:
    rows = [
        row(0, "user", text("Do it.")),
        row(1, "assistant", text("I look."), use("a", "read_file", path="x.py"), use("b", "grep", word="y")),
        row(2, "user", answer("a", "1 line")),
        row(3, "user", answer("b", [text("no"), {"type": "image"}], is_error=True), text("hurry")),
    ]
    found = talk(rows, most=50, calls=[{"call_id": "a", "status": "success"}])
    assert [(said.seq, said.by) for said in found.messages] == [(0, "task"), (1, "agent"), (3, "task")]
    said, first, second = found.messages[1].parts
    assert isinstance(said, Part) and said.body.text == "I look."
    assert isinstance(first, CallPart) and isinstance(second, CallPart)
    assert (first.tool, first.gist, first.answer_seq) == ("read_file", "x.py", 2)
    assert first.answer is not None and first.answer.text == "1 line"
    assert first.ledger is not None and first.ledger["status"] == "success"
    assert second.is_error and second.answer is not None and second.answer.text.startswith("no\n")
    assert found.earlier is None


def test_an_answer_without_its_call_is_shown_by_itself() -> None:
    (said,) = talk([row(7, "user", answer("gone", "x"))], most=50).messages
    assert said.by == "tool" and [part.kind for part in said.parts] == ["answer"]


def test_a_steer_is_said_by_who_said_it() -> None:
    (said,) = talk(
        [row(4, "user", text("ada says:\nfaster"))], most=50, steers=[{"seq": 4, "actor": "ada"}]
    ).messages
    assert (said.by, said.actor) == ("person", "ada")


def test_only_the_newest_are_shown_and_where_the_earlier_ones_are() -> None:
    found = talk([row(seq, "user", text(str(seq))) for seq in range(10, 16)], most=5)
    assert ([said.seq for said in found.messages], found.earlier) == ([11, 12, 13, 14, 15], 11)


def test_long_texts_are_cut_unless_the_message_is_looked_at_alone() -> None:
    thinking = {"type": "thinking", "thinking": "y" * 10_000}
    rows = [
        row(1, "assistant", text("x" * 10_000), thinking, use("a", "put", text="z" * 10_000)),
        row(2, "user", answer("a", "w" * 10_000)),
    ]
    for cut, most in ((True, (LONGEST, LONGEST, LONGEST_ANSWER)), (False, (10_000, 10_000, 10_000))):
        (said,) = talk(rows, most=50, cut=cut).messages
        words, thought, call = said.parts
        assert isinstance(words, Part) and isinstance(thought, Part) and isinstance(call, CallPart)
        assert call.answer is not None
        assert (len(words.body.text), len(thought.body.text), len(call.answer.text)) == most
        assert words.body.size == call.answer.size == 10_000 and words.body.is_cut == cut


@pytest.mark.parametrize(
    "body",
    [
        "no JSON",
        '"a text"',
        "{}",
        "null",
        "[null, 1]",
        '[{"type": "unheard_of"}]',
        '["\\ud800"]',
        "[" * 5000,
        '[{"type": "text"}, {"type": "tool_use"}, {"type": "tool_result"}]',
        '[{"type": "thinking", "thinking": null}]',
    ],
)
def test_no_body_is_too_strange_to_be_shown(body: str) -> None:
    found = talk([row(1, "assistant", body=body), row(2, "user", body=body)], most=50)
    assert found.messages
    for said in found.messages:
        for part in said.parts:
            shown = part.body.text if isinstance(part, Part) else part.arguments.text
            shown.encode()


def test_tokens_count_those_of_the_cache() -> None:
    usage = {
        "input_tokens": 3,
        "output_tokens": 42,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": None,
    }
    (said,) = talk([row(1, "assistant", text("x"), usage=usage)], most=50).messages
    assert (said.tokens_in, said.tokens_out, said.tokens_cached) == (103, 42, 100)


def test_the_gist_of_a_call_is_its_first_word() -> None:
    assert gist({"options": {}, "path": "a\n b"}) == "a b"
    assert gist({}) == "" and gist(None) == ""
    assert len(gist({"text": "x" * 500})) == 90
    assert gist_of('{"path": "a.py"}') == "a.py"
    assert gist_of('{"path": "cut in the mid') == '{"path": "cut in the mid'
