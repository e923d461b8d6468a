"""What the demo shows while it runs: steps of the set-up, and a line for everything that happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from taskq.cli.output import make_console
from taskq.cli.text import clean

if TYPE_CHECKING:
    from rich.console import Console


class Screen:
    """Prints for people: on stdout, or on stderr when stdout is for JSON."""

    def __init__(self, *, stderr: bool = False) -> None:
        self.console: Console = make_console(stderr=stderr)

    @contextmanager
    def step(self, doing: str) -> Iterator[list[str]]:
        """A step of the set-up: says what is being done, then what was done and how long it took.

        Yields a list for what was done.
        """
        began = time.monotonic()
        done: list[str] = []
        if self.console.is_terminal:
            with self.console.status(f"{doing} …"):
                yield done
        else:
            yield done
        self.mark(True, f"{' '.join(done) or doing}  ({time.monotonic() - began:.1f} s)")

    def mark(self, good: bool, text: str) -> None:
        """A line with a check mark, or with a cross."""
        from rich.text import Text

        sign = Text("✔ ", "green") if good else Text("✘ ", "bold red")
        self.console.print(sign + Text(clean(text)), soft_wrap=True)

    def say(self, text: str = "", style: str = "") -> None:
        """A line, or several; above the live tree while there is one."""
        from rich.text import Text

        self.console.print(Text(clean(text, lines=True), style), soft_wrap=True)

    def happens(self, text: str) -> None:
        """Something that the demo does to the mission."""
        self.say(f"▶ {text}", "bold yellow")
