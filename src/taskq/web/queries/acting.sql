-- What a person sees before he acts on a task, by name.  Nothing here writes.

-- name: subject
-- The task, and the tool call that it is parked for: the first that has not ended, as taskq.approve has it.
select t.id, t.role, t.name, t.status, t.payload, t.attempt, t.max_attempts, t.started_at, t.run_at, t.run_at > clock_timestamp() as is_later,
       t.mission_id, t.created_by, t.created_at, t.error, t.requires_approval, t.cancel_requested_at, w.name as worker,
       taskq.explain(t.id) as explain, taskq.why_parked(t.id) as why_parked,
       c.call_id, c.tool, c.effect, c.input, c.status as call_status, c.needs_approval and c.approved_by is null and c.declined_by is null as asks,
       (select m.body from taskq.messages m where m.task_id = t.id and m.seq = c.turn) as said,
       r.kind = 'agent' or exists (select from taskq.policies p where p.task_id = t.id)
         or exists (select from taskq.messages m where m.task_id = t.id) as is_agent
from taskq.tasks t
  left join taskq.workers w on w.id = t.worker_id
  left join taskq.roles r on r.name = t.role
  left join lateral (
    select o.* from taskq.tool_calls o
    where o.task_id = t.id and o.finished_at is null and t.status = 'awaiting_approval'
    order by o.turn, o.place limit 1) c on true
where t.id = $1

-- name: falls
-- What is cancelled with a task: what it spawned, and what cannot run without it; the first 20, and how many ($2 at most).
-- `offset 0` has each step look its edges up by their index: a hash join would scan the tables once for every step.
with recursive doomed (id) as (
  select unnest(taskq.brood($1) || $1::uuid)
  union
  select f.id
  from doomed p
    cross join lateral (select d.task_id from taskq.dependencies d
                        where d.depends_on = p.id and d.on_failure = 'fail' and not d.met offset 0) d
    cross join lateral (select t.id from taskq.tasks t where t.id = d.task_id and t.status = 'blocked' offset 0) f),
bounded as materialized (select id from doomed limit $2 + 1)
select t.id, t.role, t.name, t.status, count(*) over () as total
from bounded s cross join lateral (
  select * from taskq.tasks o where o.id = s.id and o.finished_at is null and o.id <> $1 offset 0) t
order by t.created_at, t.id
limit 20

-- name: rises
-- What a retry revives with a task: the children that were cancelled with it, and what fell because of them or of it,
-- but for what has another dependency down that stays down; the first 20, and how many ($2 at most).
with recursive young (id) as (
  select $1::uuid
  union
  select t.id
  from young y cross join lateral (
    select o.id from taskq.tasks o
    where o.parent_id = y.id and o.status = 'cancelled' and o.error = taskq.with_parent(y.id) offset 0) t
  where t.id = any(taskq.brood(y.id))),
fallen (id) as (
  select id from young
  union
  select t.id
  from fallen f
    cross join lateral (select d.task_id from taskq.dependencies d
                        where d.depends_on = f.id and d.on_failure = 'fail' and not d.met offset 0) d
    cross join lateral (select o.id from taskq.tasks o where o.id = d.task_id
                          and o.error_kind = 'dependency_failed' and o.status in ('failed', 'cancelled') offset 0) t),
bounded as materialized (select id from fallen limit $2 + 1),
held (id) as (
  select b.id
  from bounded b
  where b.id not in (select id from young) and exists (
    select from taskq.dependencies d cross join lateral (
      select o.id from taskq.tasks o where o.id = d.depends_on and o.status in ('failed', 'cancelled') offset 0) p
    where d.task_id = b.id and d.on_failure = 'fail' and not d.met and p.id not in (select id from bounded))
  union
  select d.task_id
  from held h cross join lateral (
    select e.task_id from taskq.dependencies e
    where e.depends_on = h.id and e.on_failure = 'fail' and not e.met offset 0) d
  where d.task_id in (select id from bounded) and d.task_id not in (select id from young))
select t.id, t.role, t.name, t.status, count(*) over () as total
from (select id from bounded except select id from held) s cross join lateral (
  select * from taskq.tasks o where o.id = s.id and o.id <> $1 offset 0) t
order by t.created_at, t.id
limit 20

-- name: follows
-- What waits for a task, one step away; the first 20, and how many ($2 at most).
select t.id, t.role, t.name, t.status, count(*) over () as total
from (select d.task_id from taskq.dependencies d where d.depends_on = $1 and not d.met limit $2 + 1) d
  cross join lateral (select * from taskq.tasks o where o.id = d.task_id and o.status = 'blocked' offset 0) t
order by t.created_at, t.id
limit 20
