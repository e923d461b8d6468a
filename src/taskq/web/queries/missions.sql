-- What the API reads of missions, by name.

-- name: mission_rows
-- $2 missions at most, the newest first, below the id $1.  A mission has descendants, or its root is an agent's.  Those with
-- descendants are found by stepping down the index `missions`, so lone tasks, however many, are never looked at; of agents
-- that began, a policy tells, and those that did not yet are among what waits.
with recursive step (id) as (
  (select t.mission_id from taskq.tasks t where t.mission_id <> t.id and ($1::uuid is null or t.mission_id < $1)
   order by t.mission_id desc limit 1)
  union all
  select (select t.mission_id from taskq.tasks t where t.mission_id <> t.id and t.mission_id < s.id order by t.mission_id desc limit 1)
  from step s where s.id is not null),
agent as (select r.name from taskq.roles r where r.kind = 'agent'),
mission as (
  (select s.id from step s where s.id is not null limit $2)
  union
  (select p.task_id from taskq.policies p join taskq.tasks t on t.id = p.task_id
   where t.mission_id = t.id and ($1::uuid is null or p.task_id < $1) order by p.task_id desc limit $2)
  union
  (select q.id from agent a cross join lateral (
     select t.id from taskq.tasks t
     where t.status = 'queued' and t.role = a.name and t.mission_id = t.id and ($1::uuid is null or t.id < $1)
     order by t.id desc limit $2) q)
  union
  (select t.id from taskq.tasks t
   where t.status <> 'queued' and t.lease is null and t.finished_at is null and t.mission_id = t.id
     and t.role in (select name from agent) and ($1::uuid is null or t.id < $1)
   order by t.id desc limit $2)),
shown as (select id from mission order by id desc limit $2)
select s.id, r.role, r.name, r.status::text, r.created_by, c.created_at, case when c.total = c.ended then c.finished_at end as finished_at,
       c.total, c.counts, c.done / c.total as progress, b.cost::float8 as budget
from shown s
left join taskq.tasks r on r.id = s.id
cross join lateral (
  select array(select m.id from taskq.tasks m where m.mission_id = s.id and m.mission_id <> m.id) || s.id as ids) i
cross join lateral (
  select coalesce(sum(x.n), 0)::bigint as total, coalesce(sum(x.ended), 0)::bigint as ended, json_object_agg(x.status, x.n) as counts,
         min(x.created_at) as created_at, max(x.finished_at) as finished_at, sum(x.ended + x.under_way) as done
  from (select t.status, count(*) as n, count(t.finished_at) as ended, min(t.created_at) as created_at, max(t.finished_at) as finished_at,
               coalesce(sum(t.progress) filter (where t.finished_at is null), 0) as under_way
        from taskq.tasks t where t.id = any(i.ids) group by t.status) x) c
left join taskq.budgets b on b.scope = 'mission' and b.key = s.id::text
where c.total > 0
order by s.id desc

-- name: mission_sums
-- What these missions ($1) spent, by their messages.
select s.id, coalesce(sum(m.cost), 0)::float8 as cost, count(m.task_id) as turns,
       coalesce(sum(coalesce((m.usage ->> 'input_tokens')::bigint, 0) + coalesce((m.usage ->> 'output_tokens')::bigint, 0)
         + coalesce((m.usage ->> 'cache_creation_input_tokens')::bigint, 0)
         + coalesce((m.usage ->> 'cache_read_input_tokens')::bigint, 0)), 0)::bigint as tokens
from unnest($1::uuid[]) s (id) left join lateral (
  select * from taskq.messages m
  where m.role = 'assistant'
    and m.task_id = any(array(select t.id from taskq.tasks t where t.mission_id = s.id and t.mission_id <> t.id) || s.id)) m on true
group by s.id

-- name: mission_nodes
-- The tasks of mission $1, $2 at most, with what they depend on among themselves and elsewhere.
select t.id, t.role, t.name, t.status::text, t.parent_id, t.attempt, t.max_attempts, t.progress, t.progress_note, t.error_kind,
       left(t.error, 500) as error, t.created_at, t.started_at, t.finished_at,
       case when t.started_at is not null and t.status in ('in_progress', 'completed', 'failed', 'cancelled')
            then date_part('epoch', coalesce(t.finished_at, clock_timestamp()) - t.started_at) end as took,
       (select coalesce(json_agg(json_build_object('from', d.depends_on, 'to', d.task_id, 'on_failure', d.on_failure, 'met', d.met)
                                 order by d.depends_on), '[]')
        from taskq.dependencies d where d.task_id = t.id) as edges
from taskq.tasks t
where t.id = any(array(select m.id from taskq.tasks m where m.mission_id = $1 and m.mission_id <> m.id) || $1::uuid)
order by t.created_at, t.id limit $2

-- name: mission_spend
-- What the mission ($1) spent, by its messages, and the budget that it is under.
select coalesce(sum(m.cost), 0)::float8 as cost, count(*) as turns,
       coalesce(sum(coalesce((m.usage ->> 'input_tokens')::bigint, 0) + coalesce((m.usage ->> 'output_tokens')::bigint, 0)
         + coalesce((m.usage ->> 'cache_creation_input_tokens')::bigint, 0)
         + coalesce((m.usage ->> 'cache_read_input_tokens')::bigint, 0)), 0)::bigint as tokens,
       (select to_json(s) from taskq.spend s where s.scope = 'mission' and s.key = $1::uuid::text) as budget
from taskq.messages m
where m.role = 'assistant'
  and m.task_id = any(array(select t.id from taskq.tasks t where t.mission_id = $1 and t.mission_id <> t.id) || $1::uuid)
