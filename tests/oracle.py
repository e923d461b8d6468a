"""What must become of each task, in plain Python: no counters, no locks, no cleverness.

The rules are read off the design; the database must come to the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

DOWN = {"failed", "cancelled"}
FINAL = DOWN | {"completed"}
WAITING = {"blocked", "awaiting_approval", "queued"}


@dataclass
class Edge:
    """A task waits for `parent`; `met` once it has run past it and waits for others."""

    parent: UUID
    policy: str
    met: bool = False


@dataclass
class Node:
    """One task."""

    id: UUID
    edges: dict[UUID, Edge] = field(default_factory=dict)
    needs_approval: bool = False
    approved: bool = False
    status: str = "blocked"
    fell: bool = False  # it ended only because something that it depends on did
    attempt: int = 0
    max_attempts: int = 4
    crashes: int = 0
    asked_to_stop: bool = False


class Oracle:
    """All tasks, and what people and workers do to them.  Each verb leaves everything settled."""

    def __init__(self) -> None:
        self.nodes: dict[UUID, Node] = {}

    def having(self, *statuses: str) -> list[UUID]:
        return [task for task, node in self.nodes.items() if node.status in statuses]

    def unmet(self, task: UUID) -> int:
        """How many of its edges a task waits for."""
        return sum(self.is_unmet(edge) for edge in self.nodes[task].edges.values())

    def is_unmet(self, edge: Edge) -> bool:
        parent = self.nodes[edge.parent]
        return (
            not edge.met
            and parent.status != "completed"
            and not (edge.policy == "run" and parent.status in DOWN)
        )

    def is_broken(self, edge: Edge) -> bool:
        return not edge.met and edge.policy == "fail" and self.nodes[edge.parent].status in DOWN

    # what comes in

    def insert(self, nodes: list[Node]) -> None:
        """New tasks; those that depend on something failed fall first, then on something cancelled."""
        self.nodes.update({node.id: node for node in nodes})
        for status in ("failed", "cancelled"):
            for node in nodes:
                if node.status == "blocked" and any(
                    self.is_broken(edge) and self.nodes[edge.parent].status == status
                    for edge in node.edges.values()
                ):
                    self.end(node.id, status, fell=True)
        self.settle()

    # what workers do

    def claim(self, task: UUID) -> None:
        node = self.nodes[task]
        assert node.status == "queued"
        node.status = "in_progress"
        node.attempt += 1

    def complete(self, task: UUID) -> None:
        self.nodes[task].status = "completed"
        self.settle()

    def fail(self, task: UUID, final: bool) -> None:
        node = self.nodes[task]
        if node.asked_to_stop:
            self.end(task, "cancelled")
        elif final or node.attempt >= node.max_attempts:
            self.end(task, "failed")
        else:
            node.status = "queued"
        self.settle()

    def crash(self, task: UUID) -> None:
        """Its worker died; the third time, or after the last attempt, it fails."""
        node = self.nodes[task]
        if node.asked_to_stop:
            self.end(task, "cancelled")
        elif node.crashes + 1 >= 3 or node.attempt >= node.max_attempts:
            self.end(task, "failed")
        else:
            node.crashes += 1
            node.status = "queued"
        self.settle()

    def release(self, task: UUID) -> None:
        node = self.nodes[task]
        if node.asked_to_stop:
            self.end(task, "cancelled")
        else:
            node.status = "queued"
            node.attempt -= 1
        self.settle()

    def wait(self, task: UUID, on: list[UUID]) -> None:
        """It waits for others to end in whatever way; what it waited for before is behind it."""
        node = self.nodes[task]
        if node.asked_to_stop:
            self.end(task, "cancelled")
        else:
            for edge in node.edges.values():
                edge.met = True
            node.edges.update({parent: Edge(parent, "run") for parent in on})
            node.attempt -= 1
            node.approved = True
            node.status = "blocked"
        self.settle()

    def reaches(self, start: list[UUID], goal: UUID) -> bool:
        """Whether any of these waits for that one."""
        seen: set[UUID] = set()
        todo = list(start)
        while todo:
            task = todo.pop()
            if task not in seen:
                seen.add(task)
                todo.extend(edge.parent for edge in self.nodes[task].edges.values() if not edge.met)
        return goal in seen

    # what people do

    def approve(self, task: UUID) -> None:
        self.nodes[task].approved = True
        self.nodes[task].status = "queued"

    def reject(self, task: UUID) -> None:
        self.end(task, "cancelled")
        self.settle()

    def cancel(self, task: UUID) -> None:
        node = self.nodes[task]
        if node.status == "in_progress":
            node.asked_to_stop = True
        elif node.status in WAITING:
            self.end(task, "cancelled")
        self.settle()

    def requeue(self, task: UUID) -> None:
        node = self.nodes[task]
        node.status = "queued"
        node.attempt -= 1
        node.asked_to_stop = False

    def retry(self, task: UUID) -> None:
        """It runs again, and so does all that fell with it and has nothing else that is down."""
        self.revive(task)
        standing = {task}
        while standing:
            standing = {
                node.id
                for node in self.nodes.values()
                if node.fell
                and any(
                    edge.parent in standing and edge.policy == "fail" and not edge.met
                    for edge in node.edges.values()
                )
                and not any(self.is_broken(edge) for edge in node.edges.values())
            }
            for fallen in standing:
                self.revive(fallen)
        self.settle()

    # how it spreads

    def revive(self, task: UUID) -> None:
        node = self.nodes[task]
        node.status, node.fell, node.asked_to_stop, node.crashes = "blocked", False, False, 0
        node.max_attempts = max(node.max_attempts, node.attempt + 1)

    def end(self, task: UUID, status: str, fell: bool = False) -> None:
        """It failed or was cancelled, and takes with it what is blocked behind a `fail` edge."""
        node = self.nodes[task]
        node.status, node.fell = status, fell
        for other in self.nodes.values():
            edge = other.edges.get(task)
            if edge and edge.policy == "fail" and not edge.met and other.status == "blocked":
                self.end(other.id, status, fell=True)

    def settle(self) -> None:
        """What is blocked and waits for nothing goes on."""
        for node in self.nodes.values():
            if node.status == "blocked" and self.unmet(node.id) == 0:
                waits = node.needs_approval and not node.approved
                node.status = "awaiting_approval" if waits else "queued"
