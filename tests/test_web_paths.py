"""What comes before what in a mission, its critical path, and its timeline: of tasks that are made up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from taskq.web.gantt import Bar, marks, timeline
from taskq.web.nodes import STATUSES, Ended, Mission, Node, Wait
from taskq.web.paths import critical_path, edges

BEGIN = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW = BEGIN + timedelta(seconds=100)


def at(seconds: float) -> datetime:
    """A moment of the mission."""
    return BEGIN + timedelta(seconds=seconds)


def id(number: int) -> UUID:
    return UUID(int=number)


def node(
    number: int,
    after: Sequence[int] = (),
    *,
    ran: tuple[float, float] | None = None,
    status: str | None = None,
    parent: int | None = None,
    **more: Any,
) -> Node:
    """A task; one that ran from and to is completed."""
    return Node(
        id=id(number),
        role="work",
        name=f"t{number}",
        status=status or ("completed" if ran else "blocked"),
        attempt=1,
        max_attempts=4,
        created_at=more.pop("created_at", BEGIN),
        run_at=more.pop("run_at", BEGIN.isoformat()),
        parent_id=None if parent is None else id(parent),
        depends_on=[id(some) for some in after],
        started_at=at(ran[0]) if ran else None,
        finished_at=at(ran[1]) if ran and status != "in_progress" else None,
        **more,
    )


def path(*nodes: Node) -> tuple[list[int], float]:
    found = critical_path(nodes, id(1), NOW)
    return [node.id.int for node in found.tasks], found.seconds


def test_the_critical_path_of_what_has_ended_is_what_took_longest() -> None:
    nodes = [
        node(1, ran=(0, 10)),
        node(2, [1], ran=(10, 60)),
        node(3, [1], ran=(10, 20)),
        node(4, [2, 3], ran=(60, 65)),
    ]
    assert path(*nodes) == ([1, 2, 4], 65)


def test_what_is_still_to_come_decides_before_time_does() -> None:
    nodes = [
        node(1, ran=(0, 10)),
        node(2, [1], ran=(10, 90)),
        node(3, [1], ran=(90, 0), status="in_progress"),
        node(4, [3]),
    ]
    chain, seconds = path(*nodes)
    assert (chain, seconds) == ([1, 3, 4], 20)
    assert [one.label for one in critical_path(nodes, id(1), NOW).remaining] == ["t3", "t4"]


def test_who_comes_after_a_parent_comes_after_the_children_that_it_waits_for() -> None:
    nodes = [node(1, ran=(0, 10)), node(2, [1, 3]), node(3, parent=2), node(4, [2])]
    assert path(*nodes)[0] == [1, 2, 3, 4]


def test_a_mission_of_nothing_has_no_path() -> None:
    assert path() == ([], 0)


def test_edges_that_follow_from_others_are_not_drawn() -> None:
    nodes = [node(1), node(2, [1]), node(3, [1, 2], parent=1), node(4, [1, 2, 3])]
    drawn = edges(nodes, id(1), critical_path(nodes, id(1), NOW))
    assert [(edge.first.int, edge.then.int, edge.kind) for edge in drawn] == [
        (1, 2, "depends"),
        (2, 3, "depends"),
        (3, 4, "depends"),
    ]
    assert all(edge.is_critical for edge in drawn)


def test_a_child_that_its_parent_waits_for_hangs_below_it() -> None:
    nodes = [node(1, [2]), node(2, parent=1)]
    (edge,) = edges(nodes, id(1), critical_path(nodes, id(1), NOW))
    assert (edge.first.int, edge.then.int, edge.kind) == (1, 2, "child")


def bars(*nodes: Node, over: bool = False) -> list[list[tuple[str, float, float]]]:
    mission = Mission(
        root={"id": str(id(1)), "name": "m", "role": "work"},
        counts=dict.fromkeys(STATUSES, 0) | {"completed" if over else "in_progress": len(nodes)},
        spent={},
        now=NOW,
        began_at=BEGIN,
        ended_at=NOW,
        tasks=nodes,
    )
    scale = 1.0 if over else 1.02

    def plain(bar: Bar) -> tuple[str, float, float]:
        return bar.kind, round(bar.x * scale), round(bar.width * scale)

    return [[plain(bar) for bar in row.bars] for row in timeline(mission, nodes).rows]


def test_the_timeline_has_a_bar_for_each_attempt_and_for_each_wait() -> None:
    attempts = [Ended(attempt=1, kind="timeout", started_at=at(10), finished_at=at(30))]
    waits = [
        Wait(verb="park", at=at(60), actor="worker", to="awaiting_approval"),
        Wait(verb="approve", at=at(80), actor="ada", to="queued"),
    ]
    found = bars(node(1, ran=(80, 100), attempts=attempts, waits=waits, run_at=at(40).isoformat()), over=True)
    assert found == [[("approval", 60, 20), ("failed", 10, 20), ("queued", 40, 40), ("completed", 80, 20)]]


def test_who_waits_now_has_a_bar_until_now() -> None:
    asks = node(2, [1], status="awaiting_approval", requires_approval=True)
    ready = node(3, [1], status="queued", run_at=at(5).isoformat())
    never = node(4, status="queued", run_at="infinity")
    running = node(5, ran=(70, 0), status="in_progress", run_at=at(70).isoformat())
    found = bars(node(1, ran=(0, 20), run_at=at(0).isoformat()), asks, ready, never, running)
    assert found[1:] == [[("approval", 20, 80)], [("queued", 20, 80)], [], [("in_progress", 70, 30)]]


def test_an_attempt_that_waits_for_its_children_ends_when_they_were_put_in() -> None:
    parent = node(1, [2], ran=(10, 0), status="blocked", run_at=at(10).isoformat())
    child = node(2, parent=1, ran=(50, 0), status="in_progress", created_at=at(40), run_at=at(50).isoformat())
    assert ("ran", 10, 30) in bars(parent, child)[0]


def test_marks_of_the_axis_are_few_and_round() -> None:
    assert [mark.words for mark in marks(95)] == [
        "0 s", "10 s", "20 s", "30 s", "40 s", "50 s", "1 min", "1 min 10 s", "1 min 20 s", "1 min 30 s",
    ]  # fmt: skip
    assert [mark.words for mark in marks(5400)] == [
        "0 s", "10 min", "20 min", "30 min", "40 min", "50 min",
        "1 h", "1 h 10 min", "1 h 20 min", "1 h 30 min",
    ]  # fmt: skip
    assert len(marks(10 * 365 * 86400)) <= 61
