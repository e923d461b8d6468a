-- A queue as it looks after a week: :count finished tasks, some of which failed; 50 missions of 20 tasks, which ran agents and of which some wait.
-- Run with session_replication_role = replica: triggers would look at each row, and finished ones cannot be inserted.
create function pg_temp.made(_at timestamptz) returns uuid language sql volatile as $$
  select encode(set_bit(set_bit(
    overlay(uuid_send(gen_random_uuid()) placing substring(int8send((extract(epoch from _at) * 1000)::bigint) from 3) from 1 for 6),
    52, 1), 53, 1), 'hex')::uuid
$$;

insert into taskq.tasks (id, role, name, payload, status, max_attempts, timeout, mission_id, attempt, result, error_kind, error,
                         run_at, created_at, started_at, finished_at)
select id, 'role_' || n % 20, 'task ' || n, '{"objective": "Look at it."}', status, 4, '30 min', id, 1,
       case status when 'completed' then '{"done": true}'::jsonb end, case status when 'failed' then 'tool_error' end,
       case status when 'failed' then 'the tool did not answer' end, at, at, at + '1 s', at + interval '1 s' + random() * interval '20 s'
from (select n, now() - (:count - n) * interval '1 week' / :count - interval '1 min' as at,
             case when n % 50 = 0 then 'failed' else 'completed' end::taskq.status as status
      from generate_series(1, :count) n) past, lateral (select pg_temp.made(at) as id) i;
insert into taskq.attempts (task_id, attempt, lease, kind, message, started_at, finished_at)
select id, 1, nextval('taskq.lease_numbers'), 'tool_error', 'the tool did not answer', started_at, finished_at
from taskq.tasks where status = 'failed';
insert into taskq.events (at, task_id, verb, "from", "to", actor, reason)
select finished_at, id, 'fail', 'in_progress', 'failed', 'worker x', 'the tool did not answer' from taskq.tasks where status = 'failed';

create temporary table missions as
select m, pg_temp.made(now() - m * interval '20 min') as id, now() - m * interval '20 min' as at from generate_series(1, 50) m;
insert into taskq.tasks (id, role, name, payload, status, max_attempts, timeout, mission_id, parent_id, attempt, depends_on, has_dependents,
                         waiting_on, result, run_at, created_at, started_at, finished_at, requires_approval)
select case n when 0 then m.id else pg_temp.made(m.at) end, 'role_' || n % 20, 'mission ' || m.m || ', step ' || n, '{"objective": "Do a part of it."}',
       status, 4, '30 min', m.id, case when n > 0 then m.id end, case status when 'completed' then 1 else 0 end, '{}', n < 19,
       case status when 'blocked' then 1 else 0 end, case status when 'completed' then '{"done": true}'::jsonb end, m.at, m.at,
       case status when 'completed' then m.at + n * interval '10 s' end, case status when 'completed' then m.at + (n + 1) * interval '10 s' end,
       status = 'awaiting_approval'
from missions m, generate_series(0, 19) n,
     lateral (select case when m.m > 20 or n < 10 then 'completed' when n = 10 then 'awaiting_approval' else 'blocked' end::taskq.status as status) s;
insert into taskq.dependencies (task_id, depends_on, on_failure, met)
select t.id, p.id, 'fail', false
from (select id, mission_id, row_number() over (partition by mission_id order by name) as n from taskq.tasks where mission_id in (select id from missions)) t
join (select id, mission_id, row_number() over (partition by mission_id order by name) as n from taskq.tasks where mission_id in (select id from missions)) p
  on p.mission_id = t.mission_id and p.n = t.n - 1;
insert into taskq.messages (task_id, seq, role, body, model, usage, attempt, cost, created_at)
select t.id, s, case s % 2 when 0 then 'user' else 'assistant' end, '[{"type": "text", "text": "' || repeat('What I found. ', 40) || '"}]', 'a-model',
       case s % 2 when 1 then '{"input_tokens": 1000, "output_tokens": 200}'::jsonb end, 1, case s % 2 when 1 then 0.01 end, t.started_at + s * interval '1 s'
from taskq.tasks t, generate_series(0, 9) s where t.mission_id in (select id from missions) and t.status = 'completed';
insert into taskq.tool_calls (task_id, call_id, turn, place, tool, actor, effect, status, input, output, attempt, proposed_at, started_at, finished_at)
select t.id, 'call_' || s, s, 0, 'read_file', t.role, 'read', 'success', '{"path": "a.txt"}', 'text', 1, t.started_at, t.started_at, t.started_at + '1 s'
from taskq.tasks t, generate_series(1, 9, 2) s where t.mission_id in (select id from missions) and t.status = 'completed';
insert into taskq.roles (name, description) select 'role_' || n, 'One of twenty.' from generate_series(0, 19) n;
