"""The tree of a mission: who stands below whom, and what a line says."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from taskq.cli.node import Node
from taskq.cli.tree import CROWD, draw, line
from taskq.reading.layout import DEEPEST, arrange

M = UUID(int=1)


def node(number: int, after: Iterable[int] = (), **columns: Any) -> Node:
    defaults: dict[str, Any] = {
        "role": f"r{number}", "name": None, "status": "queued", "mission_id": M, "parent_id": None,
        "attempt": 0, "max_attempts": 4, "progress": None, "progress_note": None, "error_kind": None,
        "error": None, "waiting_on": None, "due_in": None, "took": None,
    }  # fmt: skip
    if parent := columns.pop("parent", None):
        defaults["parent_id"] = UUID(int=parent)
    return Node(id=UUID(int=number), depends_on=[UUID(int=n) for n in after], **{**defaults, **columns})


def shape(*nodes: Node, mission: UUID = M) -> dict[int, list[int]]:
    """By number, 0 for the top: the numbers below it, in order."""
    return {at.int if at else 0: [n.id.int for n in some] for at, some in arrange(nodes, mission).items()}


def drawn(nodes: list[Node], width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False).print(draw(nodes, M))
    return out.getvalue()


def test_a_chain_goes_down() -> None:
    assert shape(node(3, [2]), node(2, [1]), node(1)) == {0: [1], 1: [2], 2: [3]}


def test_what_three_lead_to_stands_beside_them_and_after_them() -> None:
    nodes = [node(9, [5]), node(5, [2, 3, 4]), node(4, [1]), node(3, [1]), node(2, [1]), node(1)]
    assert shape(*nodes) == {0: [1], 1: [4, 3, 2, 5], 5: [9]}


def test_what_nothing_comes_before_stands_below_the_root() -> None:
    assert shape(node(1), node(2), node(3, [2])) == {0: [1], 1: [2], 2: [3]}


def test_a_root_that_waits_for_the_others_stands_after_them() -> None:
    assert shape(node(1, [2, 3]), node(2), node(3)) == {0: [2, 3, 1]}


def test_a_parent_that_waits_for_its_children_stands_above_them() -> None:
    nodes = [node(1, [2, 3]), node(2, parent=1), node(3, [4], parent=1), node(4, parent=2)]
    assert shape(*nodes) == {0: [1], 1: [2, 3], 2: [4]}


def test_a_mission_without_its_root_is_drawn_too() -> None:
    assert shape(node(2), node(3, [2, 77], parent=78), mission=UUID(int=99)) == {0: [2], 2: [3]}


def test_what_goes_round_in_circles_is_drawn_all_the_same() -> None:
    shapes = shape(node(1), node(2, [3]), node(3, [2]), node(4, parent=5), node(5, parent=4))
    assert sorted(n for some in shapes.values() for n in some) == [1, 2, 3, 4, 5]


def test_depth_is_bounded() -> None:
    shapes = shape(*(node(n, [n - 1] if n > 1 else []) for n in range(1, 101)))
    assert len(shapes) == DEEPEST
    assert shapes[DEEPEST - 1] == list(range(DEEPEST, 101))


def test_ten_thousand_side_by_side_are_drawn_in_a_moment() -> None:
    fan = [node(n, [1], role="leaf", status="completed") for n in range(2, 10_000)]
    nodes = [node(1), *fan, node(10_000, range(2, 10_000))]
    began = time.perf_counter()
    text = drawn(nodes)
    assert time.perf_counter() - began < 5
    assert "leaf × 9998: ✔ 9998 completed" in text
    assert len(text.splitlines()) == 4


def test_a_small_group_is_drawn_one_by_one() -> None:
    text = drawn([node(1), *(node(n, [1], role="leaf") for n in range(2, 2 + CROWD))])
    assert text.count("leaf") == CROWD


def test_the_headline_counts() -> None:
    text = drawn([node(1, name="find out", status="completed"), node(2, status="failed"), node(3)])
    assert text.splitlines()[0] == "mission find out  2 of 3 ended  ○ 1 queued  ✔ 1 completed  ✘ 1 failed"


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"status": "in_progress", "progress": 0.6, "progress_note": "reads", "took": timedelta(seconds=75)},
         "● r7 000000000007  1 min 15 s  ━━━━━━┄┄┄┄ 60%  reads"),
        ({"status": "completed", "took": timedelta(milliseconds=8)}, "✔ r7 000000000007  8 ms"),
        ({"status": "blocked", "waiting_on": 2}, "◌ r7 000000000007  waits for 2 of 3"),
        ({"status": "awaiting_approval"},
         "? r7 000000000007  waits for a person: taskq approve 000000000007"),
        ({"due_in": timedelta(seconds=30), "attempt": 2, "error_kind": "timeout", "error": "slow\n[b]x"},
         "○ r7 000000000007  in 30 s  attempt 2 of 4  timeout: slow [b]x"),
        ({"status": "failed", "error_kind": "unknown", "error": "x\x1b[0m" * 99},
         "✘ r7 000000000007  unknown: x[0m"),
        ({"status": "cancelled", "error_kind": "rejected", "error": "no"}, "– r7 000000000007  rejected: no"),
    ],
)  # fmt: skip
def test_a_line_says_what_matters(columns: dict[str, Any], says: str) -> None:
    assert line(node(7, [1, 2, 3], **columns)).plain.startswith(says)


def test_lines_are_cut_not_wrapped() -> None:
    nodes = [node(1), node(2, [1], name="n" * 200, status="failed", error_kind="unknown", error="e" * 500)]
    lines = drawn(nodes, width=60).splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) <= 60
