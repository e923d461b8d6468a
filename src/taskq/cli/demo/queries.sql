-- What the demo sends, by name: the mission, what it watches, and the facts at the end.

-- name: mission
with id as (
  select taskq.uuid7() as brief, taskq.uuid7() as design, taskq.uuid7() as backend, taskq.uuid7() as frontend,
         taskq.uuid7() as data, taskq.uuid7() as review, taskq.uuid7() as sign_off, taskq.uuid7() as summary)
insert into taskq.tasks (id, mission_id, role, name, depends_on, requires_approval, payload)
select t.id, brief, role, name, depends_on, role = 'sign-off', jsonb_build_object('objective', objective, 'directory', $1::text)
from id, lateral (values
  (brief,    'product-manager-sabine',   'brief',    array[]::uuid[],
     'Write the brief for one improvement: an operator must see at once why a task of this queue waits.'),
  (design,   'SABINE_ARCHITECT',         'design',   array[brief],
     'Design it: which views and functions of this schema carry it, and what must stay true.'),
  (backend,  'backend-architect-sabine', 'backend',  array[design],
     'Find the places where a task changes its status, and check that the design holds there.'),
  (frontend, 'frontend-ops-sabine',      'frontend', array[design],
     'Say what an operator can ask these views today, and which answer is missing.'),
  (data,     'data-ai-engineer-sabine',  'data',     array[design],
     'Define the figures of waiting and running that these tables can give.'),
  (review,   'qa-security-sabine',       'review',   array[backend, frontend, data],
     'Try to prove the results before you wrong.'),
  (sign_off, 'sign-off',                 'sign-off', array[review],
     'A person reads the verdict and says yes or no.'),
  (summary,  'summary',                  'summary',  array[brief, design, backend, frontend, data, review, sign_off],
     'Add up what the mission did.')
) t (id, role, name, depends_on, objective)
returning mission_id

-- name: moment
select clock_timestamp()

-- name: crew
select id, name from taskq.workers_live where name = any($1)

-- name: in_mid_turn
-- An engineer who has finished a turn and waits for the model's next one, once the others on his worker have finished
-- one as well (or he his second); and how many tasks that worker holds.
with held as (
  select t.id, t.name, t.worker_id, t.mission_id, m.turns, m.last
  from taskq.tasks t
  cross join lateral (
    select count(*) filter (where role = 'assistant') as turns, (array_agg(role order by seq desc))[1] as last
    from taskq.messages where task_id = t.id) m
  where t.status = 'in_progress')
select h.id, h.name, h.worker_id, w.name as worker, h.turns,
       (select count(*) from held o where o.worker_id = h.worker_id) as holds
from held h join taskq.workers w on w.id = h.worker_id
where h.mission_id = $1 and h.name in ('backend', 'frontend', 'data') and h.turns > 0 and h.last = 'user'
  and (h.turns > 1 or not exists (select from held o where o.worker_id = h.worker_id and o.turns = 0))
order by h.turns desc, h.id
limit 1

-- name: moved
-- What a dead worker lost, once all of it runs again.
select count(*) as lost, extract(epoch from max(t.started_at) - $3::timestamptz)::float as seconds
from taskq.attempts a join taskq.tasks t on t.id = a.task_id
where t.mission_id = $1 and a.worker_id = $2 and a.kind = 'worker_lost'
having bool_and(t.attempt > a.attempt)

-- name: awaiting_approval
select id from taskq.tasks where mission_id = $1 and status = 'awaiting_approval'

-- name: unfinished
select id from taskq.tasks where mission_id = $1 and finished_at is null order by id

-- name: summary
select result from taskq.tasks where mission_id = $1 and name = 'summary'

-- The facts: each is one row, (holds boolean, finding text).

-- name: fact_completed
select count(*) > 0 and bool_and(status = 'completed') as holds,
       format('%s of %s tasks', count(*) filter (where status = 'completed'), count(*)) as finding
from taskq.tasks where mission_id = $1

-- name: fact_resumed
-- What the killed worker had committed was found by the next attempt, and at least one conversation went on in its middle.
with lost as (
  select t.id, (t.result ->> 'resumed_turns')::integer as resumed,
         count(*) filter (where m.role = 'assistant' and m.attempt <= a.attempt) as before,
         count(*) filter (where m.role = 'assistant' and m.attempt > a.attempt) as after
  from taskq.attempts a join taskq.tasks t on t.id = a.task_id join taskq.messages m on m.task_id = t.id
  where t.mission_id = $1 and a.worker_id = $2 and a.kind = 'worker_lost'
  group by t.id, a.lease)
select coalesce(bool_and(resumed = before) and bool_or(before > 0 and after > 0), false) as holds,
       format('%s conversations went on: turns kept %s, added %s', count(*), coalesce(sum(before), 0), coalesce(sum(after), 0)) as finding
from lost

-- name: fact_once
-- Of every conversation the messages are numbered without a gap or a step back in attempts, model and tools take turns
-- (an answer asked for again, or tools run again, would stand beside the first), and no tool call has two results.
-- Of every task only the last attempt succeeded.
with message as (
  select m.*, lag(m.attempt) over one as attempt_before, row_number() over one - 1 as place
  from taskq.messages m join taskq.tasks t on t.id = m.task_id
  where t.mission_id = $1
  window one as (partition by m.task_id order by m.seq)),
faulty as (
  select from message
  where seq <> place or attempt < attempt_before or role <> case seq % 2 when 0 then 'user' else 'assistant' end),
answer as (
  select m.task_id, b ->> 'tool_use_id' as call, count(*) as times
  from message m, jsonb_array_elements(m.body::jsonb) b
  where b ->> 'type' = 'tool_result' group by 1, 2),
ended as (
  select t.id, t.attempt = 1 + (select count(*) from taskq.attempts a where a.task_id = t.id) as once
  from taskq.tasks t where t.mission_id = $1 and t.status = 'completed')
select (select count(*) from message) > 0 and not exists (select from faulty) and not exists (select from answer where times > 1)
       and coalesce((select bool_and(once) from ended), false) as holds,
       format('%s messages and %s tool results, each committed once; %s tasks, each completed once',
              (select count(*) from message), (select sum(times) from answer), (select count(*) from ended where once)) as finding

-- name: fact_restarted
select coalesce(count(*) > 0 and bool_and(t.attempt = a.attempt + 1 and t.worker_id <> a.worker_id)
                and max(t.started_at) - $3::timestamptz < interval '3 s', false) as holds,
       format('%s tasks of the killed worker ran on the other one after %s (noticed after %s)', count(*),
              round(extract(epoch from max(t.started_at) - $3::timestamptz), 1) || ' s',
              round(extract(epoch from max(a.finished_at) - $3::timestamptz), 1) || ' s') as finding
from taskq.attempts a join taskq.tasks t on t.id = a.task_id
where t.mission_id = $1 and a.worker_id = $2 and a.kind = 'worker_lost'

-- name: fact_approved
select coalesce(bool_and(t.approved_by = $2 and t.started_at >= t.approved_at and e.actor = t.approved_by), false) as holds,
       coalesce(string_agg(format('by %s, after %s', e.actor, taskq.ago(t.approved_at - p.ended)), ', '), 'by nobody') as finding
from taskq.tasks t
join taskq.events e on e.task_id = t.id and e.verb = 'approve'
cross join lateral (select max(finished_at) as ended from taskq.tasks where id = any(t.depends_on)) p
where t.mission_id = $1 and t.requires_approval

-- name: fact_simulated
-- Offline every message and every agent's result says so; otherwise none does.
with stamp as (
  select m.simulated from taskq.messages m join taskq.tasks t on t.id = m.task_id where t.mission_id = $1
  union all
  select (result ->> 'simulated')::boolean from taskq.tasks where mission_id = $1 and result ? 'simulated')
select count(*) > 0 and bool_and(simulated = $2) as holds,
       format('%s of %s messages and results', count(*) filter (where simulated), count(*)) as finding
from stamp
