"""The world outside: what the tools do to it, and what is found of it afterwards."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import asyncpg

from bench.chaos.strikes import Strikes
from taskq.tool import Tool, ToolCall, from_function

SQL = """
create schema chaos;
create table chaos.booked (task text not null, key text not null);
create table chaos.said (
  task uuid not null, seq integer not null, role text not null, body text not null, primary key (task, seq)
);
"""
BOOK = "insert into chaos.booked (task, key) values ($1, $2)"


def tools(world: Path, strikes: Strikes) -> dict[str, Tool]:
    """One tool for each effect, in a directory of the run's own; `key` is the call's idempotency key."""

    def id_of(call: ToolCall) -> str:
        return call.key.rpartition(":")[2]

    async def look(call: ToolCall, what: str) -> str:
        """Look."""
        strikes.pass_by("effect look", "before", id_of(call))
        strikes.pass_by("effect look", "after", id_of(call))
        return f"{what}: seen"

    async def keep(call: ToolCall, what: str) -> str:
        """Keep it in a file that is named by the key."""
        strikes.pass_by("effect keep", "before", id_of(call))
        (world / f"kept {call.key}").write_text(what, encoding="utf-8")
        strikes.pass_by("effect keep", "after", id_of(call))
        return f"{what}: kept"

    async def book(call: ToolCall, what: str) -> str:
        """Insert a row on our own connection."""
        assert call.connection is not None
        strikes.pass_by("effect book", "before", id_of(call))
        await call.connection.execute(BOOK, call.task.name, call.key)
        strikes.pass_by("effect book", "after", id_of(call))
        return f"{what}: booked"

    async def post(call: ToolCall, what: str) -> str:
        """Add a line to a file; nobody can ask whether it is there."""
        strikes.pass_by("effect post", "before", id_of(call))
        add_line(world / "posted", call.key)
        strikes.pass_by("effect post", "after", id_of(call))
        return f"{what}: posted"

    async def send(call: ToolCall, what: str) -> str:
        """Add a line to a file that can be looked into."""
        strikes.pass_by("effect send", "before", id_of(call))
        add_line(world / "sent", call.key)
        strikes.pass_by("effect send", "after", id_of(call))
        return f"{what}: sent"

    async def was_sent(call: ToolCall, given: dict[str, str]) -> str | None:
        strikes.pass_by("verify send", "before", id_of(call))
        return f"{given['what']}: sent" if call.key in lines(world / "sent") else None

    made = [
        from_function(look, effect="read"),
        from_function(keep, effect="idempotent"),
        from_function(book, effect="transactional"),
        from_function(post, effect="unsafe"),
        from_function(send, effect="unsafe", verify=was_sent),
    ]
    return {tool.name: tool for tool in made}


def add_line(path: Path, line: str) -> None:
    """In one write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def kept(world: Path) -> list[str]:
    return [path.name for path in world.glob("kept *")]


async def effects(session: asyncpg.Connection, world: Path, name: str) -> dict[str, Counter[str]]:
    """How often each call had its effect, by tool and the call's id."""
    booked = [row["key"] for row in await session.fetch("select key from chaos.booked where task = $1", name)]
    keys = {
        "keep": kept(world),
        "book": booked,
        "post": lines(world / "posted"),
        "send": lines(world / "sent"),
    }
    return {tool: Counter(key.rpartition(":")[2] for key in found) for tool, found in keys.items()}
