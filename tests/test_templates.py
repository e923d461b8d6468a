"""Saved missions."""

from __future__ import annotations

import asyncpg
import pytest


async def test_a_template_is_saved_replaced_and_dropped(db):
    save = "select taskq.save_template($1, $2, $3)"
    await db.execute(save, "nightly", {"role": "ADA"}, "ada")
    await db.execute(save, "nightly", {"role": "BOB"}, "bob")
    (row,) = await db.fetch("select name, task, created_by from taskq.templates")
    assert tuple(row) == ("nightly", {"role": "BOB"}, "bob")
    assert await db.fetchval("select taskq.drop_template('nightly')") is True
    assert await db.fetchval("select taskq.drop_template('nightly')") is False


@pytest.mark.parametrize("name,task", [("", {}), ("x" * 201, {}), ("list", []), ("text", "x")])
async def test_what_is_no_template_is_refused(db, name, task):
    with pytest.raises(asyncpg.PostgresError, match="a template") as refusal:
        await db.execute("select taskq.save_template($1, $2)", name, task)
    assert refusal.value.sqlstate == "TQ001"
