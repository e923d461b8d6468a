-- Evidence: what was checked of a submitted result before it counted.

-- record_checks: a submission was checked; checked again after a crash, the later findings stand.
create function taskq.record_checks(_worker uuid, _id uuid, _lease bigint, _round smallint, _checks jsonb) returns void
language plpgsql as $$
begin
  perform taskq.hold(_worker, _id, _lease);
  delete from taskq.checks where task_id = _id and round = _round;
  insert into taskq.checks (task_id, round, name, passed, detail)
  select _id, _round, left(c.name, 500), c.passed, left(c.detail, 4000)
  from jsonb_to_recordset(_checks) c (name text, passed boolean, detail text);
end $$;
comment on function taskq.record_checks(uuid, uuid, bigint, smallint, jsonb) is
  'For workers: keeps what was checked of a submission of a running task (name, passed, detail); TQ002 when the lease is lost.';

create view taskq.evidence as
select c.task_id, t.mission_id, t.role, t.status, c.round, c.name, c.passed, c.detail, c.at
from taskq.checks c join taskq.tasks t on t.id = c.task_id;
comment on view taskq.evidence is 'What was checked of submitted results: select … where task_id = … order by round, at.';
comment on column taskq.evidence.task_id is 'The task.';
comment on column taskq.evidence.mission_id is 'Its mission.';
comment on column taskq.evidence.role is 'Its role.';
comment on column taskq.evidence.status is 'Its status now.';
comment on column taskq.evidence.round is 'Which submission, from 1.';
comment on column taskq.evidence.name is 'What was checked.';
comment on column taskq.evidence.passed is 'Whether it held.';
comment on column taskq.evidence.detail is 'What was found, cut at 4,000 characters.';
comment on column taskq.evidence.at is 'When.';
