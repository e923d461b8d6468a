-- What people read of the queue, on the command line and in the page, by name.  Nothing here writes.

-- name: list
-- Newest first.  Version 7 ids are read in the order of the primary key; only those that clients chose are sorted.
with newest as (
  (select t.* from taskq.tasks t
   where t.id between '01900000-0000-7000-8000-000000000000' and (select taskq.uuid7())
     and ($1::taskq.status[] is null or t.status = any($1)) and ($2::text[] is null or t.role = any($2))
     and ($3::uuid is null or (t.mission_id = $3 and t.mission_id <> t.id) or t.id = $3)
   order by t.id desc limit $4)
  union all
  (select t.* from taskq.tasks t
   where (t.id < '01900000-0000-7000-8000-000000000000' or t.id > (select taskq.uuid7()))
     and ($1::taskq.status[] is null or t.status = any($1)) and ($2::text[] is null or t.role = any($2))
     and ($3::uuid is null or (t.mission_id = $3 and t.mission_id <> t.id) or t.id = $3)
   order by t.created_at desc limit $4))
select id, role, name, status, priority, attempt, max_attempts, waiting_on, progress, progress_note, error_kind, error,
       mission_id, parent_id, created_by, created_at, run_at, started_at, finished_at,
       clock_timestamp() - created_at as age,
       case when started_at is not null and status in ('in_progress', 'completed', 'failed', 'cancelled')
            then coalesce(finished_at, clock_timestamp()) - started_at end as took
from newest
order by created_at desc, id desc
limit $4

-- name: task
select t.*, w.name as worker,
       case when t.started_at is not null and t.status in ('in_progress', 'completed', 'failed', 'cancelled')
            then coalesce(t.finished_at, clock_timestamp()) - t.started_at end as took,
       (select count(*) from taskq.tasks m where m.mission_id = t.id and m.mission_id <> m.id) as descendants,
       (select count(*) from taskq.messages m where m.task_id = t.id) as messages,
       (select bool_or(m.simulated) from taskq.messages m where m.task_id = t.id) as simulated
from taskq.tasks t left join taskq.workers w on w.id = t.worker_id
where t.id = $1

-- name: dependencies
select p.id, p.role, p.name, p.status, d.on_failure, d.met
from taskq.dependencies d join taskq.tasks p on p.id = d.depends_on
where d.task_id = $1
order by p.created_at, p.id

-- name: dependents
select c.id, c.role, c.name, c.status, d.on_failure, d.met
from taskq.dependencies d join taskq.tasks c on c.id = d.task_id
where d.depends_on = $1
order by c.created_at, c.id

-- name: attempts
select a.attempt, a.kind, a.message, a.traceback, a.worker_id, a.started_at, a.finished_at
from taskq.attempts a where a.task_id = $1
order by a.lease

-- name: events
select e.at, e.verb, e."from", e."to", e.actor, e.reason
from taskq.events e where e.task_id = $1
order by e.id

-- name: logs
select l.at, l.attempt, l.line
from (select * from taskq.logs where task_id = $1 order by id desc limit 1000) l
order by l.id

-- name: nodes
-- The tasks of a mission ($1, null for none), and one more.
select t.id, t.role, t.name, t.status, t.mission_id, t.parent_id, t.attempt, t.max_attempts, t.progress, t.progress_note, t.error_kind, t.error,
       array(select d.depends_on from taskq.dependencies d where d.task_id = t.id) as depends_on,
       case when t.status = 'blocked' then t.waiting_on end as waiting_on,
       case when t.status = 'queued' and t.run_at > clock_timestamp() then t.run_at - clock_timestamp() end as due_in,
       case when t.started_at is not null and t.status in ('in_progress', 'completed', 'failed', 'cancelled')
            then coalesce(t.finished_at, clock_timestamp()) - t.started_at end as took
from taskq.tasks t
where t.id = any(array(select m.id from taskq.tasks m where m.mission_id = $1 and m.mission_id <> m.id) || $2::uuid)
order by t.created_at, t.id

-- name: doomed
-- The ids are found once, not for every task: doom is volatile.
with young as materialized (select taskq.brood($1) as ids),
falling as materialized (select y.ids || taskq.doom(y.ids || $1::uuid) as ids from young y)
select t.id, t.role, t.name, t.status
from taskq.tasks t
where t.id = any((select ids from falling)::uuid[]) and t.finished_at is null
order by t.created_at, t.id

-- name: roles
select o.*, r.description, r.timeout, r.max_attempts,
       array(select w.name from taskq.workers_live w where o.role = any(w.roles) and not w.draining order by w.name) as played_by
from taskq.overview o left join taskq.roles r on r.name = o.role
order by o.role

-- name: health
select (select count(*) from taskq.orphaned where status = 'in_progress') as orphaned,
       (select count(*) from taskq.stuck) as stuck,
       (select count(*) from taskq.stale) as stale,
       array(select o.role from taskq.overview o where o.workers = 0 and o.ready + o.scheduled > 0 order by o.role) as unplayed,
       array(select w.name || ': ' || w.trouble from taskq.workers_live w where w.trouble is not null order by w.name) as troubled,
       (select count(*) from taskq.workers_live) as workers

-- name: spend
select * from taskq.spend s where ($1::text is null or s.scope = $1) and ($2::text is null or s.key = $2)

-- name: gates
select provider, model, requests_per_minute, tokens_per_minute, set_by, reason, paused_until::text,
       case when paused_until = 'infinity' then 'until resumed'
            when paused_until > now() then 'for ' || taskq.ago(paused_until - now()) end as paused
from taskq.gates order by provider, model <> '*', model
