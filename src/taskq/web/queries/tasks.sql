-- What the API reads of tasks, by name.  Lengths of time are seconds.  Nothing here writes.

-- A list is newest first.  The place of a task in it is its id, where that is of version 7: read in the order of the primary
-- key.  Of the few ids that clients chose otherwise it is such an id made of created_at.  $9 is an id of the next hour: what
-- lies behind it is no id of version 7.

-- name: newest_places
-- $5: the place to go on below; $6: the lowest.  $7 at most, found among the $8 newest that fit; but if $10, among the $8
-- newest whatever their role and status, so that what is rare or read slowly (a text, $4) takes no longer than that.
select w.id as place, w.id
from (
  select t.* from taskq.tasks t
  where t.id between '01900000-0000-7000-8000-000000000000' and $9
    and ($5::uuid is null or t.id < $5) and ($6::uuid is null or t.id >= $6)
    and ($3::uuid is null or (t.mission_id = $3 and t.mission_id <> t.id) or t.id = $3)
    and ($10 or $1::taskq.status[] is null or t.status = any($1)) and ($10 or $2::text[] is null or t.role = any($2))
  order by t.id desc limit $8) w
where ($1::taskq.status[] is null or w.status = any($1)) and ($2::text[] is null or w.role = any($2))
  and ($4::text is null or position(lower($4) in lower(
    concat_ws(' ', w.id, w.role, w.name, w.created_by, w.dedup_key, w.error, w.payload::text, w.result::text))) > 0)
order by w.id desc limit $7

-- name: last_place
-- Where a look at the $4 newest ends; no row when there are not so many.
select t.id as place
from taskq.tasks t
where t.id between '01900000-0000-7000-8000-000000000000' and $5
  and ($2::uuid is null or t.id < $2) and ($3::uuid is null or t.id >= $3)
  and ($1::uuid is null or (t.mission_id = $1 and t.mission_id <> t.id) or t.id = $1)
order by t.id desc offset $4 - 1 limit 1

-- name: chosen_places
-- The same of ids that clients chose; $7 is the id to go on below among those of one place.
select p.place, t.id
from taskq.tasks t, lateral (
  select encode(overlay(uuid_send(t.id) placing substring(int8send((extract(epoch from t.created_at) * 1000)::bigint) from 3)
                        from 1 for 6), 'hex')::uuid as place) p
where (t.id < '01900000-0000-7000-8000-000000000000' or t.id > $9)
  and ($5::uuid is null or (p.place, t.id) < ($5, $7)) and ($6::uuid is null or p.place >= $6)
  and ($3::uuid is null or (t.mission_id = $3 and t.mission_id <> t.id) or t.id = $3)
  and ($1::taskq.status[] is null or t.status = any($1)) and ($2::text[] is null or t.role = any($2))
  and ($4::text is null or position(lower($4) in lower(
    concat_ws(' ', t.id, t.role, t.name, t.created_by, t.dedup_key, t.error, t.payload::text, t.result::text))) > 0)
order by p.place desc, t.id desc limit $8

-- name: task_rows
select t.id, t.role, t.name, t.status::text, t.priority, t.attempt, t.max_attempts, t.waiting_on, t.progress, t.progress_note,
       t.error_kind, left(t.error, 500) as error, t.mission_id, t.parent_id, t.created_by, t.created_at,
       least(greatest(t.run_at, '0001-01-02'), '9999-12-30') as run_at, t.started_at, t.finished_at,
       date_part('epoch', clock_timestamp() - t.created_at) as age,
       case when t.started_at is not null and t.status in ('in_progress', 'completed', 'failed', 'cancelled')
            then date_part('epoch', coalesce(t.finished_at, clock_timestamp()) - t.started_at) end as took
from unnest($1::uuid[]) with ordinality o (id, n) join taskq.tasks t using (id)
order by o.n

-- name: whole_task
-- A task with all that there is to know of it but what can be long: its conversation, tool calls and log.
select t.id, t.role, t.name, t.payload::text as payload, t.status::text, t.priority,
       least(greatest(t.run_at, '0001-01-02'), '9999-12-30') as run_at, t.depends_on, t.on_dependency_failure, t.requires_approval,
       t.max_attempts, date_part('epoch', t.timeout) as timeout, t.dedup_key, t.concurrency_key, t.mission_id, t.parent_id,
       t.created_by, t.traceparent, t.rerun_of, t.attempt, t.crashes, t.worker_id, w.name as worker, t.lease_expires_at,
       t.heartbeat_at, t.cancel_requested_at, t.progress, t.progress_note, t.result::text as result, t.error, t.error_kind,
       t.approved_at, t.approved_by, t.created_at, t.started_at, t.finished_at, t.waiting_on,
       date_part('epoch', clock_timestamp() - t.created_at) as age,
       case when t.started_at is not null and t.status in ('in_progress', 'completed', 'failed', 'cancelled')
            then date_part('epoch', coalesce(t.finished_at, clock_timestamp()) - t.started_at) end as took,
       taskq.explain(t.id) as explain,
       (select json_build_object(
          'dependencies', (select count(*) from taskq.dependencies d where d.task_id = t.id),
          'dependents', (select count(*) from taskq.dependencies d where d.depends_on = t.id),
          'children', (select count(*) from taskq.tasks c where c.parent_id = t.id),
          'attempts', (select count(*) from taskq.attempts a where a.task_id = t.id),
          'events', (select count(*) from taskq.events e where e.task_id = t.id),
          'messages', (select count(*) from taskq.messages m where m.task_id = t.id),
          'calls', (select count(*) from taskq.tool_calls c where c.task_id = t.id),
          'logs', (select count(*) from taskq.logs l where l.task_id = t.id))) as counts,
       (select coalesce(json_agg(x), '[]') from (
          select p.id, p.role, p.name, p.status, d.on_failure, d.met
          from taskq.dependencies d join taskq.tasks p on p.id = d.depends_on
          where d.task_id = t.id order by d.depends_on limit 500) x) as dependencies,
       (select coalesce(json_agg(x), '[]') from (
          select c.id, c.role, c.name, c.status, d.on_failure, d.met
          from taskq.dependencies d join taskq.tasks c on c.id = d.task_id
          where d.depends_on = t.id order by d.task_id limit 500) x) as dependents,
       (select coalesce(json_agg(x), '[]') from (
          select c.id, c.role, c.name, c.status from taskq.tasks c where c.parent_id = t.id order by c.id limit 500) x) as children,
       (select coalesce(json_agg(x order by x.lease), '[]') from (
          select a.lease, a.attempt, a.kind, a.message, a.traceback, a.worker_id, a.started_at, a.finished_at
          from taskq.attempts a where a.task_id = t.id order by a.lease desc limit 500) x) as attempts,
       (select coalesce(json_agg(x order by x.id), '[]') from (
          select e.id, e.at, e.verb, e."from", e."to", e.actor, e.reason
          from taskq.events e where e.task_id = t.id order by e.id desc limit 500) x) as events,
       (select coalesce(json_agg(x order by x.round, x.at, x.name), '[]') from (
          select c.round, c.name, c.passed, c.detail, c.at
          from taskq.checks c where c.task_id = t.id order by c.round desc, c.at desc limit 500) x) as checks,
       (select coalesce(json_agg(x order by x.place), '[]') from (
          select s.place, s.name, s.kind, left(s.result, 4000) as result, s.at, s.done_at,
                 case when isfinite(s.wake_at) then s.wake_at end as wake_at, s.attempt
          from taskq.steps s where s.task_id = t.id order by s.place desc limit 500) x) as steps,
       (select coalesce(json_agg(x order by x.at, x.name), '[]') from (
          select g.name, g.actor, g.at from taskq.signals g where g.task_id = t.id order by g.at desc limit 500) x) as signals,
       (select coalesce(json_agg(x order by x.id), '[]') from (
          select s.id, s.verb, s.text, s.actor, s.at, s.done_at
          from taskq.steers s where s.task_id = t.id order by s.id desc limit 500) x) as steers,
       (select coalesce(json_agg(s order by s.scope, s.key), '[]') from taskq.spend s
        where (s.scope, s.key) in (('task', t.id::text), ('mission', t.mission_id::text), ('role', t.role::text))) as spend
from taskq.tasks t left join taskq.workers w on w.id = t.worker_id
where t.id = $1

-- name: would_fall
-- What a cancel of this task would take with it, itself first.  The ids are found once, not for every task: doom is volatile.
with young as materialized (select taskq.brood($1) as ids),
falling as materialized (select y.ids || taskq.doom(y.ids || $1::uuid) || $1::uuid as ids from young y)
select t.id, t.role, t.name, t.status::text, count(*) over () as count
from taskq.tasks t
where t.id = any((select ids from falling)::uuid[]) and t.finished_at is null
order by t.id <> $1, t.created_at, t.id
limit 1000

-- name: messages_after
-- The conversation of a task from behind this place; one row of nulls when there is nothing more.
select m.seq, m.role, m.body, m.stop_reason, m.model, m.usage::text as usage, m.simulated, m.attempt, m.cost::float8 as cost,
       m.request_id, m.created_at
from taskq.tasks t left join lateral (
  select * from taskq.messages m where m.task_id = t.id and m.seq > $2 order by m.seq limit $3) m on true
where t.id = $1
order by m.seq

-- name: logs_after
-- What a task logged, from behind this line; one row of nulls when there is nothing more.
select l.id, l.at, l.attempt, l.line
from taskq.tasks t left join lateral (
  select * from taskq.logs l where l.task_id = t.id and l.id > $2 order by l.id limit $3) l on true
where t.id = $1
order by l.id

-- name: last_of_timeline
-- The last things that happened to a task, oldest first; one row at least if there is such a task.
select l.at, l.what, l.actor, left(l.detail, 4000) as detail
from taskq.tasks t left join lateral (
  select * from taskq.timeline l where l.task_id = t.id order by l.at desc limit 1000) l on true
where t.id = $1
order by l.at
