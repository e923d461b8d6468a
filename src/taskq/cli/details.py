"""The details of a task as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from taskq.cli.output import FIXED, FOLDED, add_rows, json_text, status_text, table
from taskq.cli.text import clean, cut, length, short, when

LONGEST = 4000
"""Characters of a payload or result that are shown."""
MOST = 50
"""Lines of a list that are shown."""


def panels(task: dict[str, Any]) -> Iterator[RenderableType]:
    """What `taskq show` prints, part by part."""
    yield Text(str(task["id"]), style="bold")
    yield indented(summary(task))
    for heading, edges in (("Waits for", task["dependencies"]), ("Waited for by", task["dependents"])):
        rows = [
            (short(e["id"]), status_text(e["status"]), e["role"], e["name"] or "", e["on_failure"])
            for e in edges
        ]
        yield from section(heading, ["ID", "STATUS", "ROLE", "NAME", "ON FAILURE"], rows)
    yield from section(
        "Attempts that did not succeed",
        ["NO", "KIND", "ENDED", "TOOK", "MESSAGE"],
        [
            (str(a["attempt"]), a["kind"], when(a["finished_at"]), took(a), a["message"] or "")
            for a in task["attempts"]
        ],
    )
    yield from section(
        "Events",
        ["AT", "VERB", "FROM", "TO", "ACTOR", "REASON"],
        [
            (when(e["at"]), e["verb"], e["from"] or "", e["to"] or "", e["actor"], e["reason"] or "")
            for e in task["events"]
        ],
    )
    yield from section(
        "Log",
        ["AT", "ATTEMPT", "LINE"],
        [(when(row["at"]), str(row["attempt"]), row["line"]) for row in task["logs"]],
    )


def summary(task: dict[str, Any]) -> Table:
    """The columns of the task that say something."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for label, value in facts(task):
        if value:
            grid.add_row(label, value if isinstance(value, Text) else Text(clean(value, lines=True)))
    return grid


def facts(task: dict[str, Any]) -> Iterator[tuple[str, str | Text]]:
    """Label and value, in the order in which people ask."""
    yield "role", task["role"]
    yield "name", task["name"] or ""
    yield "status", status_text(task["status"])
    yield "why", task["explain"]
    yield "mission", "" if task["mission_id"] == task["id"] else str(task["mission_id"])
    yield "parent", str(task["parent_id"] or "")
    yield "rerun of", str(task["rerun_of"] or "")
    yield "created", f"{when(task['created_at'])} by {task['created_by'] or 'nobody known'}"
    yield "approved", f"{when(task['approved_at'])} by {task['approved_by']}" if task["approved_at"] else ""
    yield "run at", when(task["run_at"]) if task["status"] == "queued" else ""
    yield "started", when(task["started_at"])
    yield "finished", when(task["finished_at"])
    yield "took", length(task["took"])
    yield "worker", task["worker"] or str(task["worker_id"] or "")
    yield "attempt", f"{task['attempt']} of {task['max_attempts']}, {length(task['timeout'])} each"
    yield "priority", str(task["priority"] or "")
    yield "dedup key", task["dedup_key"] or ""
    yield (
        "messages",
        f"{task['messages']}{', simulated' if task['simulated'] else ''}" if task["messages"] else "",
    )
    yield "payload", cut(json_text(task["payload"]), LONGEST)
    yield "result", "" if task["result"] is None else cut(json_text(task["result"]), LONGEST)
    yield "error", f"{task['error_kind']}: {task['error'] or ''}" if task["error_kind"] else ""


def section(
    heading: str, columns: list[str], rows: Sequence[Sequence[str | Text]]
) -> Iterator[RenderableType]:
    """A heading and a table, unless there is nothing in it; the last rows of a long one."""
    if not rows:
        return
    left_out = f" (the last {MOST} of {len(rows)}; all with --json)" if len(rows) > MOST else ""
    *first, last = columns
    made = table((first[0], FIXED), *first[1:], (last, FOLDED))
    yield Text(f"\n{heading}{left_out}", style="bold")
    yield indented(add_rows(made, rows[-MOST:]))


def indented(renderable: RenderableType) -> Padding:
    return Padding(renderable, (0, 0, 0, 2))


def took(attempt: Any) -> str:
    """How long an attempt took."""
    return length(attempt["finished_at"] - attempt["started_at"]) if attempt["started_at"] else ""
