"""Tables as lines of text that a screen can scroll; and how a screen's lines are shared out."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


def lines(table: Table, width: int) -> list[Text]:
    """A table as lines of this width: its heading, then its rows."""
    console = Console(file=io.StringIO(), width=max(width, 1), color_system="truecolor", force_terminal=True)
    rendered = console.render_lines(table, console.options.update(width=max(width, 1)), pad=True)
    return [
        Text.assemble(*((segment.text, segment.style or "") for segment in line), no_wrap=True, end="")
        for line in rendered
    ]


def share(room: int, wanted: Sequence[int]) -> list[int]:
    """How many lines each table gets of those that there are: none more than it wants, else all alike."""
    given = [0] * len(wanted)
    while room > 0 and given != list(wanted):
        for place, want in enumerate(wanted):
            if given[place] < want and room > 0:
                given[place] += 1
                room -= 1
    return given
