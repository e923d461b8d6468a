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

-- name: budget
select taskq.set_budget('mission', $1, '{"cost": 10, "tokens": 5000000}', 'demo')

-- name: spend
select cost_used, cost, tokens_used, tokens, turns_used from taskq.spend where scope = 'mission' and key = $1

-- name: moment
select clock_timestamp()

-- name: crew
select id, name from taskq.workers_live where name = any($1)

-- name: in_mid_turn
-- An engineer whose model is being asked (the worst case of the call is reserved), once the others on his worker have
-- finished a turn; and how many tasks that worker holds.  The rate limit comes first, if it is forced ($2): until then,
-- and while somebody waits for it, nobody.
with engineer as (
  select t.id, t.name, t.lease, t.status, t.worker_id,
         (select count(*) from taskq.messages m where m.task_id = t.id and m.role = 'assistant') as turns
  from taskq.tasks t
  where t.mission_id = $1 and t.name in ('backend', 'frontend', 'data')),
candidate as (
  select e.id, e.name, e.worker_id, w.name as worker, e.turns,
         (select count(*) from taskq.tasks o where o.worker_id = e.worker_id and o.status = 'in_progress') as holds
  from engineer e
  join taskq.workers w on w.id = e.worker_id
  join taskq.reservations r on r.task_id = e.id and r.lease = e.lease
  where e.status = 'in_progress' and e.turns > 0
    and not exists (select from engineer o where o.status = 'queued')
    and not exists (select from engineer o where o.worker_id = e.worker_id and o.status = 'in_progress' and o.turns = 0))
select * from candidate
where not $2::boolean or exists (
  select from taskq.gates g
  where g.paused_until < clock_timestamp() and g.paused_until > (select created_at from taskq.tasks where id = $1))
order by holds desc, turns desc, id
limit 1

-- name: moved
-- What a dead worker lost, once all of it runs again.
select count(*) as lost, extract(epoch from max(t.started_at) - $3::timestamptz)::float as seconds
from taskq.attempts a join taskq.tasks t on t.id = a.task_id
where t.mission_id = $1 and a.worker_id = $2 and a.kind = 'worker_lost'
having bool_and(t.attempt > a.attempt)

-- name: happened
-- What went wrong with the model, and with what was handed in.
select format('429: nobody asks %s for a while; who was to ask gives his slot back, and spends no attempt', g.model) as text
from taskq.gates g where g.paused_until > (select created_at from taskq.tasks where id = $1)
union all
select format('the model''s answer to %s broke off in mid-stream; what was finished is kept', t.name)
from taskq.attempts a join taskq.tasks t on t.id = a.task_id where t.mission_id = $1 and a.kind = 'external_service'
union all
select format('%s gives work to %s and waits for it without a slot', p.name, t.role)
from taskq.tasks t join taskq.tasks p on p.id = t.parent_id where t.mission_id = $1
union all
select format('what %s handed in fails its check "%s": %s', coalesce(t.name, t.role), c.name, taskq.line(c.detail))
from taskq.checks c join taskq.tasks t on t.id = c.task_id where t.mission_id = $1 and not c.passed

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
-- What the killed worker had committed was found by the attempts after it, and at least one conversation went on in its middle.
with lost as (
  select t.id, (t.result ->> 'resumed_turns')::integer as resumed,
         count(*) filter (where m.role = 'assistant' and m.attempt <= a.attempt) as before,
         count(*) filter (where m.role = 'assistant' and m.attempt > a.attempt) as after
  from taskq.attempts a join taskq.tasks t on t.id = a.task_id join taskq.messages m on m.task_id = t.id
  where t.mission_id = $1 and a.worker_id = $2 and a.kind = 'worker_lost'
  group by t.id, a.lease)
select coalesce(bool_and(resumed >= before) and bool_or(before > 0 and after > 0), false) as holds,
       format('interrupted conversations: %s; turns kept: %s, added: %s', count(*), coalesce(sum(before), 0), coalesce(sum(after), 0)) as finding
from lost

-- name: fact_once
-- Of every conversation the messages are numbered without a gap or a step back in attempts, and the model never speaks
-- twice in a row (an answer asked for again would stand beside the first).  Every tool call in it is one row of the ledger
-- and has one result; only a submission that was accepted ends the task instead.  Of every task only the last attempt succeeded.
with message as (
  select m.*, lag(m.attempt) over one as attempt_before, lag(m.role) over one as role_before, row_number() over one - 1 as place
  from taskq.messages m join taskq.tasks t on t.id = m.task_id
  where t.mission_id = $1
  window one as (partition by m.task_id order by m.seq)),
faulty as (
  select from message
  where seq <> place or attempt < attempt_before or role = 'assistant' and role_before is distinct from 'user'),
block as (
  select m.task_id, m.role, b.block from message m cross join lateral jsonb_array_elements(m.body::jsonb) b (block)),
asked as (
  select task_id, block ->> 'id' as call_id, count(*) as times
  from block where role = 'assistant' and block ->> 'type' = 'tool_use' group by 1, 2),
answer as (
  select task_id, block ->> 'tool_use_id' as call_id, count(*) as times
  from block where role = 'user' and block ->> 'type' = 'tool_result' group by 1, 2),
entry as (
  select c.task_id, c.call_id, case when c.tool = 'submit_result' and c.status = 'success' then 0 else 1 end as answers
  from taskq.tool_calls c join taskq.tasks t on t.id = c.task_id
  where t.mission_id = $1),
mismatch as (
  select from asked full join answer using (task_id, call_id) full join entry using (task_id, call_id)
  where asked.times is distinct from 1 or coalesce(answer.times, 0) is distinct from entry.answers),
ended as (
  select t.id, t.attempt = 1 + (select count(*) from taskq.attempts a where a.task_id = t.id) as once
  from taskq.tasks t where t.mission_id = $1 and t.status = 'completed')
select (select count(*) from entry) > 0 and not exists (select from faulty) and not exists (select from mismatch)
       and coalesce((select bool_and(once) from ended), false) as holds,
       format('%s messages and %s tool results, each committed once; %s tasks, each completed once',
              (select count(*) from message), (select coalesce(sum(times), 0) from answer), (select count(*) from ended where once)) as finding

-- name: fact_restarted
select coalesce(count(*) > 0 and bool_and(t.attempt = a.attempt + 1 and t.worker_id <> a.worker_id)
                and max(t.started_at) - $3::timestamptz < interval '3 s', false) as holds,
       format('tasks that it held: %s, on the other one after %s (noticed after %s)', count(*),
              round(extract(epoch from max(t.started_at) - $3::timestamptz), 1) || ' s',
              round(extract(epoch from max(a.finished_at) - $3::timestamptz), 1) || ' s') as finding
from taskq.attempts a join taskq.tasks t on t.id = a.task_id
where t.mission_id = $1 and a.worker_id = $2 and a.kind = 'worker_lost'

-- name: fact_limited
-- A gate was paused for $2 seconds.  Whatever was to ask its model meanwhile was answered after the pause, and no attempt
-- ended for it.  What was committed within the first tenth of a second may have passed the gate just before it was closed.
with pause as (
  select g.model, g.paused_until - make_interval(secs => $2::double precision) as began, g.paused_until as ended
  from taskq.gates g
  where g.provider = 'anthropic' and g.paused_until > (select min(created_at) from taskq.tasks where mission_id = $1)),
turn as (
  select m.role, m.model, m.created_at as said_at, lag(m.created_at) over (partition by m.task_id order by m.seq) as heard_at
  from taskq.messages m join taskq.tasks t on t.id = m.task_id
  where t.mission_id = $1),
held as (
  select t.said_at >= p.ended as waited
  from turn t join pause p on p.model = t.model
  where t.role = 'assistant' and t.heard_at between p.began + interval '100 ms' and p.ended)
select count(*) = 1 and not exists (select from held where not waited)
       and not exists (select from taskq.attempts a join taskq.tasks t on t.id = a.task_id
                       where t.mission_id = $1 and a.kind = 'rate_limited') as holds,
       coalesce(string_agg(format('%s was paused for %s s by a 429; %s turns of others fell into it and waited, too',
                                  model, $2::double precision, (select count(*) from held where waited)), ', '), 'no gate was paused') as finding
from pause

-- name: fact_cut
-- Of the message that broke off nothing is stored; the attempt after it kept the turns before it and finished the task.
with cut as (
  select t.name, t.status, t.attempt > a.attempt as went_on, a.message,
         count(m.seq) filter (where m.attempt <= a.attempt) as before,
         count(m.seq) filter (where m.attempt > a.attempt) as after
  from taskq.attempts a join taskq.tasks t on t.id = a.task_id
  left join taskq.messages m on m.task_id = t.id and m.role = 'assistant'
  where t.mission_id = $1 and a.kind = 'external_service'
  group by t.id, a.task_id, a.lease)
select coalesce(count(*) = 1 and bool_and(status = 'completed' and went_on and before > 0 and after > 0), false) as holds,
       coalesce(string_agg(format('of %s turn %s broke off; the next attempt kept %s and asked for it again', name, before + 1, before), ', '),
                'no stream broke off') as finding
from cut

-- name: fact_checked
-- A child's first submission failed its evidence, a later one passed, and only then it and the task that waits for it ended.
with round as (
  select c.task_id, c.round, bool_and(c.passed) as passed, max(c.at) as at, string_agg(c.name, ', ') filter (where not c.passed) as failed
  from taskq.checks c join taskq.tasks t on t.id = c.task_id
  where t.mission_id = $1 group by c.task_id, c.round),
fixed as (
  select t.name, p.name as parent, f.failed, l.round, t.status = 'completed' and t.finished_at >= l.at and p.finished_at >= t.finished_at as good
  from round f join round l on l.task_id = f.task_id
  join taskq.tasks t on t.id = f.task_id left join taskq.tasks p on p.id = t.parent_id
  where f.round = 1 and not f.passed and l.passed)
select coalesce(bool_and(good), false) as holds,
       coalesce(string_agg(format('%s, a child of %s, failed "%s" in round 1 and passed in round %s', name, parent, failed, round), '; '),
                'no check failed and passed') as finding
from fixed

-- name: fact_settled
-- The ledger of tool calls; over all missions and by role it is the view taskq.tool_statistics.
with calls as (
  select c.status, count(*) as calls, bool_and(c.finished_at is not null) as settled
  from taskq.tool_calls c join taskq.tasks t on t.id = c.task_id
  where t.mission_id = $1 group by c.status)
select coalesce(bool_and(settled), false) as holds,
       format('%s calls in the ledger: %s', coalesce(sum(calls), 0), string_agg(format('%s %s', calls, status), ', ' order by calls desc)) as finding
from calls

-- name: fact_spent
-- Every turn has its price, and nothing is reserved any more.  What broke off counts at its worst: it may have been charged.
with paid as (
  select count(*) as turns, sum(m.cost) as cost, bool_and(m.cost is not null) as priced
  from taskq.messages m join taskq.tasks t on t.id = m.task_id
  where t.mission_id = $1 and m.role = 'assistant'),
reserved as (
  select count(*) as calls from taskq.reservations r join taskq.tasks t on t.id = r.task_id where t.mission_id = $1)
select coalesce(p.turns > 0 and p.priced and r.calls = 0 and b.cost_used between p.cost and b.cost and b.tokens_used <= b.tokens, false) as holds,
       format('%s turns cost $%s; %s more calls broke off and count at worst, with $%s; %s are reserved', p.turns, round(p.cost, 4),
              b.turns_used - p.turns, round(b.cost_used - p.cost, 4), r.calls) as finding
from paid p cross join reserved r
left join taskq.spend b on b.scope = 'mission' and b.key = $1::uuid::text

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
