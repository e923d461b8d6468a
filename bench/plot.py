"""Lines over time, as PNG files in bench/results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.server import RESULTS


def plot(name: str, lines: Mapping[str, Sequence[tuple[float, float]]], what: str) -> Path | None:
    """Draw (seconds, value) lines; returns the file, or None when matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot(title=name, xlabel="seconds", ylabel=what)
    for label, points in lines.items():
        axes.plot([x for x, _ in points], [y for _, y in points], label=label)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    path = RESULTS / f"{name}.png"
    figure.savefig(path, dpi=120)
    return path.relative_to(RESULTS.parent.parent)
