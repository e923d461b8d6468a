-- What only the command line reads, by name.  Nothing here writes.

-- name: find
-- Ids that begin or end with these hex digits.  The beginning is a range of the primary key.  The end is looked for
-- among the newest 500,000 ids of version 7, which lie below that of this moment, and as many of those above it.
(select t.id from taskq.tasks t where t.id between $2 and $3 order by t.id desc limit 6)
union
(select n.id
 from (select t.id from taskq.tasks t where t.id <= (select taskq.uuid7()) order by t.id desc limit 500000) n
 where right(encode(uuid_send(n.id), 'hex'), length($1::text)) = $1 limit 6)
union
(select n.id
 from (select t.id from taskq.tasks t where t.id > (select taskq.uuid7()) order by t.id limit 500000) n
 where right(encode(uuid_send(n.id), 'hex'), length($1::text)) = $1 limit 6)
limit 6

-- name: new_ids
select taskq.uuid7() from generate_series(1, $1)

-- name: server
select current_setting('server_version') as version, current_setting('server_version_num')::integer as number,
       current_database() as database, session_user as "user", clock_timestamp() as now

-- name: notify
select pg_notify($1, $2)

-- name: runnable_but_unmet
select count(distinct t.id)
from taskq.dependencies d join taskq.tasks p on p.id = d.depends_on join taskq.tasks t on t.id = d.task_id
where not d.met and d.on_failure <> 'run' and p.status <> 'completed'
  and t.status in ('queued', 'awaiting_approval', 'in_progress')

-- name: miscounted
select count(*)
from taskq.tasks t
left join (select d.task_id, count(*) as unmet
           from taskq.dependencies d join taskq.tasks p on p.id = d.depends_on
           where not d.met and p.status <> 'completed' and not (d.on_failure = 'run' and p.status in ('failed', 'cancelled'))
           group by d.task_id) e on e.task_id = t.id
left join (select s.task_id, count(*) as unmet
           from taskq.steps s left join taskq.signals g using (task_id, name)
           where s.kind = 'signal' and s.done_at is null and s.wake_at is null and g.name is null
           group by s.task_id) w on w.task_id = t.id
where t.status = 'blocked' and (t.waiting_on <> coalesce(e.unmet, 0) + coalesce(w.unmet, 0) or t.waiting_on = 0)

-- name: leases_of_nobody
select count(*) from taskq.tasks t where t.status = 'in_progress' and (t.worker_id is null or t.lease_expires_at is null)

-- name: top
-- Only what has $1 in its role, name, id or worker ('' for all), and at most $2 rows of each kind.  What waits: first what
-- awaits a person, then what is queued, the longest due first, then what waits for other tasks.
with role as materialized (select * from taskq.overview),
live as materialized (select * from taskq.workers_live),
running as (
  select r.* from taskq.running r
  where position(lower($1) in lower(concat_ws(' ', r.role, r.name, r.id, r.worker))) > 0
  order by r."for" desc limit $2),
waiting as materialized (
  (select t.id, t.role, t.name, t.status, t.created_at as since, t.run_at, 1 as place from taskq.tasks t
   where t.status = 'awaiting_approval' and t.status <> 'queued' and t.lease is null and t.finished_at is null
     and position(lower($1) in lower(concat_ws(' ', t.role, t.name, t.id))) > 0
   order by t.created_at, t.id limit $2)
  union all
  (select t.id, t.role, t.name, t.status, t.run_at, t.run_at, 2 from taskq.tasks t
   where t.status = 'queued' and position(lower($1) in lower(concat_ws(' ', t.role, t.name, t.id))) > 0
   order by t.run_at, t.id limit $2)
  union all
  (select t.id, t.role, t.name, t.status, t.created_at, t.run_at, 3 from taskq.tasks t
   where t.status = 'blocked' and t.status <> 'queued' and t.lease is null and t.finished_at is null
     and position(lower($1) in lower(concat_ws(' ', t.role, t.name, t.id))) > 0
   order by t.created_at, t.id limit $2)
  order by place, since, id limit $2),
failed as (
  select t.id, t.role, t.name, t.attempt, t.max_attempts, t.error_kind, t.error, t.finished_at from taskq.tasks t
  where t.status = 'failed' and t.finished_at is not null
    and position(lower($1) in lower(concat_ws(' ', t.role, t.name, t.id))) > 0
  order by t.finished_at desc, t.id limit $2)
select json_build_object(
  'at', clock_timestamp(),
  'database', current_database(),
  'totals', (
    select json_build_object(
      'ready', coalesce(sum(r.ready), 0), 'later', coalesce(sum(r.scheduled), 0), 'running', coalesce(sum(r.in_progress), 0),
      'blocked', coalesce(sum(r.blocked), 0), 'approval', coalesce(sum(r.awaiting_approval), 0),
      'failed', coalesce(sum(r.failed_24h), 0), 'workers', (select count(*) from live),
      'slots', (select coalesce(sum(l.concurrency) filter (where not l.draining), 0) from live l))
    from role r),
  'roles', (
    select coalesce(json_agg(json_build_object(
      'role', r.role, 'ready', r.ready, 'later', r.scheduled, 'running', r.in_progress, 'blocked', r.blocked,
      'approval', r.awaiting_approval, 'failed', r.failed_24h, 'slots', r.slots, 'paused', r.paused,
      'oldest_ready', extract(epoch from r.oldest_ready),
      'workers', array(select l.name from live l where r.role = any(l.roles) and not l.draining order by l.name))
      order by r.role), '[]')
    from role r where position(lower($1) in lower(r.role)) > 0),
  'running', (
    select coalesce(json_agg(json_build_object(
      'id', r.id, 'role', r.role, 'name', r.name, 'status', 'in_progress', 'mission_id', r.mission_id, 'attempt', r.attempt,
      'max_attempts', r.max_attempts, 'progress', r.progress, 'progress_note', r.progress_note, 'for', extract(epoch from r."for"),
      'worker', r.worker, 'since_heartbeat', extract(epoch from r.since_heartbeat), 'cancel_requested_at', r.cancel_requested_at)
      order by r."for" desc), '[]')
    from running r),
  'waiting', (
    select coalesce(json_agg(json_build_object(
      'id', w.id, 'role', w.role, 'name', w.name, 'status', w.status,
      'for', case when w.since <= clock_timestamp() then extract(epoch from clock_timestamp() - w.since) end,
      'why', taskq.explain(w.id)) order by w.place, w.since, w.id), '[]')
    from waiting w),
  'failed', (
    select coalesce(json_agg(json_build_object(
      'id', f.id, 'role', f.role, 'name', f.name, 'status', 'failed', 'attempt', f.attempt, 'max_attempts', f.max_attempts,
      'error_kind', f.error_kind, 'error', f.error, 'ago', extract(epoch from clock_timestamp() - f.finished_at))
      order by f.finished_at desc, f.id), '[]')
    from failed f),
  'workers', (
    select coalesce(json_agg(json_build_object(
      'id', l.id, 'name', l.name, 'running', l.running, 'slots', l.concurrency, 'draining', l.draining, 'roles', l.roles, 'trouble', l.trouble,
      'version', l.version, 'since_heartbeat', extract(epoch from clock_timestamp() - l.heartbeat_at)) order by l.name), '[]')
    from live l
    where position(lower($1) in lower(concat_ws(' ', l.name, array_to_string(l.roles, ' ')))) > 0)) as look
