-- What waits, and what should not, by name: at most $2 behind the id $1, oldest id first; why is asked of those alone.
-- The ids are found by themselves and sorted after: planned together, the primary key would be walked from its beginning,
-- through all that has ended long ago.

-- name: blocked_tasks
with found as materialized (
  select t.id from taskq.tasks t
  where t.status <> 'queued' and t.lease is null and t.finished_at is null and t.status = 'blocked' and ($1::uuid is null or t.id > $1)),
page as (select id from found order by id limit $2)
select t.id, t.role, t.name, t.status::text, t.mission_id, t.created_at as since, taskq.explain(t.id) as why
from page join taskq.tasks t using (id)
order by t.id

-- name: stale_tasks
with found as materialized (
  select t.id from taskq.tasks t
  where t.status = 'queued' and t.run_at < now() - interval '5 min' and ($1::uuid is null or t.id > $1)),
page as (select id from found order by id limit $2)
select t.id, t.role, t.name, t.status::text, t.mission_id, greatest(t.run_at, '0001-01-02') as since, taskq.explain(t.id) as why
from page join taskq.tasks t using (id)
order by t.id

-- name: stuck_tasks
select t.id, t.role, t.name, t.status::text, t.mission_id, t.started_at as since, s.why
from taskq.stuck s join taskq.tasks t on t.id = s.id
where $1::uuid is null or t.id > $1
order by t.id limit $2

-- name: orphaned_tasks
-- As taskq.orphaned says; but it is asked once, not for every task, which roles are played and which workers are there.
with live as materialized (select w.id, w.roles, w.draining from taskq.workers_live w),
played as materialized (select array(select distinct r from live w, unnest(w.roles) r where not w.draining) as roles),
found as materialized (
  select t.id from taskq.tasks t
  where t.status = 'queued' and t.role <> all ((select roles from played)::text[]) and ($1::uuid is null or t.id > $1)
  union all
  select t.id from taskq.tasks t
  where t.status = 'in_progress' and t.worker_id not in (select id from live) and ($1::uuid is null or t.id > $1)),
page as (select id from found order by id limit $2)
select t.id, t.role, t.name, t.status::text, t.mission_id,
       case t.status when 'in_progress' then t.heartbeat_at else least(greatest(t.run_at, '0001-01-02'), '9999-12-30') end as since,
       case t.status when 'in_progress' then 'its worker is gone' else format('no live worker plays role %s', t.role) end as why
from page join taskq.tasks t using (id)
order by t.id

-- name: retryable_tasks
-- What failed by itself: a retry revives what fell with it, too.  The newest first.
with found as materialized (
  select t.id from taskq.tasks t
  where t.status = 'failed' and t.error_kind <> 'dependency_failed' and ($1::uuid is null or t.id < $1)),
page as (select id from found order by id desc limit $2)
select t.id, t.role, t.name, t.status::text, t.mission_id, t.finished_at as since, taskq.explain(t.id) as why
from page join taskq.tasks t using (id)
order by t.id desc
