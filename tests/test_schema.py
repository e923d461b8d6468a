"""The schema is the sum of its migrations; everything in it says what it is; it comes and goes cleanly."""

from __future__ import annotations

import asyncio
import shutil
import sys

import asyncpg
import pytest

from fake_worker import FakeWorker
from graphs import ROLE, insert
from sql_files import install
from taskq import schema
from taskq.errors import DatabaseError, NotMigrated

CATALOGUES = {
    "columns": """
        select table_name, column_name, ordinal_position, column_default, is_nullable, udt_schema, udt_name,
               identity_generation
        from information_schema.columns where table_schema = 'taskq'""",
    "constraints": """
        select conrelid::regclass::text, contypid::regtype::text, conname, pg_get_constraintdef(oid)
        from pg_constraint where connamespace = 'taskq'::regnamespace and contype <> 'n'""",
    "indexes": "select tablename, indexname, indexdef from pg_indexes where schemaname = 'taskq'",
    "functions": """
        select oid::regprocedure::text, pg_get_functiondef(oid), obj_description(oid, 'pg_proc'),
               array_to_string(proacl, ' ')
        from pg_proc where pronamespace = 'taskq'::regnamespace""",
    "views": "select viewname, definition from pg_views where schemaname = 'taskq'",
    "triggers": """
        select c.relname, pg_get_triggerdef(t.oid) from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where not t.tgisinternal and c.relnamespace = 'taskq'::regnamespace""",
    "types": """
        select t.typname, t.typtype, obj_description(t.oid, 'pg_type'),
               (select array_agg(enumlabel order by enumsortorder) from pg_enum where enumtypid = t.oid)
        from pg_type t where t.typnamespace = 'taskq'::regnamespace and t.typtype in ('e', 'd')""",
    "relations": """
        select relname, relkind, reloptions, obj_description(oid, 'pg_class'), array_to_string(relacl, ' ')
        from pg_class where relnamespace = 'taskq'::regnamespace and relkind in ('r', 'v', 'S', 'i')""",
    "comments on columns": """
        select c.relname, a.attname, col_description(c.oid, a.attnum), array_to_string(a.attacl, ' ')
        from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = 'taskq'::regnamespace and c.relkind in ('r', 'v')
          and a.attnum > 0 and not a.attisdropped""",
    "arrows": 'select verb, "from"::text, "to"::text from taskq.arrows',
    "revision": "select version_num from taskq.alembic_version",
    "schema": "select obj_description('taskq'::regnamespace, 'pg_namespace')",
}


async def picture(session: asyncpg.Connection) -> dict[str, list[tuple[object, ...]]]:
    """All that the catalogues say of the schema."""
    return {
        name: sorted((tuple(row) for row in await session.fetch(query)), key=repr)
        for name, query in CATALOGUES.items()
    }


@pytest.fixture
async def empty(databases):
    """The address of a database without the schema."""
    async with databases.database() as dsn:
        yield dsn


@pytest.fixture
async def fresh(empty):
    """A session on that database."""
    session = await asyncpg.connect(empty, server_settings={"search_path": "public"})
    yield session
    await session.close()


async def has_schema(session: asyncpg.Connection) -> bool:
    return await session.fetchval("select to_regnamespace('taskq') is not null")


# migrations and install.sql


async def test_all_migrations_make_what_install_sql_makes(db, fresh):
    await install(fresh)
    migrated, installed = await picture(db), await picture(fresh)
    for name in CATALOGUES:
        assert migrated[name] == installed[name], name
        assert migrated[name], f"no {name} at all: the query is wrong"


async def test_install_sql_runs_in_psql(empty, fresh, db):
    psql = shutil.which("psql")
    if psql is None:
        from taskq.embedded import binaries

        psql = str(next(binaries.directories()) / "psql")
    file = schema.directory("sql") / "install.sql"
    process = await asyncio.create_subprocess_exec(
        psql,
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-1",
        "-f",
        str(file),
        empty,
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    assert await picture(fresh) == await picture(db)


async def test_migrate_goes_on_from_what_install_sql_made(empty, fresh, db):
    await install(fresh)
    await schema.check(empty)
    await schema.migrate(empty)
    assert (await schema.examine(empty)).is_current
    assert await picture(fresh) == await picture(db)


async def test_up_down_and_up_again_end_where_they_should(empty, fresh, db):
    assert await schema.migrate(empty) == schema.newest_revision()
    assert await schema.downgrade(empty) == "0002"
    assert await schema.downgrade(empty) == "0001"
    assert await schema.downgrade(empty) is None
    assert not await has_schema(fresh)
    await schema.migrate(empty)
    assert await picture(fresh) == await picture(db)


async def test_a_second_migration_changes_nothing_and_keeps_the_rows(dsn, db):
    task = await insert(db)
    oids = "select array_agg(oid order by oid) from pg_proc where pronamespace = 'taskq'::regnamespace"
    before = await db.fetchval(oids)
    await schema.migrate(dsn)
    assert await db.fetchval(oids) == before
    assert await db.fetchval("select id from taskq.tasks") == task


async def test_several_processes_may_migrate_at_once(empty, fresh, db):
    script = f"import asyncio; from taskq import schema; print(asyncio.run(schema.migrate({empty!r})))"
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    for process in processes:
        out, error = await process.communicate()
        assert (process.returncode, out.decode().strip()) == (0, schema.newest_revision()), error.decode()
    assert await picture(fresh) == await picture(db)


async def test_logic_of_another_version_is_laid_again(dsn, db):
    expected = await picture(db)
    await db.execute("update taskq.laid set digest = 'of another version'")
    await db.execute(
        "create or replace function taskq.bell_class() returns integer language sql as 'select 1'"
    )
    await db.execute("create function taskq.left_over() returns integer language sql as 'select 1'")
    await db.execute("drop view taskq.stale")
    standing = await schema.examine(dsn)
    assert not standing.is_current
    assert "taskq migrate" in str(standing)
    await schema.migrate(dsn)
    assert (await schema.examine(dsn)).is_current
    assert await picture(db) == expected
    assert await db.fetchval("select count(*) from taskq.laid") == 1


async def test_logic_is_laid_again_under_running_workers(dsn, db, connect):
    """Their prepared statements find the new functions."""
    worker = await FakeWorker(await connect(), ROLE).register()
    await insert(db)
    claim = await worker.claim_one()
    await db.execute("update taskq.laid set digest = 'of another version'")
    await schema.migrate(dsn)
    assert await worker.complete(claim) == []
    await insert(db)
    await worker.claim_one()


async def test_a_migration_that_fails_changes_nothing(empty, fresh):
    await fresh.execute("create schema taskq")
    await fresh.execute("create table taskq.tasks (mine text)")
    with pytest.raises(DatabaseError):
        await schema.migrate(empty)
    names = await fresh.fetch(
        "select relname from pg_class where relnamespace = 'taskq'::regnamespace and relkind = 'r'"
    )
    assert [name["relname"] for name in names] == ["tasks"]


async def test_check_says_what_is_missing_and_what_to_do(empty, dsn, db):
    with pytest.raises(NotMigrated, match="the schema is missing; run: taskq migrate"):
        await schema.check(empty)
    await schema.check(dsn)
    await db.execute("update taskq.alembic_version set version_num = '0000'")
    with pytest.raises(NotMigrated, match=r"revision 0000.*run: taskq migrate"):
        await schema.check(dsn)


# comments


async def test_everything_says_what_it_is(db):
    silent = await db.fetch("""
        select 'relation ' || relname from pg_class
        where relnamespace = 'taskq'::regnamespace and relkind in ('r', 'v', 'S')
          and obj_description(oid, 'pg_class') is null and relname <> 'alembic_version'
          and not exists (select from pg_depend d   -- the sequence of an identity column
                          where d.objid = pg_class.oid and d.deptype = 'i')
        union all
        select 'column ' || c.relname || '.' || a.attname
        from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = 'taskq'::regnamespace and c.relkind in ('r', 'v')
          and a.attnum > 0 and not a.attisdropped and c.relname <> 'alembic_version'
          and col_description(c.oid, a.attnum) is null
        union all
        select 'function ' || oid::regprocedure from pg_proc
        where pronamespace = 'taskq'::regnamespace and obj_description(oid, 'pg_proc') is null
        union all
        select 'type ' || typname from pg_type
        where typnamespace = 'taskq'::regnamespace and typtype in ('e', 'd')
          and obj_description(oid, 'pg_type') is null
        union all
        select 'schema' where obj_description('taskq'::regnamespace, 'pg_namespace') is null
    """)
    assert [row[0] for row in silent] == []


async def test_foreign_keys_are_indexed(db):
    bare = await db.fetch("""
        select conrelid::regclass::text, conname from pg_constraint c
        where connamespace = 'taskq'::regnamespace and contype = 'f' and not exists (
          select from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1])
    """)
    assert [tuple(row) for row in bare] == []


async def test_every_version_7_id_is_one(db):
    """Whether the server has them built in, or an older one is given them."""
    ids = [row[0] for row in await db.fetch("select taskq.uuid7() from generate_series(1, 1000)")]
    assert len(set(ids)) == 1000
    assert {(task.version, task.variant) for task in ids} == {(7, "specified in RFC 4122")}
