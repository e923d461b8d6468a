"""What people see: a bar while it measures, a table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.harness import Figure


class Bar:
    """One line of progress a bench."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.fields[bench]:9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, TextColumn("{task.description}"), console=console)
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._end()
        self._progress.stop()

    def begin(self, bench: str) -> None:
        """The next bench starts."""
        self._end()
        self._task = self._progress.add_task("", total=None, bench=bench, completed=-1)

    def step(self, text: str, of: int) -> None:
        """It measures this now, one of so many measurements."""
        assert self._task is not None
        self._progress.update(self._task, advance=1, total=of, description=text)

    def _end(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, advance=1, description="done")


def table(figures: Sequence[Figure]) -> Table:
    """The figures with their spread, targets and verdicts."""
    found = Table(title="medians of interleaved rounds", title_justify="left")
    for heading, justify in (("bench", "left"), ("what", "left"), ("median", "right"), ("rounds", "right")):
        found.add_column(heading, justify=justify)  # type: ignore[arg-type]
    found.add_column("target")
    found.add_column("verdict")
    last = ""
    for figure in figures:
        if last not in ("", figure.bench):
            found.add_section()
        found.add_row(
            figure.bench if figure.bench != last else "",
            figure.what,
            f"{number(figure.value)} {figure.unit}",
            f"{number(min(figure.values))} – {number(max(figure.values))}" if len(figure.values) > 1 else "",
            str(figure.target or ""),
            figure.verdict,
            style="red" if figure.verdict.startswith("not") else None,
        )
        last = figure.bench
    return found


def number(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
