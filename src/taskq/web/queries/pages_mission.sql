-- What the pages of missions read, by name.

-- name: page_missions
-- The missions, newest first: $1 state (running, ended, failed; null for all), $2 text, $3 and $4 created_at and id of the
-- last one that was shown, $5 how many, $6 above the ids of agents' tasks of that time.  A mission has descendants, or
-- its root is an agent's.  Those with descendants are found by stepping through the index `missions` from one to the next,
-- so lone tasks, however many, are never looked at; of agents that began, a policy tells; those that did not are few.
with recursive step (id) as (
  (select t.mission_id from taskq.tasks t where t.mission_id <> t.id order by t.mission_id limit 1)
  union all
  select (select t.mission_id from taskq.tasks t where t.mission_id <> t.id and t.mission_id > s.id order by t.mission_id limit 1)
  from step s where s.id is not null),
agent as (select r.name from taskq.roles r where r.kind = 'agent'),
root (id) as (
  select s.id from step s where s.id is not null
  union
  select t.id from (
    (select p.task_id from taskq.policies p where $6::uuid is null or p.task_id < $6 order by p.task_id desc limit 2000)
    union all
    select q.id from agent a cross join lateral (
      select t.id from taskq.tasks t where t.status = 'queued' and t.role = a.name and t.mission_id = t.id limit 500) q
    union all
    (select t.id from taskq.tasks t
     where t.status <> 'queued' and t.lease is null and t.finished_at is null and t.mission_id = t.id
       and t.role = any(array(select name from agent)) limit 500)) a (id)
  join taskq.tasks t on t.id = a.id and t.mission_id = t.id),
mission as (
  select s.id, r.role, r.name, r.created_by, coalesce(r.created_at, gone.created_at) as created_at, r.finished_at, r.status,
         concat_ws(' ', r.name, r.role, r.created_by, s.id, r.payload ->> 'objective') as text
  from root s
  left join taskq.tasks r on r.id = s.id
  left join lateral (
    select t.created_at from taskq.tasks t where r.id is null and t.mission_id = s.id and t.mission_id <> t.id limit 1) gone on true),
shown as (
  select m.*
  from mission m
  where ($3::timestamptz is null or (m.created_at, m.id) < ($3, $4::uuid))
    and ($2::text is null or strpos(lower(m.text), lower($2)) > 0)
    and case $1::text
        when 'running' then m.status is not null and m.finished_at is null
                         or exists (select from taskq.tasks t where t.mission_id = m.id and t.mission_id <> t.id and t.finished_at is null)
        when 'ended' then (m.status is null or m.finished_at is not null)
                      and not exists (select from taskq.tasks t where t.mission_id = m.id and t.mission_id <> t.id and t.finished_at is null)
        when 'failed' then m.status = 'failed'
                        or exists (select from taskq.tasks t where t.mission_id = m.id and t.mission_id <> t.id and t.status = 'failed')
        else true end
  order by m.created_at desc, m.id desc
  limit $5)
select s.id, s.role, s.name, s.created_by, s.created_at, c.*, b.cost as budget, clock_timestamp() as now
from shown s
cross join lateral (
  select count(*) as total, count(*) filter (where t.status = 'blocked') as blocked,
         count(*) filter (where t.status = 'awaiting_approval') as awaiting_approval, count(*) filter (where t.status = 'queued') as queued,
         count(*) filter (where t.status = 'in_progress') as in_progress, count(*) filter (where t.status = 'completed') as completed,
         count(*) filter (where t.status = 'failed') as failed, count(*) filter (where t.status = 'cancelled') as cancelled,
         max(t.finished_at) as finished_at
  from (select t.status, t.finished_at from taskq.tasks t where t.mission_id = s.id and t.mission_id <> t.id
        union all select s.status, s.finished_at where s.status is not null) t) c
left join taskq.budgets b on b.scope = 'mission' and b.key = s.id::text
order by s.created_at desc, s.id desc

-- name: page_missions_spent
-- What these missions ($1) have cost: a look at the messages of all of their tasks.
select s.id, sum(u.cost) as cost, sum(u.tokens)::float as tokens
from unnest($1::uuid[]) s (id)
cross join lateral (
  select t.id from taskq.tasks t where t.mission_id = s.id and t.mission_id <> t.id
  union all select s.id) t
cross join lateral (
  select sum(m.cost) as cost,
         sum(c.tokens_in + c.tokens_out) as tokens
  from taskq.messages m
  cross join lateral (
    select coalesce(sum(v.value::numeric) filter (where v.key <> 'output_tokens'), 0) as tokens_in,
           coalesce(sum(v.value::numeric) filter (where v.key = 'output_tokens'), 0) as tokens_out
    from jsonb_each(case when jsonb_typeof(m.usage) = 'object' then m.usage else '{}' end) v
    where jsonb_typeof(v.value) = 'number'
      and v.key in ('input_tokens', 'output_tokens', 'cache_creation_input_tokens', 'cache_read_input_tokens')) c
  where m.task_id = t.id and m.role = 'assistant') u
group by s.id

-- name: page_mission
-- One mission ($1): its root, what it may spend, how many tasks of each status, and at most $2 of its tasks with what they
-- depend on, their attempts, waits for people and cost.  What has not ended comes first into the selection.
with member as materialized (
  select t.id, t.role, t.name, t.status, t.parent_id, t.attempt, t.max_attempts, t.progress, t.progress_note, t.error_kind, left(t.error, 500) as error,
         t.requires_approval, t.approved_at, t.approved_by, t.waiting_on, t.worker_id, t.run_at, t.created_at, t.started_at, t.finished_at
  from taskq.tasks t
  where t.id = any(array(select m.id from taskq.tasks m where m.mission_id = $1 and m.mission_id <> m.id) || $1::uuid)),
spent as (
  select m.task_id, sum(m.cost) as cost, count(*) as turns, bool_or(m.simulated) as simulated,
         sum(c.tokens_in + c.tokens_out) as tokens
  from taskq.messages m
  cross join lateral (
    select coalesce(sum(v.value::numeric) filter (where v.key <> 'output_tokens'), 0) as tokens_in,
           coalesce(sum(v.value::numeric) filter (where v.key = 'output_tokens'), 0) as tokens_out
    from jsonb_each(case when jsonb_typeof(m.usage) = 'object' then m.usage else '{}' end) v
    where jsonb_typeof(v.value) = 'number'
      and v.key in ('input_tokens', 'output_tokens', 'cache_creation_input_tokens', 'cache_read_input_tokens')) c
  where m.role = 'assistant' and m.task_id = any(array(select id from member where attempt > 0))
  group by m.task_id)
select (select to_json(r) from (
          select t.id, t.role, t.name, t.status, t.created_by, t.created_at, t.mission_id, t.payload ->> 'objective' as objective
          from taskq.tasks t where t.id = $1) r) as root,
       (select json_object_agg(c.status, c.n) from (select m.status, count(*) as n from member m group by m.status) c) as counts,
       (select to_json(s) from taskq.spend s where s.scope = 'mission' and s.key = $1::text) as budget,
       (select json_build_object('cost', sum(s.cost)::float, 'tokens', sum(s.tokens)::float, 'turns', sum(s.turns), 'simulated', bool_or(s.simulated))
        from spent s) as spent,
       (select min(m.created_at) from member m) as began_at, (select max(m.finished_at) from member m) as ended_at, clock_timestamp() as now,
       (select json_agg(n order by n.created_at, n.id) from (
          select m.*, w.name as worker, s.cost::float, s.tokens::float, s.turns,
                 array(select d.depends_on from taskq.dependencies d where d.task_id = m.id) as depends_on,
                 (select json_agg(a order by a.lease) from (
                    select a.attempt, a.kind, left(a.message, 300) as message, a.started_at, a.finished_at, a.lease
                    from taskq.attempts a where a.task_id = m.id order by a.lease desc limit 20) a) as attempts,
                 (select json_agg(e order by e.id) from (
                    select e.id, e.verb, e.at, e.actor, e."from", e."to" from taskq.events e
                    where e.task_id = m.id and (e."from" = 'awaiting_approval' or e."to" = 'awaiting_approval')
                    order by e.id desc limit 40) e) as waits
          from (select * from member m order by m.finished_at is not null, m.created_at, m.id limit $2) m
          left join spent s on s.task_id = m.id
          left join taskq.workers w on w.id = m.worker_id) n) as tasks
