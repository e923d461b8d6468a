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
-- What is cancelled with a task: what it spawned, and what cannot run without it; the first 20, and how many.
select t.id, t.role, t.name, t.status, count(*) over () as total
from (select taskq.brood($1) as ids) b join taskq.tasks t on t.id = any(b.ids || taskq.doom(b.ids || $1::uuid))
where t.finished_at is null
order by t.created_at, t.id
limit 20

-- name: rises
-- What a retry revives with a task: the children that were cancelled with it, and what fell because of them or of it,
-- but for what has another dependency down that stays down.
with recursive young (id) as (
  select $1::uuid
  union
  select t.id from young y join taskq.tasks t on t.parent_id = y.id
  where t.status = 'cancelled' and t.error = taskq.with_parent(y.id) and t.id = any(taskq.brood(y.id))),
fallen (id) as (
  select id from young
  union
  select t.id
  from fallen f join taskq.dependencies d on d.depends_on = f.id join taskq.tasks t on t.id = d.task_id
  where d.on_failure = 'fail' and not d.met and t.error_kind = 'dependency_failed' and t.status in ('failed', 'cancelled')),
held (id) as (
  select d.task_id
  from fallen f join taskq.dependencies d on d.task_id = f.id join taskq.tasks p on p.id = d.depends_on
  where d.on_failure = 'fail' and not d.met and p.status in ('failed', 'cancelled')
    and f.id not in (select id from young) and p.id not in (select id from fallen)
  union
  select d.task_id
  from held h join taskq.dependencies d on d.depends_on = h.id join fallen f on f.id = d.task_id
  where d.on_failure = 'fail' and not d.met and f.id not in (select id from young))
select t.id, t.role, t.name, t.status, count(*) over () as total
from taskq.tasks t
where t.id in (select id from fallen except select id from held) and t.id <> $1
order by t.created_at, t.id
limit 20

-- name: follows
-- What waits for a task, one step away; the first 20, and how many.
select t.id, t.role, t.name, t.status, count(*) over () as total
from taskq.dependencies d join taskq.tasks t on t.id = d.task_id
where d.depends_on = $1 and not d.met and t.status = 'blocked'
order by t.created_at, t.id
limit 20
