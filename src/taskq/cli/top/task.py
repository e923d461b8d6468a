"""All about one task, as `taskq show` prints it, for as long as one looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from rich.console import Group
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Static

from taskq.cli.details import panels
from taskq.cli.top.look import Row
from taskq.cli.top.panes import bar


class Details(Screen[None]):
    """The screen of one task: why it is where it is, how far it is, its errors, everything."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "Back")]

    def __init__(self, task: Row) -> None:
        super().__init__()
        self.row = task

    def compose(self) -> ComposeResult:
        yield Static(id="away")
        with VerticalScroll():
            yield Static(id="task")
        yield Footer()

    def put(self, task: dict[str, Any]) -> None:
        """Show a task with its lists."""
        self.row = task
        head, *rest = panels(task)
        far = (
            []
            if task["progress"] is None
            else [Text(f"  {bar(task['progress'])} {task['progress_note'] or ''}")]
        )
        self.query_one("#task", Static).update(Group(head, *far, *rest))

    def tasks(self) -> Iterator[Row]:
        """What the keys act on."""
        yield self.row
