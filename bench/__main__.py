"""`python -m bench [NAME ...]`: run measurements, print a table, and say which targets are met."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
from collections.abc import Awaitable, Callable

import click
import uvloop
from rich.console import Console

from bench.agents import agents
from bench.backlog import backlog
from bench.chaos import chaos
from bench.crash import crash
from bench.drain import drain
from bench.enqueue import enqueue
from bench.graph import graph
from bench.harness import Figure, Run
from bench.held import held
from bench.idle import idle
from bench.report import Bar, table
from bench.server import find
from bench.storm import storm
from bench.wake import wake
from bench.web import web

BENCHES: dict[str, Callable[[Run], Awaitable[list[Figure]]]] = {
    bench.__name__: bench
    for bench in (drain, held, backlog, storm, wake, graph, idle, crash, enqueue, agents, chaos, web)
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHES)), metavar="[NAME ...]")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON, the progress elsewhere.")
@click.option("--rounds", type=click.IntRange(1), help="How often each thing is measured.")
@click.option("--quick", is_flag=True, help="Tiny numbers, only to see that it works.")
@click.option("--no-peers", is_flag=True, help="Leave the other queues out.")
def main(names: tuple[str, ...], as_json: bool, rounds: int | None, quick: bool, no_peers: bool) -> None:
    """Measure NAME ..., or everything, side by side on one server.

    The server is that of BENCH_DATABASE_URL, else the embedded one.
    Exits with 1 when a target is missed.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(measure(names or tuple(BENCHES), as_json, rounds, quick, not no_peers))
    sys.exit(not quick and any(figure.verdict not in ("", "met") for figure in figures))


async def measure(
    names: tuple[str, ...], as_json: bool, rounds: int | None, quick: bool, peers: bool
) -> list[Figure]:
    """Run these benches and report."""
    figures: list[Figure] = []
    async with find() as server:
        machine = {"cpus": os.cpu_count(), "python": platform.python_version(), **await server.particulars()}
        with Bar(Console(stderr=True)) as bar:
            run = Run(server, bar, rounds=rounds, quick=quick, peers=peers)
            for name in names:
                bar.begin(name)
                figures += await BENCHES[name](run)
    if as_json:
        print(json.dumps({"machine": machine, "notes": run.notes, "figures": [f.as_json() for f in figures]}))
    else:
        console = Console(width=None if sys.stdout.isatty() else 120)
        console.print(table(figures))
        console.print(", ".join(f"{key} {value}" for key, value in machine.items()), style="dim")
        for note in run.notes:
            console.print(note, style="yellow")
    return figures


if __name__ == "__main__":
    main()
