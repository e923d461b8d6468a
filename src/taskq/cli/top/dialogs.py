"""What stands before the screen for a moment: the question for a reason, the help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from taskq.cli.output import LOOKS
from taskq.cli.text import clean, cut
from taskq.cli.top.acts import Act
from taskq.cli.top.look import Row
from taskq.cli.top.panes import short_of

NAMED = 5
"""Of what falls too, so many are named."""

HELP = """\
1 2 3 4 5   one pane alone: roles, running, waiting, failed, workers
0 Esc       all panes; once more: no filter
Tab         the next pane
↑ ↓         through the rows of a pane
Enter       all about a task; of a role, only its tasks
/           only what has a text in its role, name, id or worker
c           cancel a task: says what falls with it, wants a reason
r           retry what failed, or run now what waits for its time
a           approve what awaits it
x           reject it: it is cancelled, with what depends on it
q Ctrl-C    quit

Looks every second, with one statement; less often where that takes long."""


class Ask(ModalScreen[str | None]):
    """Asks why something is done to a task, and tells what follows; gives the reason, or None to let it be.

    :param falls: what falls with the task.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss(None)", "Let it be")]

    def __init__(self, act: Act, task: Row, falls: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self.act, self.row, self.falls = act, task, falls

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(Text(f"{self.act.verb.capitalize()} {titled(self.row)}?", "bold"), id="question")
            if self.act.takes:
                yield Static(fallen(self.falls), id="falls")
            yield Input(placeholder="Why?" if self.act.takes else "Why? (may be left empty)", id="reason")
            yield Static(Text(f"Enter: {self.act.verb}   Esc: let it be", "dim"), id="hint")

    @on(Input.Submitted)
    def decide(self, event: Input.Submitted) -> None:
        """Give the reason; what takes others with it needs one."""
        reason = event.value.strip()
        if self.act.takes and not reason:
            self.query_one("#hint", Static).update(Text("It needs a reason, for the record.", "bold red"))
            return
        self.dismiss(reason)


class Help(ModalScreen[None]):
    """The keys."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,question_mark,enter", "dismiss", "Back")]

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="dialog"):
            yield Static(Text(HELP))


def titled(task: Row) -> str:
    """A task in a sentence."""
    name = f" “{cut(clean(task['name']), 60)}”" if task["name"] else ""
    return f"{clean(task['role'])}{name} {short_of(task)}"


def fallen(tasks: Sequence[Mapping[str, Any]]) -> Text:
    """How many fall with a task, and which."""
    if not tasks:
        return Text("Nothing else falls with it.")
    text = Text(f"{len(tasks)} other task{'' if len(tasks) == 1 else 's'} would fall with it:")
    for task in tasks[:NAMED]:
        symbol, style = LOOKS[task["status"]]
        text.append(f"\n  {symbol} ", style).append(titled(task))
    if len(tasks) > NAMED:
        text.append(f"\n  and {len(tasks) - NAMED} more", "dim")
    return text
