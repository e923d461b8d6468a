"""A pane on the screen: a heading, and rows that one can walk through."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from taskq.cli.top.grid import lines
from taskq.cli.top.look import Look, Row
from taskq.cli.top.panes import Pane


class Rows(OptionList):
    """The rows; the one that was chosen stays chosen, wherever it moves to."""

    def put(self, rows: dict[str, Text]) -> None:
        """Show these: keys and lines."""
        chosen, place, scrolled = self.chosen, self.highlighted, self.scroll_y
        if [option.id for option in self.options] == list(rows):
            for index, line in enumerate(rows.values()):
                if self.options[index].prompt != line:
                    self.replace_option_prompt_at_index(index, line)
            return
        self.set_options(Option(line, id=key) for key, line in rows.items())
        if not rows or place is None:
            return
        self.scroll_to(y=scrolled, animate=False)
        self.highlighted = list(rows).index(chosen) if chosen in rows else min(place, len(rows) - 1)

    @property
    def chosen(self) -> str | None:
        """The key of the row that is chosen."""
        option = self.highlighted_option
        return None if option is None else option.id

    def on_focus(self) -> None:
        """Something is chosen while the keys are meant for this pane."""
        if self.highlighted is None and self.options:
            self.highlighted = 0


class PaneView(Vertical):
    """One table of the screen."""

    def __init__(self, pane: Pane) -> None:
        super().__init__(id=pane.name)
        self.pane = pane
        self.heading, self.rows = Static(classes="heading"), Rows(compact=True, markup=False)
        self._seen: dict[str, Row] = {}

    def compose(self) -> ComposeResult:
        yield self.heading
        yield self.rows

    def put(self, look: Look, width: int) -> None:
        """Show a look in this many columns."""
        heading, *rows = lines(self.pane.table(look), width)
        self._seen = {str(row[self.pane.key]): row for row in self.pane.rows(look)}
        self.heading.update(heading, layout=False)  # it is one line, whatever it says
        self.rows.put(dict(zip(self._seen, rows, strict=True)))

    @property
    def wanted(self) -> int:
        """Lines that would show all of it."""
        return 1 + len(self._seen)

    @property
    def chosen(self) -> Row | None:
        """The row that is chosen."""
        return self._seen.get(self.rows.chosen or "")

    def tasks(self) -> Iterator[Row]:
        """The row that is chosen, if it is a task."""
        if self.pane.of_tasks and self.chosen is not None:
            yield self.chosen
