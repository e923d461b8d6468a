"""The screen of `taskq top`: five panes, looked at every second, and keys that act on tasks."""

from __future__ import annotations

import asyncio
import time
from typing import Any, ClassVar, Final
from uuid import UUID

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.notifications import SeverityLevel
from textual.widgets import Footer, Input, OptionList, Static

from taskq.cli.errors import one_line
from taskq.cli.session import Session
from taskq.cli.show import details
from taskq.cli.top.acts import ACTS
from taskq.cli.top.dialogs import Ask, Help, titled
from taskq.cli.top.grid import share
from taskq.cli.top.look import Look, Row, look
from taskq.cli.top.pane import PaneView
from taskq.cli.top.panes import PANES, clock, headline
from taskq.cli.top.task import Details
from taskq.errors import DatabaseError, NoSuchTask

PAUSE: Final = 1.0
"""Seconds between two looks."""
SHARE: Final = 5
"""Where a look takes long, the pause is so many times as long."""
PATIENCE: Final = 10.0
"""Seconds after which a database that does not answer is away."""


class Top(App[Exception | None]):
    """The overview.

    :param session: the queue to act on, and the reader.
    :param actor: who acts.

    Ends with the error that it could not live with, or None.
    """

    CSS_PATH = "top.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(act.key, f"act('{act.verb}')", act.verb.capitalize()) for act in ACTS.values()),
        Binding("slash", "find", "Find"),
        Binding("question_mark", "help", "Help"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
        Binding("0,escape", "all", "All", show=False),
        *(Binding(str(n), f"alone('{pane.name}')", show=False) for n, pane in enumerate(PANES, 1)),
    ]

    def __init__(self, session: Session, actor: str) -> None:
        super().__init__()
        self.work_on, self.actor = session, actor
        self.seen: Look | None = None
        self.wanted = ""
        self.again = asyncio.Event()
        self.head = Static(id="head")
        self.views = [PaneView(pane) for pane in PANES]
        self.line = Input(id="find", placeholder="part of a role, name, id or worker")

    def compose(self) -> ComposeResult:
        yield Static(id="away")
        yield self.head
        yield from self.views
        yield self.line
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Look, from now on."""
        self.theme = "ansi-dark"
        self.line.display = False
        self.away(None)
        self.views[1].rows.focus()
        self.run_worker(self.keep_looking(), exit_on_error=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What is about panes is for the overview alone."""
        return action not in ("find", "alone", "all") or len(self.screen_stack) == 1

    async def keep_looking(self) -> None:
        """Look every second, and at once when something was done; an error of ours ends it all."""
        while True:
            began = time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.look_once()
                self.away(None)
            except (DatabaseError, TimeoutError) as error:
                self.away(one_line(error) if isinstance(error, DatabaseError) else "it does not answer")
            except Exception as error:
                self.exit(error)
                return
            self.again.clear()
            try:
                async with asyncio.timeout(max(PAUSE, SHARE * (time.monotonic() - began))):
                    await self.again.wait()
            except TimeoutError:
                continue

    async def look_once(self) -> None:
        """Bring what is shown up to date: one task, or the overview."""
        screen = next((screen for screen in self.screen_stack if isinstance(screen, Details)), None)
        if screen is None:
            self.seen = await look(self.work_on.reader, self.wanted)
            self.draw()
            return
        try:
            task = await details(self.work_on, UUID(str(screen.row["id"])))
        except NoSuchTask as error:
            self.tell(one_line(error), "warning")
            await screen.dismiss()
            return
        if screen.is_current:
            screen.put(task)

    def draw(self) -> None:
        """Show the last look."""
        if self.seen is None:
            return
        self.head.update(headline(self.seen, self.wanted), layout=False)
        for view in self.views:
            view.put(self.seen, self.size.width)
        self.arrange()

    def arrange(self) -> None:
        """Give each pane the lines that it needs, as far as there are any."""
        shown = [view for view in self.views if view.display]
        others = 2 + bool(self.line.display) + self.screen_stack[0].has_class("away")
        given = share(self.size.height - others, [view.wanted for view in shown])
        for view, height in zip(shown, given, strict=True):
            view.styles.height = height

    def away(self, error: str | None) -> None:
        """Say that the database does not answer, or nothing when it does."""
        since = f"; this is from {clock(self.seen)}" if self.seen else ""
        text = "" if error is None else f"The database is away{since}. Trying again: {error}"
        for screen in self.screen_stack:
            for banner in screen.query("#away").results(Static):
                banner.update(Text(text, no_wrap=True, overflow="ellipsis"))
                banner.display = error is not None
            screen.set_class(error is not None, "away")
        self.arrange()

    @on(Resize)
    def fit(self) -> None:
        """The terminal has another size."""
        self.draw()

    def pane(self) -> PaneView | None:
        """The pane that the keys are meant for."""
        focused = self.focused
        return focused.parent if focused is not None and isinstance(focused.parent, PaneView) else None

    def chosen(self) -> Row | None:
        """The task that the keys are meant for."""
        place: Any = self.screen if isinstance(self.screen, Details) else self.pane()
        return None if place is None else next(iter(place.tasks()), None)

    def tell(self, text: str, severity: SeverityLevel = "information") -> None:
        """Answer a key; older answers go, for a third would not be seen before the first went by itself."""
        self.clear_notifications()
        self.notify(text, severity=severity, markup=False)

    async def action_act(self, verb: str) -> None:
        """Ask for a reason, then do it."""
        act, task = ACTS[verb], self.chosen()
        if task is None:
            self.tell(f"To {verb}, choose a task: running, waiting or failed.", "warning")
            return
        id = UUID(str(task["id"]))
        try:
            falls = await self.work_on.reader.fetch("doomed", id) if act.takes else ()
        except DatabaseError as error:
            self.tell(one_line(error), "error")
            return

        async def do(reason: str | None) -> None:
            if reason is None:
                return
            try:
                status = await act.do(self.work_on.queue, id, reason or None, self.actor)
            except DatabaseError as error:
                self.tell(one_line(error), "error")
            else:
                said = "asked to stop" if act.takes and status == "in_progress" else status
                self.tell(f"{titled(task)}: {said}")
            self.again.set()

        await self.push_screen(Ask(act, task, falls), do)

    @on(OptionList.OptionSelected)
    async def open(self) -> None:
        """All about a task; of a role, its tasks."""
        pane, task = self.pane(), self.chosen()
        if task is not None:
            await self.push_screen(Details(task))
            self.again.set()
        elif pane is not None and pane.pane.name == "roles" and pane.chosen is not None:
            self.find(str(pane.chosen["role"]))

    def action_alone(self, name: str) -> None:
        """One pane alone."""
        for view in self.views:
            view.display = view.pane.name == name
            if view.display:
                view.rows.focus()
        self.arrange()

    def action_all(self) -> None:
        """All panes; where they are all there, and where one was typed, no filter either."""
        typing = self.line.display
        if typing or all(view.display for view in self.views):
            self.find("")
        if typing:
            self.show_find(False)
        for view in self.views:
            view.display = True
        self.arrange()

    def action_find(self) -> None:
        """Ask what to look for."""
        self.line.value = self.wanted
        self.show_find(True)

    def show_find(self, shown: bool) -> None:
        """Show the line for the filter, or hide it again."""
        self.line.display = shown
        (self.line if shown else next(view for view in self.views if view.display).rows).focus()
        self.arrange()

    @on(Input.Changed, "#find")
    def find_as_typed(self, event: Input.Changed) -> None:
        """Look for what is being typed."""
        self.find(event.value)

    @on(Input.Submitted, "#find")
    def found(self) -> None:
        """Keep the filter, and walk through what it left."""
        self.show_find(False)

    def find(self, wanted: str) -> None:
        """Look only for what has this in it."""
        if wanted != self.wanted:
            self.wanted = wanted
            self.again.set()

    async def action_help(self) -> None:
        """The keys."""
        await self.push_screen(Help())
