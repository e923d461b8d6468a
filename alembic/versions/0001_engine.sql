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
-- What is remembered.

create sequence taskq.lease_numbers;
comment on sequence taskq.lease_numbers is 'Leases: new at every claim, never used again.';

create table taskq.tasks (
  id                    uuid primary key default taskq.uuid7(),
  role                  taskq.role_name not null,
  name                  text,
  payload               taskq.object not null default '{}',
  status                taskq.status not null default 'queued',
  priority              smallint not null default 0,
  run_at                timestamptz not null default now(),
  depends_on            uuid[] not null default '{}',
  on_dependency_failure taskq.failure_policy not null default 'fail',
  requires_approval     boolean not null default false,
  max_attempts          taskq.attempts_allowed not null,      -- the role's, or 4 (see admit)
  timeout               taskq.time_allowed not null,      -- the role's, or 30 min (see admit)
  dedup_key             text,
  concurrency_key       text,
  mission_id            uuid not null,          -- its own id for a root (see admit)
  parent_id             uuid references taskq.tasks,
  created_by            text default session_user,
  traceparent           text,
  rerun_of              uuid references taskq.tasks,

  attempt               smallint not null default 0,
  crashes               smallint not null default 0,
  lease                 bigint,
  worker_id             uuid,
  lease_expires_at      timestamptz,
  heartbeat_at          timestamptz,
  cancel_requested_at   timestamptz,
  progress              taskq.fraction,
  progress_note         text,
  result                jsonb,
  error                 text,
  error_kind            taskq.error_kind,
  approved_at           timestamptz,
  approved_by           text,
  created_at            timestamptz not null default now(),
  started_at            timestamptz,
  finished_at           timestamptz,
  waiting_on            taskq.left_to_come not null default 0,
  has_dependents        boolean not null default false,
  awaited               boolean not null default false,

  -- PostgreSQL reads the text of these anew for every statement that inserts or updates: constants of the column's own
  -- type and the order of the statuses (the final ones come last) make it short, 6 % of a lone INSERT
  constraint running_has_a_lease check ((status = 'in_progress') = (lease is not null)),
  constraint what_is_final_has_an_end check ((status >= 'completed') = (finished_at is not null)),
  constraint failed_says_why check (status <> 'failed' or error_kind is not null)
) with (
  fillfactor = 70,                        -- a row is written three times in its life: room for that on its own page
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_vacuum_cost_delay = 0
);

comment on table taskq.tasks is 'One row, one task: insert here to have work done.  Status changes only through the functions of this schema.';
comment on column taskq.tasks.id is 'Version 7 by default; a client may choose it, so that a whole graph fits in one INSERT, in any order.';
comment on column taskq.tasks.role is 'What the task needs; the routing key.  Workers that play this role claim it.';
comment on column taskq.tasks.name is 'A short name for people.';
comment on column taskq.tasks.payload is 'The input: a JSON object.';
comment on column taskq.tasks.status is 'What the task waits for; see taskq.explain(id).';
comment on column taskq.tasks.priority is 'Higher runs first, across all roles that a worker plays.';
comment on column taskq.tasks.run_at is 'Not before this time; once it has come and the task is queued, it can run.  Moved up to the moment when a waiting task became ready.';
comment on column taskq.tasks.depends_on is 'The tasks that must end before this one, as they were given; the live edges are taskq.dependencies.';
comment on column taskq.tasks.on_dependency_failure is 'What a failed or cancelled dependency means: fail with it, run all the same, or wait for its retry.';
comment on column taskq.tasks.requires_approval is 'Whether a person must approve before it is queued.';
comment on column taskq.tasks.max_attempts is 'How many attempts before it fails; a role that was declared with another number replaces the default.';
comment on column taskq.tasks.timeout is 'How long one attempt may take; a role that was declared with another limit replaces the default.';
comment on column taskq.tasks.dedup_key is 'At most one live task has a given key; a second INSERT is refused, taskq.enqueue returns the first.';
comment on column taskq.tasks.concurrency_key is 'Reserved: at most one task of a key runs at a time.  Refused until that is built.';
comment on column taskq.tasks.mission_id is 'The root task of the mission that this task belongs to: its own id, or its parent''s mission.';
comment on column taskq.tasks.parent_id is 'The task that this one descends from.';
comment on column taskq.tasks.created_by is 'Who inserted it; the database user by default.';
comment on column taskq.tasks.traceparent is 'W3C trace context of the caller.';
comment on column taskq.tasks.rerun_of is 'The task that this one runs again.';
comment on column taskq.tasks.attempt is 'The number of the current or last attempt; 0 before the first.  Released attempts are not counted.';
comment on column taskq.tasks.crashes is 'How many workers died under it; the third makes it fail as worker_lost.';
comment on column taskq.tasks.lease is 'The fence: every write of the running attempt must show this number.';
comment on column taskq.tasks.worker_id is 'The worker that holds the lease, or held it last.';
comment on column taskq.tasks.lease_expires_at is 'When the reaper may take the task, unless a heartbeat moves it on.';
comment on column taskq.tasks.heartbeat_at is 'The last heartbeat of the running attempt.';
comment on column taskq.tasks.cancel_requested_at is 'When somebody asked the running attempt to stop.';
comment on column taskq.tasks.progress is 'How far the attempt says it is, 0 to 1.';
comment on column taskq.tasks.progress_note is 'What the attempt says it is doing.';
comment on column taskq.tasks.result is 'What the handler returned.';
comment on column taskq.tasks.error is 'The last error, for people; all of them are in taskq.attempts.';
comment on column taskq.tasks.error_kind is 'The kind of the last error.';
comment on column taskq.tasks.approved_at is 'When it was approved.';
comment on column taskq.tasks.approved_by is 'Who approved it.';
comment on column taskq.tasks.created_at is 'When it was inserted.';
comment on column taskq.tasks.started_at is 'When the current or last attempt started.';
comment on column taskq.tasks.finished_at is 'When it became final.';
comment on column taskq.tasks.waiting_on is 'How many dependencies it still waits for.';
comment on column taskq.tasks.has_dependents is 'Whether any task ever depended on this one; spares the others a look at the edges when they end.';
comment on column taskq.tasks.awaited is 'Whether some client wants to be told when it ends.';

-- The ready index holds only what can run, in the order in which it is claimed.
create index ready on taskq.tasks (role, priority desc, run_at, id) where status = 'queued';
-- By lease, not by worker: leases only grow, so entries are added on the last page; who looks for a worker's looks through the few.
create unique index a_lease_is_held_once on taskq.tasks (lease) where status = 'in_progress';
create unique index one_live_task_per_dedup_key on taskq.tasks (dedup_key)
  where dedup_key is not null and status in ('blocked', 'awaiting_approval', 'queued', 'in_progress');
-- For people only.  Not `where status in (…)`: then every join on blocked rows would be planned to start from here while
-- the statistics say that there are few, and a cascade would be quadratic.
create index waiting_tasks on taskq.tasks (status) where status <> 'queued' and lease is null and finished_at is null;
create index missions on taskq.tasks (mission_id) where mission_id <> id;   -- the root is found by its id; a lone task pays nothing
create index failures on taskq.tasks (finished_at) where status = 'failed';
create index children on taskq.tasks (parent_id) where parent_id is not null;
create index reruns on taskq.tasks (rerun_of) where rerun_of is not null;

create table taskq.dependencies (
  task_id    uuid not null references taskq.tasks on delete cascade,
  depends_on uuid not null references taskq.tasks on delete cascade,
  on_failure taskq.failure_policy not null,
  met        boolean not null default false,
  primary key (task_id, depends_on),
  constraint nothing_depends_on_itself check (task_id <> depends_on)
);
create index dependents on taskq.dependencies (depends_on);
comment on table taskq.dependencies is 'The edges: task_id waits for depends_on.';
comment on column taskq.dependencies.task_id is 'The dependent: it waits.';
comment on column taskq.dependencies.depends_on is 'The parent: it must end first.';
comment on column taskq.dependencies.on_failure is 'What it means for the dependent when the parent fails or is cancelled.';
comment on column taskq.dependencies.met is 'Whether the dependent already ran past this edge and waits for others now.';

create table taskq.roles (
  name         text primary key,
  description  text,
  timeout      interval,
  max_attempts smallint,
  backoff      interval[] not null default '{30 s, 2 min, 10 min}',
  declared_at  timestamptz not null default now(),
  constraint backoff_has_a_step check (cardinality(backoff) > 0)
);
comment on table taskq.roles is 'What the workers declared of the roles that they play.';
comment on column taskq.roles.name is 'The role.';
comment on column taskq.roles.description is 'What it does, for people.';
comment on column taskq.roles.timeout is 'The timeout of its tasks that name none.';
comment on column taskq.roles.max_attempts is 'The attempts of its tasks that name none.';
comment on column taskq.roles.backoff is 'The waits before the second, third, … attempt; the last one stands for all after it.  Jitter is added.';
comment on column taskq.roles.declared_at is 'When a worker last declared it.';

create table taskq.workers (
  id            uuid primary key,
  name          text not null,
  roles         text[] not null,
  concurrency   integer not null,
  version       text not null,
  lease         interval not null,
  draining      boolean not null default false,
  running       integer not null default 0,
  backend_pid   integer,
  backend_start timestamptz,
  missing_since timestamptz,
  trouble       text,
  started_at    timestamptz not null default now(),
  heartbeat_at  timestamptz not null default now()
);
comment on table taskq.workers is 'The worker processes that are alive, or were a moment ago.';
comment on column taskq.workers.id is 'New at every start of a process.';
comment on column taskq.workers.name is 'Host and process id, for people.';
comment on column taskq.workers.roles is 'The roles that it plays.';
comment on column taskq.workers.concurrency is 'Its slots: how many tasks it runs at once.';
comment on column taskq.workers.version is 'The version of taskq that it runs.';
comment on column taskq.workers.lease is 'How long it is believed to live after a heartbeat.';
comment on column taskq.workers.draining is 'Whether it is stopping: it claims nothing and finishes what it has.';
comment on column taskq.workers.running is 'How many tasks it ran at its last heartbeat; others keep an eye on it while there are any.';
comment on column taskq.workers.backend_pid is 'Its database session; null behind a pooler, where a session says nothing about a process.';
comment on column taskq.workers.backend_start is 'When that session began; with the pid it names the session for ever.';
comment on column taskq.workers.missing_since is 'When its session was first found gone.';
comment on column taskq.workers.trouble is 'What it says is wrong with itself, such as a blocked event loop.';
comment on column taskq.workers.started_at is 'When it started.';
comment on column taskq.workers.heartbeat_at is 'Its last heartbeat.';

create table taskq.sleepers (
  role      text not null,
  worker_id uuid not null references taskq.workers on delete cascade,
  primary key (role, worker_id)
);
create index sleepers_of_a_worker on taskq.sleepers (worker_id);
comment on table taskq.sleepers is 'The workers that want the bell, by role.  The bell rings only when someone sleeps.';
comment on column taskq.sleepers.role is 'The role that it would wake for.';
comment on column taskq.sleepers.worker_id is 'Who sleeps.';

create table taskq.attempts (
  task_id     uuid not null references taskq.tasks on delete cascade,
  attempt     smallint not null,
  lease       bigint not null,
  worker_id   uuid,
  kind        taskq.error_kind not null,
  message     text,
  traceback   text,
  started_at  timestamptz,
  finished_at timestamptz not null default now(),
  primary key (task_id, lease)
);
comment on table taskq.attempts is 'The attempts that did not succeed.  The one that did is the task itself.';
comment on column taskq.attempts.task_id is 'The task.';
comment on column taskq.attempts.attempt is 'Which attempt.';
comment on column taskq.attempts.lease is 'Its lease.';
comment on column taskq.attempts.worker_id is 'Where it ran.';
comment on column taskq.attempts.kind is 'Why it ended.';
comment on column taskq.attempts.message is 'The error, cut at 8 KB.';
comment on column taskq.attempts.traceback is 'Where it was raised, cut at 32 KB.';
comment on column taskq.attempts.started_at is 'When it started.';
comment on column taskq.attempts.finished_at is 'When it ended.';

create table taskq.events (
  id       bigint generated always as identity primary key,
  at       timestamptz not null default clock_timestamp(),
  task_id  uuid references taskq.tasks on delete cascade,
  verb     text not null,
  "from"   taskq.status,
  "to"     taskq.status,
  actor    text not null,
  reason   text
);
create index events_of_a_task on taskq.events (task_id, id);
comment on table taskq.events is 'Who did what and why: operators, failures, reaps, cascades.  The way of success writes none.';
comment on column taskq.events.id is 'In order of writing.';
comment on column taskq.events.at is 'When.';
comment on column taskq.events.task_id is 'To which task.';
comment on column taskq.events.verb is 'What was done: the verb of the arrow.';
comment on column taskq.events."from" is 'The status before.';
comment on column taskq.events."to" is 'The status after.';
comment on column taskq.events.actor is 'Who did it: a person, a worker, the reaper.';
comment on column taskq.events.reason is 'Why.';

create table taskq.logs (
  id      bigint generated always as identity primary key,
  task_id uuid not null references taskq.tasks on delete cascade,
  attempt smallint not null,
  at      timestamptz not null default clock_timestamp(),
  line    text not null
);
create index logs_of_a_task on taskq.logs (task_id, id);
comment on table taskq.logs is 'What handlers said with task.log, for people.';
comment on column taskq.logs.id is 'In order of writing.';
comment on column taskq.logs.task_id is 'The task.';
comment on column taskq.logs.attempt is 'Which attempt.';
comment on column taskq.logs.at is 'When.';
comment on column taskq.logs.line is 'The line, cut at 8 KB.';

create table taskq.messages (
  task_id     uuid not null references taskq.tasks on delete cascade,
  seq         integer not null,
  role        text not null,
  body        text not null,
  stop_reason text,
  model       text,
  usage       jsonb,
  simulated   boolean not null default false,
  attempt     smallint not null,
  created_at  timestamptz not null default clock_timestamp(),
  primary key (task_id, seq),
  constraint role_is_user_or_assistant check (role in ('user', 'assistant'))
);
comment on table taskq.messages is 'The conversation of an agent, one committed row per finished message.';
comment on column taskq.messages.task_id is 'The task.';
comment on column taskq.messages.seq is 'The place in the conversation, from 0.';
comment on column taskq.messages.role is 'Who speaks: user (us) or assistant (the model).';
comment on column taskq.messages.body is 'The content as JSON text, byte for byte: jsonb would reorder keys and refuse some strings.';
comment on column taskq.messages.stop_reason is 'Why the model stopped.';
comment on column taskq.messages.model is 'The model that answered.';
comment on column taskq.messages.usage is 'The tokens of this turn, as the provider counts them.';
comment on column taskq.messages.simulated is 'Whether the offline fake produced it.';
comment on column taskq.messages.attempt is 'The attempt that committed it.';
comment on column taskq.messages.created_at is 'When it was committed.';

create table taskq.laid (
  digest text primary key,
  at     timestamptz not null default now()
);
comment on table taskq.laid is 'Which functions, triggers and views were laid over these tables last: one row, kept by taskq migrate.';
comment on column taskq.laid.digest is 'SHA-256 of the files of the logic.';
comment on column taskq.laid.at is 'When.';
