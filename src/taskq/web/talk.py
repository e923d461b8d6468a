"""The conversation of an agent, as people read it: from the rows of taskq.messages and taskq.tool_calls.

What it says and what tools answered is others' text: templates escape it, or give it to `markdown`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from taskq.web.render import pretty
from taskq.web.said import CallPart, Part, Said, Talk, cut_to

Row = Mapping[str, Any]

LONGEST = 6000
"""Characters of one text that are shown; the page of its message has all of them."""
LONGEST_ANSWER = 3000
"""Characters of a tool's answer, or of the arguments, that are shown among the others."""
GIST = 90
UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)


def talk(
    rows: Sequence[Row], *, most: int, calls: Iterable[Row] = (), steers: Iterable[Row] = (), cut: bool = True
) -> Talk:
    """The messages in these rows (in order; one more than `most` when there are earlier ones).

    :param calls: the rows of the ledger, by which calls get their status.
    :param steers: what people said, by which messages get their actor.
    :param cut: whether long texts are cut.
    """
    earlier = rows[1]["seq"] if len(rows) > most else None
    rows = rows[1:] if len(rows) > most else rows
    bodies = [blocks(row["body"]) for row in rows]
    answers = {
        str(block.get("tool_use_id")): (row["seq"], block)
        for row, body in zip(rows, bodies, strict=True)
        for block in body
        if block.get("type") == "tool_result"
    }
    asked = {str(block.get("id")) for body in bodies for block in body if block.get("type") == "tool_use"}
    ledger = {str(row["call_id"]): row for row in calls}
    actors = {row["seq"]: str(row["actor"]) for row in steers if row["seq"] is not None}
    found = []
    for row, body in zip(rows, bodies, strict=True):
        parts = [part(block, answers, ledger, cut) for block in body if not is_paired(block, asked)]
        if parts or row["role"] == "assistant":
            found.append(said(row, parts, actors))
    return Talk(found, earlier)


def blocks(body: str) -> list[dict[str, Any]]:
    """The blocks of a body; what is no list of objects is shown as the text that it is."""
    try:
        content = msgspec.json.decode(body)
    except UNREADABLE:
        content = body
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    listed = content if isinstance(content, list) else [content]
    return [block if isinstance(block, dict) else {"type": "text", "text": str(block)} for block in listed]


def is_paired(block: Mapping[str, Any], asked: set[str]) -> bool:
    """Whether a tool's answer stands with its call."""
    return block.get("type") == "tool_result" and str(block.get("tool_use_id")) in asked


def part(
    block: Mapping[str, Any], answers: Mapping[str, tuple[int, Row]], ledger: Mapping[str, Row], cut: bool
) -> Part | CallPart:
    """One block."""
    match block.get("type"):
        case "text":
            return Part("text", cut_to(str(block.get("text", "")), LONGEST if cut else None))
        case "thinking":
            return Part("thinking", cut_to(str(block.get("thinking", "")), LONGEST if cut else None))
        case "tool_use":
            return call(block, answers, ledger, cut)
        case "tool_result":
            return Part("answer", cut_to(plain(block.get("content")), LONGEST_ANSWER if cut else None))
        case _:
            return Part("other", cut_to(pretty(block), LONGEST_ANSWER if cut else None))


def call(
    block: Mapping[str, Any], answers: Mapping[str, tuple[int, Row]], ledger: Mapping[str, Row], cut: bool
) -> CallPart:
    """A tool call with its answer."""
    id = str(block.get("id"))
    seq, answer = answers.get(id, (None, None))
    given = block.get("input")
    most = LONGEST_ANSWER if cut else None
    return CallPart(
        tool=str(block.get("name")),
        gist=gist(given),
        arguments=cut_to(pretty(given), most),
        answer=None if answer is None else cut_to(plain(answer.get("content")), most),
        answer_seq=seq,
        is_error=answer is not None and bool(answer.get("is_error")),
        ledger=ledger.get(id),
    )


def said(row: Row, parts: Sequence[Part | CallPart], actors: Mapping[int, str]) -> Said:
    """A message around its parts."""
    usage = row["usage"] or {}
    actor = actors.get(row["seq"])
    if row["role"] == "assistant":
        by = "agent"
    elif actor is not None:
        by = "person"
    else:
        by = "tool" if any(part.kind == "answer" for part in parts) else "task"
    cached = count(usage, "cache_read_input_tokens")
    return Said(
        seq=row["seq"],
        by=by,
        actor=actor,
        at=row["created_at"],
        attempt=row["attempt"],
        parts=parts,
        model=row["model"],
        stop_reason=row["stop_reason"],
        cost=row["cost"],
        simulated=row["simulated"],
        tokens_in=count(usage, "input_tokens") + count(usage, "cache_creation_input_tokens") + cached
        if usage
        else None,
        tokens_out=count(usage, "output_tokens") if usage else None,
        tokens_cached=cached,
    )


def count(usage: Mapping[str, Any], name: str) -> int:
    """A number of tokens; what is none counts as nothing."""
    value = usage.get(name)
    return value if isinstance(value, int) else 0


def plain(content: Any) -> str:
    """A tool's answer as text: it is a text, or blocks of which some are."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            str(block["text"]) if isinstance(block, dict) and "text" in block else pretty(block)
            for block in content
        )
    return "" if content is None else pretty(content)


def gist_of(text: str) -> str:
    """What a call is about, from its arguments as the ledger keeps them: JSON, perhaps cut."""
    try:
        return gist(msgspec.json.decode(text))
    except UNREADABLE:
        return gist(text)


def gist(given: Any) -> str:
    """What a call is about, in a few words: its first argument that is a short text."""
    values = list(given.values()) if isinstance(given, dict) else [given]
    words = next((value for value in values if isinstance(value, (str, int, float))), "")
    line = " ".join(str(words).split())
    return line if len(line) <= GIST else line[: GIST - 1] + "…"
