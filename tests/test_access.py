"""The group roles can do what they should, and nothing more; the schema needs no superuser."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager

import asyncpg
import pytest

from fake_worker import FakeWorker
from graphs import ROLE, ids, insert, insert_graph, status
from sql_files import install
from taskq import schema

DENIED = asyncpg.InsufficientPrivilegeError


@pytest.fixture
async def as_group(connect):
    """Opens a session that acts as one of the group roles."""

    async def open_session(group):
        session = await connect()
        await session.execute(f"set session authorization {group}")
        return session

    return open_session


@pytest.fixture
async def reader(as_group):
    return await as_group("taskq_reader")


@pytest.fixture
async def client(as_group):
    return await as_group("taskq_client")


@pytest.fixture
async def operator(as_group):
    return await as_group("taskq_operator")


# reader


async def test_a_reader_sees_every_table_and_view(db, reader):
    task = await insert(db)
    relations = await db.fetch(
        "select relname, relkind = 'v' as is_view from pg_class "
        "where relnamespace = 'taskq'::regnamespace and relkind in ('r', 'v')"
    )
    assert len(relations) > 15
    for relation in relations:
        if relation["relname"] not in ("tokens", "sessions"):
            await reader.fetch(f"select * from taskq.{relation['relname']}")  # noqa: S608
    assert "no live worker" in await reader.fetchval("select taskq.explain($1)", task)


async def test_a_reader_sees_who_has_a_token_but_nothing_that_opens_a_door(reader):
    await reader.fetch(
        "select id, name, scopes, created_by, created_at, expires_at, last_used_at, revoked_at, revoked_by "
        "from taskq.tokens"
    )
    for relation in ("select digest from taskq.tokens", "select * from taskq.sessions"):
        with pytest.raises(DENIED):
            await reader.fetch(relation)
    with pytest.raises(DENIED):
        await reader.fetch("select * from taskq.credentials()")


async def test_the_views_that_explain_work_for_a_reader_with_rows_in_them(db, reader):
    parent = await insert(db, run_at=await db.fetchval("select now() - interval '10 min'"))
    await insert(db, depends_on=[parent])
    assert len(await reader.fetch("select * from taskq.stale")) == 1
    assert len(await reader.fetch("select * from taskq.waiting")) == 1
    assert len(await reader.fetch("select * from taskq.timeline")) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "insert into taskq.tasks (role) values ('work')",
        'select taskq.enqueue(\'[{"role": "work"}]\')',
        "update taskq.tasks set priority = 1",
        "delete from taskq.tasks",
        "select taskq.cancel(gen_random_uuid())",
        "select taskq.tend()",
        "select nextval('taskq.lease_numbers')",
        "create table taskq.mine (x int)",
    ],
)
async def test_a_reader_changes_nothing(reader, statement):
    with pytest.raises(DENIED):
        await reader.execute(statement)


# client


async def test_a_client_inserts_graphs_with_dependencies_of_every_kind(db, client):
    parent = await insert(client, payload={"x": 1}, priority=3, dedup_key="k")
    one, two, three = ids(3)
    await insert_graph(client, [(three, [two, parent]), (two, [one]), (one, [])], policy="run")
    worker = await FakeWorker(db, ROLE).register()
    assert await worker.drain() == 4
    assert await status(client, await insert(client, depends_on=[parent])) == "queued"


async def test_a_client_inserts_behind_what_failed(db, client):
    parent = await insert(client)
    await db.execute("select taskq.cancel($1)", parent)
    assert await status(client, await insert(client, depends_on=[parent])) == "cancelled"


async def test_a_client_inserts_for_a_declared_role_and_wakes_its_sleeper(db, client):
    await db.execute("select taskq.declare_roles($1)", [{"name": ROLE, "max_attempts": 2}])
    worker = await FakeWorker(db, ROLE).register()
    assert await worker.sleep()
    await insert(client)
    assert (await worker.claim_one())["max_attempts"] == 2


async def test_a_client_enqueues_and_awaits(db, client):
    (task,) = await client.fetchval(
        "select taskq.enqueue($1)", [{"role": ROLE, "dedup_key": "k", "delay": "0 s"}]
    )
    assert await client.fetchval("select taskq.enqueue($1)", [{"role": ROLE, "dedup_key": "k"}]) == [task]
    assert await client.fetchval("select status::text from taskq.await($1)", task) == "queued"


async def test_a_client_checks_before_it_inserts(db, client):
    await db.execute("select taskq.pause_role($1, 'a bad deploy', 'ada')", ROLE)
    rows = await client.fetch("select status::text, note from taskq.check_tasks($1)", [{"role": ROLE}])
    assert [row["status"] for row in rows] == ["queued"]
    assert "paused by ada" in rows[0]["note"]
    assert await client.fetchval("select count(*) from taskq.tasks") == 0


async def test_a_client_is_told_what_was_wrong(client):
    with pytest.raises(asyncpg.PostgresError, match="which does not exist") as refusal:
        await insert(client, depends_on=ids(1))
    assert refusal.value.sqlstate == "TQ001"


async def test_what_a_client_inserts_is_signed_with_its_name(client):
    await insert(client)
    assert await client.fetchval("select created_by from taskq.tasks") == "taskq_client"


@pytest.mark.parametrize(
    "statement",
    [
        "update taskq.tasks set status = 'completed'",
        "update taskq.tasks set payload = '{}'",
        "delete from taskq.tasks",
        "truncate taskq.tasks cascade",
        "insert into taskq.tasks (role, status) values ('work', 'completed')",
        "insert into taskq.tasks (role, approved_at) values ('work', now())",
        "insert into taskq.tasks (role, awaited) values ('work', true)",
        "insert into taskq.tasks (role, rerun_of) values ('work', gen_random_uuid())",
        "insert into taskq.dependencies select id, id, 'run' from taskq.tasks",
        "insert into taskq.events (verb, actor) values ('approve', 'somebody else')",
        "select taskq.cancel(gen_random_uuid())",
        "select taskq.approve(gen_random_uuid())",
        "select taskq.complete(gen_random_uuid())",
        "select taskq.finish(t, 'failed', 'fail', 'unknown', '', '') from taskq.tasks t",
        "select taskq.fail(gen_random_uuid(), gen_random_uuid(), 1, 'unknown', '')",
        "select taskq.register(gen_random_uuid(), '', '{}', 1, '', '1 s', true)",
        "select taskq.subtract(array[]::uuid[], array[]::integer[])",
        "select taskq.ring(array['work'])",
        "select taskq.begin('cancel')",
        "select taskq.reap()",
        "select taskq.tend()",
        "select taskq.pause_role('work')",
        "select taskq.resume_role('work')",
        "select taskq.dispatch()",
        "select taskq.amend(gen_random_uuid(), '{}')",
        "select taskq.decline_call(gen_random_uuid())",
        "select taskq.amend_call(gen_random_uuid(), '{}')",
        "select taskq.create_token('mine', '{admin}', sha256('x'))",
        "select taskq.revoke_token('ci')",
        "select * from taskq.credentials()",
        "select taskq.save_template('mine', '{}')",
        "delete from taskq.role_pauses",
    ],
)
async def test_a_client_can_do_no_more_than_insert_and_look(db, client, statement):
    await insert(db)
    with pytest.raises(DENIED):
        await client.execute(statement)


# operator


async def test_an_operator_does_all_that_people_do(db, operator):
    worker = await FakeWorker(db, ROLE).register()

    async def do(function, task):
        return await operator.fetchval(f"select taskq.{function}($1)::text", task)

    task = await insert(operator, requires_approval=True)
    dependent = await insert(operator, "later", depends_on=[task])
    assert await do("reject", task) == "cancelled"
    assert await do("retry", task) == "awaiting_approval"
    assert await do("approve", task) == "queued"
    await worker.claim_one()
    assert await do("requeue", task) == "queued"
    assert await do("complete", task) == "completed"
    again = await do("rerun", task)
    assert again != str(task)
    assert await do("cancel", dependent) == "cancelled"
    assert await operator.fetchval("select taskq.tend()") == {"reaped": 0}
    later = await insert(operator)
    assert await operator.fetchval("select taskq.amend($1, '{}')::text", later) == "queued"
    assert await operator.fetchval("select taskq.pause_role($1)", ROLE)
    assert len(await operator.fetch("select * from taskq.dispatch()")) > 0
    assert await operator.fetchval("select taskq.resume_role($1)", ROLE)
    actors = await db.fetch("select distinct actor from taskq.events")
    assert [actor["actor"] for actor in actors] == ["taskq_operator"]


async def test_an_operator_lets_browsers_in_and_out(operator):
    token = await operator.fetchval("select taskq.create_token('ci', '{read}', sha256('a'))")
    await operator.execute("select taskq.open_session($1, sha256('b'), '1 h')", token)
    assert len(await operator.fetch("select * from taskq.credentials()")) == 2
    await operator.execute("select taskq.touch_tokens($1)", [token])
    assert await operator.fetchval("select taskq.close_session(sha256('b'))")
    assert await operator.fetchval("select taskq.revoke_token('ci')") == token
    await operator.execute("select taskq.save_template('nightly', '{}')")
    assert await operator.fetchval("select taskq.drop_template('nightly')")


@pytest.mark.parametrize(
    "statement",
    [
        "update taskq.tasks set status = 'completed'",
        "delete from taskq.tasks",
        "delete from taskq.role_pauses",
        "select digest from taskq.tokens",
        "select taskq.begin('cancel')",
        "select taskq.fail(gen_random_uuid(), gen_random_uuid(), 1, 'unknown', '')",
    ],
)
async def test_an_operator_does_not_go_around_the_functions(db, operator, statement):
    await insert(db)
    with pytest.raises(DENIED):
        await operator.execute(statement)


async def test_whoever_has_no_role_sees_nothing(db, connect):
    async with plain_user(db) as user:
        session = await connect()
        await session.execute(f"set session authorization {user}")
        for statement in ("select * from taskq.tasks", "select taskq.explain(gen_random_uuid())"):
            with pytest.raises(DENIED):
                await session.execute(statement)


async def test_no_function_is_open_to_everybody(db):
    open_to_all = await db.fetch(
        "select p.oid::regprocedure::text "
        "from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a "
        "where p.pronamespace = 'taskq'::regnamespace and a.grantee = 0"
    )
    assert open_to_all == []


async def test_a_function_that_lends_its_owners_rights_has_a_search_path_of_its_own(db):
    unsafe = await db.fetch(
        "select oid::regprocedure::text from pg_proc "
        "where pronamespace = 'taskq'::regnamespace and prosecdef "
        "and not coalesce('search_path=\"\"' = any(proconfig), false)"
    )
    assert unsafe == []


# an owner who is no superuser


@asynccontextmanager
async def plain_user(db):
    """A login without any rights."""
    name = f"plain_{secrets.token_hex(4)}"
    await db.execute(f"create role {name} login password 'plain'")
    try:
        yield name
    finally:
        await db.execute(f"drop owned by {name}")
        await db.execute(f"drop role {name}")


@asynccontextmanager
async def own_database(databases, db, user):
    """An empty database that belongs to this user, and a session of the user on it."""
    async with databases.database(f' owner "{user}"') as dsn:
        session = await asyncpg.connect(dsn)
        try:
            await session.execute(f"set session authorization {user}")
            yield dsn, session
        finally:
            await session.close()


async def test_a_plain_owner_of_a_database_can_install_it_and_work_with_it(databases, db):
    async with plain_user(db) as user, own_database(databases, db, user) as (_, owner):
        await install(owner)
        one, two = ids(2)
        await insert_graph(owner, [(two, [one]), (one, [])])
        worker = await FakeWorker(owner, ROLE).register()
        claim = await worker.claim_one()
        assert await worker.fail(claim) == "queued"
        assert await worker.drain() == 2
        await owner.execute("select taskq.tend()")


async def test_a_plain_owner_of_a_database_can_migrate_it(databases, db):
    async with plain_user(db) as user, databases.database(f' owner "{user}"') as dsn:
        admin = await asyncpg.connect(dsn)
        # every session from now on acts as the owner, as one that logs in as him would
        await admin.execute(f'alter database "{dsn_name(dsn)}" set role {user}')
        await admin.close()
        await schema.migrate(dsn)
        await schema.check(dsn)
        await schema.downgrade(dsn)


def dsn_name(dsn):
    from urllib.parse import urlsplit

    return urlsplit(dsn).path.removeprefix("/")
