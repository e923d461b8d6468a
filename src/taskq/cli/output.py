"""Printing: JSON for programs; tables and panels for people, plain where nobody looks at a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from taskq.cli.text import UNSAFE, clean

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

LOOKS: Final = {
    "blocked": ("◌", "yellow"),
    "awaiting_approval": ("?", "bold magenta"),
    "queued": ("○", "cyan"),
    "in_progress": ("●", "bold blue"),
    "completed": ("✔", "green"),
    "failed": ("✘", "bold red"),
    "cancelled": ("–", "dim"),
}
"""By status: a symbol and a style."""

FIXED: Final[Mapping[str, Any]] = {"no_wrap": True}
FOLDED: Final[Mapping[str, Any]] = {"overflow": "fold"}

PIPED_WIDTH: Final = 1000
"""Columns when nobody looks at a terminal: nothing is cut for want of room."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def make_console(*, stderr: bool = False) -> Console:
    """A console that takes text as it is: no markup, no emoji codes, no guesses at colours."""
    from rich.console import Console

    made = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not made.is_terminal:
        made.width = PIPED_WIDTH
    return made


def show(*renderables: RenderableType) -> None:
    """Print for people."""
    console = make_console()
    if console.is_terminal:
        for renderable in renderables:
            console.print(renderable)
        return
    with console.capture() as captured:
        for renderable in renderables:
            console.print(renderable)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def print_json(value: Any, *, lines: bool = False) -> None:
    """Print a JSON document; on one line as an element of JSON lines."""
    click.echo(json_text(value, indent=None if lines else 2))


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """The JSON of what a row holds; characters that a terminal would obey are escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=plain)
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def plain(value: Any) -> Any:
    """What JSON does not know: times in ISO 8601, lengths in seconds, rows as objects, the rest as text."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if hasattr(value, "keys"):
        return dict(value)
    return str(value)


def decoded(row: Mapping[str, Any], *columns: str) -> dict[str, Any]:
    """A row as a dictionary, with these jsonb columns as values."""
    texts = {name: row[name] for name in columns}
    return {**row, **{name: None if text is None else json.loads(text) for name, text in texts.items()}}


def table(*columns: str | tuple[str, Mapping[str, Any]]) -> Table:
    """An empty table: headings, each with options of `rich.table.Table.add_column` if it needs some.

    Where room is short, columns lose their ends, but those of FIXED keep their width and those of FOLDED
    go on in the next line.
    """
    from rich.table import Table

    made = Table(box=None, pad_edge=False)
    for column in columns:
        heading, options = (column, {}) if isinstance(column, str) else column
        made.add_column(heading, **{"overflow": "ellipsis", **options})
    return made


def add_rows(made: Table, rows: Iterable[Iterable[str | Text]]) -> Table:
    """Fill a table; strings are text from rows, not markup."""
    from rich.text import Text

    for row in rows:
        cells = []
        for cell, column in zip(row, made.columns, strict=True):
            text = Text(clean(cell)) if isinstance(cell, str) else cell
            # Set on the text, not on the column: rich narrows columns that may wrap, and only those, first.
            text.no_wrap, text.overflow = column.overflow != "fold", column.overflow
            cells.append(text)
        made.add_row(*cells)
    return made


def status_text(status: str) -> Text:
    """A status with its symbol and colour."""
    from rich.text import Text

    symbol, style = LOOKS[status]
    return Text(f"{symbol} {status}", style=style)
