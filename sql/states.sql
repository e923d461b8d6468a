-- The states of a task, and the arrows between them.

create schema if not exists taskq;
comment on schema taskq is 'taskq: a job queue whose main job is running AI agents.  Start at taskq.tasks.';

create type taskq.status as enum
  ('blocked', 'awaiting_approval', 'queued', 'in_progress', 'completed', 'failed', 'cancelled');
comment on type taskq.status is
  'What a task waits for: other tasks, a person, a worker, its own end; completed, failed and cancelled are final.';

create domain taskq.error_kind as text constraint a_known_kind_of_error check (value in (
  'timeout', 'worker_lost', 'dependency_failed', 'agent_error', 'tool_error', 'validation_error',
  'external_service', 'rate_limited', 'budget_exceeded', 'rejected', 'cancelled', 'unknown'));
comment on domain taskq.error_kind is 'Why an attempt or a task ended badly.';

-- What one value alone can get wrong is checked in domains, when it is set: the constraints of a table are looked at
-- again by every UPDATE of the row, and a task is written three times (0.7 µs of 15).
create domain taskq.role_name as text
  constraint role_is_a_name_of_at_most_200_characters check (length(value) between 1 and 200);
comment on domain taskq.role_name is 'What a task needs; the routing key.';

create domain taskq.object as jsonb constraint payload_is_an_object check (jsonb_typeof(value) = 'object');
comment on domain taskq.object is 'A JSON object.';

create domain taskq.failure_policy as text
  constraint on_dependency_failure_is_fail_run_or_wait check (value in ('fail', 'run', 'wait'));
comment on domain taskq.failure_policy is 'What a failed or cancelled dependency means for the dependent.';

create domain taskq.attempts_allowed as smallint constraint max_attempts_is_positive check (value > 0);
comment on domain taskq.attempts_allowed is 'How many attempts a task may take.';

create domain taskq.time_allowed as interval constraint timeout_is_positive check (value > interval '0');
comment on domain taskq.time_allowed is 'How long an attempt may take.';

create domain taskq.fraction as real constraint progress_is_a_fraction check (value between real '0' and real '1');
comment on domain taskq.fraction is 'How far something is, 0 to 1.';

create domain taskq.left_to_come as integer constraint waiting_on_is_not_negative check (value >= 0);
comment on domain taskq.left_to_come is 'How many of something are still to come.';

create table taskq.arrows (
  verb  text not null,
  "from" taskq.status not null,
  "to"   taskq.status not null,
  primary key (verb, "from", "to")
);
comment on table taskq.arrows is 'Every change of status that exists; the guard on taskq.tasks refuses all others.';
comment on column taskq.arrows.verb is 'What happens to the row.';
comment on column taskq.arrows."from" is 'The status that is left.';
comment on column taskq.arrows."to" is 'The status that is entered.';

insert into taskq.arrows (verb, "from", "to") values
  ('unblock',  'blocked',           'awaiting_approval'),
  ('unblock',  'blocked',           'queued'),
  ('approve',  'awaiting_approval', 'queued'),
  ('reject',   'awaiting_approval', 'cancelled'),
  ('claim',    'queued',            'in_progress'),
  ('complete', 'in_progress',       'completed'),
  ('complete', 'queued',            'completed'),
  ('complete', 'queued',            'failed'),
  ('retry',    'in_progress',       'queued'),
  ('release',  'in_progress',       'queued'),
  ('reap',     'in_progress',       'queued'),
  ('reap',     'in_progress',       'failed'),
  ('wait',     'in_progress',       'blocked'),
  ('wait',     'in_progress',       'awaiting_approval'),
  ('fail',     'in_progress',       'failed'),
  ('cancel',   'blocked',           'cancelled'),
  ('cancel',   'awaiting_approval', 'cancelled'),
  ('cancel',   'queued',            'cancelled'),
  ('cancel',   'in_progress',       'cancelled'),
  ('cascade',  'blocked',           'failed'),
  ('cascade',  'blocked',           'cancelled'),
  ('revive',   'failed',            'queued'),
  ('revive',   'failed',            'blocked'),
  ('revive',   'cancelled',         'queued'),
  ('revive',   'cancelled',         'blocked');

-- Version 7 ids: rows that are inserted together lie together in every index.
-- PostgreSQL 18 has them built in; before, RFC 9562 section 5.7: 48 bits of Unix milliseconds, version, variant, random.
do $$
begin
  if current_setting('server_version_num')::int >= 180000 then
    create function taskq.uuid7() returns uuid language sql volatile parallel safe
    return uuidv7();
  else
    create function taskq.uuid7() returns uuid language sql volatile parallel safe
    return encode(
      set_bit(set_bit(
        overlay(uuid_send(gen_random_uuid())
                placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                from 1 for 6),
        52, 1), 53, 1), 'hex')::uuid;
  end if;
end $$;
comment on function taskq.uuid7() is 'A new version 7 UUID: the time in milliseconds, then random bits.';
