-- The past and the future of a queue: so many finished tasks, and so many that are not due, of one role.
-- Run with session_replication_role = replica: triggers would look at each row, and finished ones cannot be inserted.
insert into taskq.tasks (id, role, payload, status, max_attempts, timeout, mission_id, attempt, result, run_at, created_at, started_at, finished_at)
select id, 'noop', '{"n": 1}', 'completed', 4, '30 min', id, 1, '{"done": true}', at, at, at, at
from (select taskq.uuid7() as id, now() - interval '1 day' * random() as at from generate_series(1, :count)) past;

insert into taskq.tasks (id, role, payload, max_attempts, timeout, mission_id, run_at)
select id, 'noop', '{"n": 1}', 4, '30 min', id, now() + interval '1 hour' + interval '1 day' * random()
from (select taskq.uuid7() as id from generate_series(1, :count)) future;
