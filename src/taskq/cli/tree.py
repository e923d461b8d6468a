"""A mission as a tree: who comes after whom, and how far everything is.

console.print(draw(nodes, mission_id))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from uuid import UUID

from rich.text import Text
from rich.tree import Tree

from taskq.cli.node import Node
from taskq.cli.output import LOOKS
from taskq.cli.text import clean, cut, length, short
from taskq.reading.layout import Below, arrange
from taskq.task import FINAL

CROWD = 10
"""More leaves of one role below one task than this are drawn as one line."""


def draw(nodes: Sequence[Node], mission: UUID) -> Tree:
    """The tree of these tasks, under a line that counts them.

    :param mission: the root task, whether it is among them or not.
    """
    tree = Tree(headline(nodes, mission), guide_style="dim")
    grow(tree, None, arrange(nodes, mission))
    return tree


def grow(branch: Tree, at: UUID | None, below: Below[Node]) -> None:
    """Draw what stands below a task; a crowd of leaves in one line."""
    leaves = Counter(node.role for node in below.get(at, ()) if node.id not in below)
    drawn = set()
    for node in below.get(at, ()):
        if node.id in below or leaves[node.role] <= CROWD:
            grow(branch.add(line(node)), node.id, below)
        elif node.role not in drawn:
            drawn.add(node.role)
            branch.add(crowd(node.role, [n for n in below[at] if n.role == node.role and n.id not in below]))


def line(node: Node) -> Text:
    """One task on one line."""
    symbol, style = LOOKS[node.status]
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{symbol} ", style).append(clean(node.role), "dim" if node.status == "cancelled" else "")
    if node.name:
        text.append(f" {cut(clean(node.name), 40)}", "italic")
    text.append(f" {short(node.id)}", "dim")
    for fact in facts(node):
        text.append(f"  {fact}", "dim")
    return text


def facts(node: Node) -> Iterable[str]:
    """What else there is to say of a task, most telling first."""
    if node.took is not None:
        yield length(node.took)
    if node.status == "in_progress" and node.progress is not None:
        yield f"{'━' * round(node.progress * 10):┄<10} {node.progress:.0%}"
    if node.status == "in_progress" and node.progress_note:
        yield cut(clean(node.progress_note), 60)
    if node.waiting_on and len(node.depends_on) > 1:
        yield f"waits for {node.waiting_on} of {len(node.depends_on)}"
    if node.status == "awaiting_approval":
        yield f"waits for a person: taskq approve {short(node.id)}"
    if node.due_in is not None:
        yield f"in {length(node.due_in)}"
    if node.attempt > 1:
        yield f"attempt {node.attempt} of {node.max_attempts}"
    if node.error_kind and node.status != "completed":
        yield f"{node.error_kind}: {cut(clean(node.error), 80)}"


def crowd(role: str, nodes: Sequence[Node]) -> Text:
    """Many leaves of one role on one line."""
    text = Text(f"{clean(role)} × {len(nodes)}: ", no_wrap=True, overflow="ellipsis")
    return text.append(counts(nodes))


def counts(nodes: Iterable[Node]) -> Text:
    """How many there are of each status; says by the way what the symbols mean."""
    number = Counter(node.status for node in nodes)
    parts = [
        Text(f"{symbol} {number[status]} {status}", style)
        for status, (symbol, style) in LOOKS.items()
        if number[status]
    ]
    return Text("  ").join(parts)


def headline(nodes: Sequence[Node], mission: UUID) -> Text:
    """The line above the tree."""
    root = next((node for node in nodes if node.id == mission), None)
    ended = sum(node.status in FINAL for node in nodes)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append("mission ").append(clean(root.name or root.role) if root else str(mission), "bold")
    return text.append(f"  {ended} of {len(nodes)} ended  ").append(counts(nodes))
