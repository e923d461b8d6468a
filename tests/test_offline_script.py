"""The script that plays any agent: what it makes of the tools that it is offered."""

from __future__ import annotations

from typing import Any

import pytest

from taskq.agent.children import delegate
from taskq.agent.schemas import faults
from taskq.agent.untrusted import wrap
from taskq.testing import Request, offline_script
from wire import ASK, TOOL, conversation


async def test_the_offline_script_is_deterministic_and_ends_without_tools() -> None:
    request = Request("/v1/messages", {}, b"", conversation(("user", "Objective: count the stars")))
    assert offline_script(request) == offline_script(request)
    assert "count the stars" in offline_script(request).content[0]["text"]
    assert offline_script(request).content[0]["type"] == "text"


async def test_the_offline_script_copes_with_tools_that_fail() -> None:
    tools = [{**TOOL, "name": name} for name in ("list_dir", "read_file", "grep", "submit_result")]
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Objective: x"}]
    for _ in range(8):
        request = Request("/v1/messages", {}, b"", {**ASK, "tools": tools, "messages": messages})
        step = offline_script(request).content
        calls = [{**block, "id": f"t{len(messages)}"} for block in step if block["type"] == "tool_use"]
        if calls[0]["name"] == "submit_result":
            break
        failed = [
            {"type": "tool_result", "tool_use_id": c["id"], "content": "no", "is_error": True} for c in calls
        ]
        messages += [{"role": "assistant", "content": calls}, {"role": "user", "content": failed}]
    else:
        pytest.fail("the script never ends")


def asked(tools: list[dict[str, Any]], *calls: tuple[str, dict[str, Any], str, bool]) -> Request:
    """A request of an agent that has made these calls: tool, input, answer, whether it failed."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Objective: look"}]
    for number, (name, given, answer, failed) in enumerate(calls):
        call = {"type": "tool_use", "id": f"t{number}", "name": name, "input": given}
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": answer, "is_error": failed}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    return Request("/v1/messages", {}, b"", {**ASK, "tools": tools, "messages": messages})


READ = ("read_file", {"path": "a.sql"}, "a.sql: lines 1 to 2 of 2\n1: one", False)
FOUND = ("grep", {"pattern": "one"}, "1 matching lines (1 shown) in 1 files\na.sql:7: one two", False)


def test_the_offline_script_delegates_once_to_a_role_that_the_tool_names() -> None:
    offer = delegate(["w*", "checker"]).offer()
    first = offline_script(asked([offer], READ)).content[-1]
    assert (first["name"], first["input"]["role"]) == ("delegate", "checker")
    assert first["input"]["objective"] == "Check: a.sql has 2 lines."
    done = ("delegate", first["input"], "yes", False)
    assert offline_script(asked([offer], READ, done)).content[-1]["type"] == "text"
    assert offline_script(asked([delegate(["w*"]).offer()], READ)).content[-1]["type"] == "text"


def test_who_was_given_a_check_by_the_offline_script_does_not_give_it_on() -> None:
    request = asked([delegate(["checker"]).offer()], READ)
    request.body["messages"][0]["content"] = "Objective: Check: a.sql has 2 lines."
    assert offline_script(request).content[-1]["type"] == "text"


def test_the_offline_script_hands_in_what_the_schema_demands() -> None:
    place = {
        "type": "object",
        "required": ["file", "line", "quote"],
        "properties": {
            "file": {"type": "string", "minLength": 1},
            "line": {"type": "integer", "minimum": 1},
            "quote": {"type": "string"},
        },
    }
    schema = {
        "type": "object",
        "required": ["verdict", "sure", "proofs", "notes", "score", "kind", "more"],
        "properties": {
            "verdict": {"enum": ["confirmed", "refuted"]},
            "sure": {"type": ["null", "boolean"]},
            "proofs": {"type": "array", "minItems": 2, "items": place},
            "notes": {"type": "array", "minItems": 4, "maxItems": 5, "items": {"type": "string"}},
            "score": {"anyOf": [{"type": "null"}, {"type": "number", "minimum": 5}]},
            "kind": {"const": "report"},
            "more": {"type": "object", "required": ["text"], "properties": {"text": {"minLength": 500}}},
            "left_out": {"type": "string"},
        },
    }
    tool = {**TOOL, "name": "submit_result", "input_schema": schema}
    [call] = [block for block in offline_script(asked([tool], READ, FOUND)).content if "input" in block]
    assert faults(schema, call["input"]) == []
    assert call["input"]["proofs"][0] == {"file": "a.sql", "line": 7, "quote": "one two"}
    assert "left_out" not in call["input"]


def test_the_offline_script_writes_the_files_that_a_check_missed() -> None:
    missing = wrap("no such file", key="k", check="file report.md")
    refused = ("submit_result", {"summary": "x"}, f"1 of 1 checks failed.\n\n{missing}", True)
    tools = [{**TOOL, "name": name} for name in ("write_file", "submit_result")]
    [_, call] = offline_script(asked(tools, READ, refused)).content
    assert (call["name"], call["input"]["path"]) == ("write_file", "report.md")
    wrote = ("write_file", call["input"], "report.md: written", False)
    assert offline_script(asked(tools, READ, refused, wrote)).content[-1]["name"] == "submit_result"
