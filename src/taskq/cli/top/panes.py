"""What of a look is shown where: one table each for roles, running tasks, waiting ones, failures, workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from taskq.cli.output import FIXED, LOOKS, add_rows, table
from taskq.cli.text import clean, cut, length
from taskq.cli.top.look import MOST, Look, Row

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

RIGHT: Final = {**FIXED, "justify": "right"}
Cells = Sequence["str | Text"]


@dataclass(frozen=True)
class Pane:
    """One of the tables.

    :param name: the list of `Look` that it shows; also its title.
    :param columns: headings behind the first, which is the title.
    :param cells: a row of the list as a row of the table.
    :param key: the column of a row that no other row has.
    :param nothing: what to say when the list is empty.
    """

    name: str
    columns: Sequence[Any]
    cells: Callable[[Row], Cells]
    key: str
    nothing: str

    @property
    def of_tasks(self) -> bool:
        """Whether its rows are tasks."""
        return self.name in ("running", "waiting", "failed")

    def rows(self, look: Look) -> list[Row]:
        """The rows of a look that it shows."""
        rows: list[Row] = getattr(look, self.name)
        return rows

    def table(self, look: Look) -> Table:
        """Its table; where nothing is in it, a heading that says so."""
        rows = self.rows(look)
        count = f"{len(rows)}{'+' if len(rows) == MOST and self.name != 'roles' else ''}"
        if not rows:
            return table(f"{self.name.upper()} 0", self.nothing)
        return add_rows(table((f"{self.name.upper()} {count}", FIXED), *self.columns), map(self.cells, rows))


def role_cells(row: Row) -> Cells:
    """A role; like `taskq roles`."""
    numbers = ("ready", "later", "running", "blocked", "approval", "failed", "slots")
    nobody = "nobody plays it" if row["ready"] + row["later"] else ""
    players = "paused" if row["paused"] else ", ".join(row["workers"]) or nobody
    return [row["role"], *(figure(name, row[name]) for name in numbers), players]


def figure(name: str, number: int) -> Text:
    """A number in the colour of its status; zero recedes."""
    from rich.text import Text

    return Text(str(number), style=STYLES.get(name, "") if number else "dim")


def running_cells(row: Row) -> Cells:
    """A running task, and how far it is."""
    from rich.text import Text

    asked = "asked to stop; " if row["cancel_requested_at"] else ""
    return [
        marked("in_progress", short_of(row)),
        row["role"],
        length(seconds(row["for"]), brief=True),
        Text(bar(row["progress"]), "blue"),
        asked + about(row, row["progress_note"]),
    ]


def bar(progress: float | None) -> str:
    """How far something is, as a bar; as in the tree of a mission."""
    return "" if progress is None else f"{'━' * round(progress * 10):┄<10} {progress:.0%}"


def waiting_cells(row: Row) -> Cells:
    """A waiting task, and why it waits."""
    return [
        marked(row["status"], short_of(row)),
        row["role"],
        length(seconds(row["for"]), brief=True),
        about(row, row["why"]),
    ]


def failed_cells(row: Row) -> Cells:
    """A failed task, and its error."""
    return [
        marked("failed", short_of(row)),
        row["role"],
        length(seconds(row["ago"]), brief=True),
        f"{row['attempt']}/{row['max_attempts']}",
        about(row, f"{row['error_kind']}: {row['error'] or ''}"),
    ]


def worker_cells(row: Row) -> Cells:
    """A worker, how busy it is, and what is wrong with it."""
    from rich.text import Text

    trouble = row["trouble"] or ("draining" if row["draining"] else "")
    return [
        row["name"],
        f"{row['running']}/{row['slots']}",
        length(seconds(row["since_heartbeat"]), brief=True),
        Text(clean(trouble), "bold red" if row["trouble"] else "yellow"),
        ", ".join(row["roles"]),
    ]


def about(row: Row, what: str | None) -> str:
    """The name of a task, and what else there is to say."""
    return ": ".join(part for part in (row["name"], cut(clean(what), 300)) if part)


def marked(status: str, text: str) -> Text:
    """Text behind the symbol of a status, in its colour."""
    from rich.text import Text

    symbol, style = LOOKS[status]
    return Text(f"{symbol} {text}", style=style)


def short_of(row: Row) -> str:
    """The end of a task's id; commands understand it."""
    return str(row["id"]).replace("-", "")[-12:]


def seconds(number: float | None) -> timedelta | None:
    """A length of time from its JSON."""
    return None if number is None else timedelta(seconds=float(number))


COUNTED: Final = (
    ("in_progress", "running"),
    ("queued", "ready"),
    ("queued", "later"),
    ("blocked", "blocked"),
    ("awaiting_approval", "approval"),
    ("failed", "failed"),
)
"""Statuses, and the totals of those that are in them."""

STYLES: Final = {name: LOOKS[status][1] for status, name in COUNTED}

NUMBERS = ("READY", "LATER", "RUNNING", "BLOCKED", "APPROVAL", "FAILED", "SLOTS")
PANES: Final = (
    Pane("roles", [*((n, RIGHT) for n in NUMBERS), "WORKERS"], role_cells, "role", "nobody, nothing"),
    Pane("running", ["ROLE", ("FOR", FIXED), ("DONE", FIXED), "DOES"], running_cells, "id", "nothing runs"),
    Pane("waiting", ["ROLE", ("FOR", FIXED), "WHY"], waiting_cells, "id", "nothing waits"),
    Pane("failed", ["ROLE", ("AGO", FIXED), ("TRY", FIXED), "ERROR"], failed_cells, "id", "nothing failed"),
    Pane(
        "workers",
        [("BUSY", FIXED), ("BEAT", FIXED), "TROUBLE", "ROLES"],
        worker_cells,
        "id",
        "none lives",
    ),
)


def headline(look: Look, wanted: str = "") -> Text:
    """How much of what, of which database; first of all what the panes are filtered by."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ellipsis")
    if wanted:
        text.append(f"/{clean(wanted)}", "reverse").append("  ")
    for status, name in COUNTED:
        symbol, style = LOOKS[status]
        number = look.totals[name]
        text.append(f"{symbol} {number} {name}", style if number else "dim").append("  ")
    return text.append(clean(look.database), "bold")


def clock(look: Look) -> str:
    """When it was, here."""
    return datetime.fromisoformat(look.at).astimezone().strftime("%H:%M:%S")
