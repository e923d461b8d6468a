-- What is remembered of durable work: turns, tool calls, steps, signals, policies, gates, budgets, checks.

alter table taskq.messages
  add column request_id text,
  add column cost numeric(14, 6);
comment on column taskq.messages.request_id is 'The provider''s id of the request, for its support.';
comment on column taskq.messages.cost is 'What the turn cost in US dollars, by the price table; null where the price is not known.';

create domain taskq.effect as text
  constraint effect_is_read_idempotent_transactional_or_unsafe check (value in ('read', 'idempotent', 'transactional', 'unsafe'));
comment on domain taskq.effect is 'What a tool does to the world, and so what may follow a crash: run again, run again with the same key, rolled back, unknown.';

create table taskq.tool_calls (
  task_id        uuid not null references taskq.tasks on delete cascade,
  call_id        text not null,
  turn           integer not null,
  place          smallint not null,
  tool           text not null,
  actor          text not null,
  effect         taskq.effect not null,
  status         text not null default 'proposed',
  input          text not null,
  output         text,
  artifact       text,
  needs_approval boolean not null default false,
  approved_by    text,
  attempt        smallint not null,
  proposed_at    timestamptz not null default clock_timestamp(),
  started_at     timestamptz,
  finished_at    timestamptz,
  primary key (task_id, call_id),
  constraint a_known_status check (status in ('proposed', 'started', 'success', 'error', 'timeout', 'blocked', 'unknown')),
  constraint what_has_ended_has_an_end check ((status in ('proposed', 'started')) = (finished_at is null))
);
create index tool_calls_of_a_turn on taskq.tool_calls (task_id, turn, place);
comment on table taskq.tool_calls is 'The ledger of tool calls: the intent is committed before the effect, the outcome after it.';
comment on column taskq.tool_calls.task_id is 'The task.';
comment on column taskq.tool_calls.call_id is 'The provider''s id of the call; with the task it is the idempotency key of the effect.';
comment on column taskq.tool_calls.turn is 'The seq of the message that asked for it.';
comment on column taskq.tool_calls.place is 'Its place among the calls of that message, from 0.';
comment on column taskq.tool_calls.tool is 'The tool.';
comment on column taskq.tool_calls.actor is 'The role that called it.';
comment on column taskq.tool_calls.effect is 'What the tool declares that it does to the world.';
comment on column taskq.tool_calls.status is 'proposed (asked for), started (about to act), then success, error, timeout, blocked (refused) or unknown (a crash hid the outcome).';
comment on column taskq.tool_calls.input is 'The arguments as JSON text, cut at 4,000 characters.';
comment on column taskq.tool_calls.output is 'The answer, cut at 1,000 characters; all that the model saw is in taskq.messages.';
comment on column taskq.tool_calls.artifact is 'What it left behind: a path, an address, the id of a task.';
comment on column taskq.tool_calls.needs_approval is 'Whether a person must approve it first.';
comment on column taskq.tool_calls.approved_by is 'Who approved it.';
comment on column taskq.tool_calls.attempt is 'The attempt that ran it last.';
comment on column taskq.tool_calls.proposed_at is 'When the model asked for it.';
comment on column taskq.tool_calls.started_at is 'When its intent was committed last.';
comment on column taskq.tool_calls.finished_at is 'When its outcome was committed.';

create table taskq.policies (
  task_id uuid primary key references taskq.tasks on delete cascade,
  policy  jsonb not null,
  at      timestamptz not null default clock_timestamp()
);
comment on table taskq.policies is 'What a running agent may do, as it was when it began: a later manifest can narrow it, never widen it.';
comment on column taskq.policies.task_id is 'The task.';
comment on column taskq.policies.policy is 'Lists: tools that it may call, repositories that it may change, hosts that it may ask, delegates that it may give work to.';
comment on column taskq.policies.at is 'When it was taken.';

create table taskq.steers (
  id      bigint generated always as identity primary key,
  task_id uuid not null references taskq.tasks on delete cascade,
  verb    text not null,
  text    text not null,
  actor   text not null,
  at      timestamptz not null default clock_timestamp(),
  seq     integer,
  done_at timestamptz,
  constraint verb_is_say_or_pause check (verb in ('say', 'pause'))
);
create index steers_to_come on taskq.steers (task_id, id) where done_at is null;
comment on table taskq.steers is 'What people say to a running agent: it hears them before its next turn.';
comment on column taskq.steers.id is 'In order of writing.';
comment on column taskq.steers.task_id is 'The task.';
comment on column taskq.steers.verb is 'say: a message before the next turn; pause: it waits for an approval before the next turn.';
comment on column taskq.steers.text is 'The message, or why it pauses.';
comment on column taskq.steers.actor is 'Who said it.';
comment on column taskq.steers.at is 'When.';
comment on column taskq.steers.seq is 'The message of the conversation that it became.';
comment on column taskq.steers.done_at is 'When the agent heard it.';

create table taskq.steps (
  task_id uuid not null references taskq.tasks on delete cascade,
  name    text not null,
  place   integer not null,
  kind    text not null,
  result  text,
  wake_at timestamptz,
  attempt smallint not null,
  at      timestamptz not null default clock_timestamp(),
  done_at timestamptz,
  primary key (task_id, name),
  unique (task_id, place),
  constraint a_known_kind_of_step check (kind in ('step', 'sleep', 'signal', 'spawn'))
);
comment on table taskq.steps is 'The durable steps of a task: what was recorded once is returned ever after.';
comment on column taskq.steps.task_id is 'The task.';
comment on column taskq.steps.name is 'The name of the step, unique in its task.';
comment on column taskq.steps.place is 'In the order in which they were recorded, from 1.';
comment on column taskq.steps.kind is 'step (a function''s result), sleep, signal (waits for it), spawn (children).';
comment on column taskq.steps.result is 'The result as JSON text, byte for byte.';
comment on column taskq.steps.wake_at is 'When a sleep is over, or the wait for a signal.';
comment on column taskq.steps.attempt is 'The attempt that recorded it.';
comment on column taskq.steps.at is 'When it began.';
comment on column taskq.steps.done_at is 'When it was done; null while it is waited for.';

create table taskq.signals (
  task_id uuid not null references taskq.tasks on delete cascade,
  name    text not null,
  payload jsonb,
  actor   text not null,
  at      timestamptz not null default clock_timestamp(),
  primary key (task_id, name)
);
comment on table taskq.signals is 'Signals that were sent to tasks, whether these wait for them already or not.';
comment on column taskq.signals.task_id is 'The task.';
comment on column taskq.signals.name is 'The signal; the first one of a name counts.';
comment on column taskq.signals.payload is 'What it says.';
comment on column taskq.signals.actor is 'Who sent it.';
comment on column taskq.signals.at is 'When.';

create table taskq.gates (
  provider            text not null,
  model               text not null,
  requests_per_minute integer,
  tokens_per_minute   bigint,
  requests            double precision not null default 0,
  tokens              double precision not null default 0,
  filled_at           timestamptz not null default clock_timestamp(),
  paused_until        timestamptz,
  reason              text,
  set_by              text,
  primary key (provider, model),
  constraint limits_are_positive check (requests_per_minute > 0 and tokens_per_minute > 0)
);
comment on table taskq.gates is 'The rate limits of a provider''s models, shared by all workers: token buckets, and pauses.';
comment on column taskq.gates.provider is 'The provider, such as anthropic.';
comment on column taskq.gates.model is 'The model; * is the whole provider.';
comment on column taskq.gates.requests_per_minute is 'The limit of requests; null is none known.';
comment on column taskq.gates.tokens_per_minute is 'The limit of input and output tokens together; null is none known.';
comment on column taskq.gates.requests is 'How many requests were left at filled_at.';
comment on column taskq.gates.tokens is 'How many tokens were left at filled_at.';
comment on column taskq.gates.filled_at is 'When the two were counted.';
comment on column taskq.gates.paused_until is 'Nobody asks before that; infinity until somebody resumes it.';
comment on column taskq.gates.reason is 'Why it is paused, or who resumed it.';
comment on column taskq.gates.set_by is 'Who set the limits; null when they come from the provider''s headers.';

create table taskq.budgets (
  scope         text not null,
  key           text not null,
  day           date,
  tokens        bigint,
  cost          numeric(14, 6),
  turns         integer,
  tool_calls    integer,
  seconds       double precision,
  tokens_used     bigint not null default 0,
  cost_used       numeric(14, 6) not null default 0,
  turns_used      integer not null default 0,
  tool_calls_used integer not null default 0,
  seconds_used    double precision not null default 0,
  set_by        text,
  primary key (scope, key),
  constraint scope_is_task_mission_or_role check (scope in ('task', 'mission', 'role'))
);
comment on table taskq.budgets is 'What may be spent, and what was: by task with all that descends from it, by mission, by role and day.';
comment on column taskq.budgets.scope is 'task, mission, or role (for one day, in UTC).';
comment on column taskq.budgets.key is 'The id of the task or mission, or the role.';
comment on column taskq.budgets.day is 'Of a role: the day that is being counted.';
comment on column taskq.budgets.tokens is 'The limit of tokens, in and out; null is none.';
comment on column taskq.budgets.cost is 'The limit in US dollars.';
comment on column taskq.budgets.turns is 'The limit of model turns.';
comment on column taskq.budgets.tool_calls is 'The limit of tool calls.';
comment on column taskq.budgets.seconds is 'The limit of wall time while attempts run.';
comment on column taskq.budgets.tokens_used is 'Tokens spent, and reserved for calls under way.';
comment on column taskq.budgets.cost_used is 'US dollars spent, and reserved.';
comment on column taskq.budgets.turns_used is 'Turns taken, and reserved.';
comment on column taskq.budgets.tool_calls_used is 'Tool calls started.';
comment on column taskq.budgets.seconds_used is 'Seconds that attempts ran.';
comment on column taskq.budgets.set_by is 'Who set the limits; null when they are the manifest''s.';

create table taskq.clocks (
  task_id    uuid primary key references taskq.tasks on delete cascade,
  lease      bigint not null,
  counted_at timestamptz not null
);
comment on table taskq.clocks is 'Until when the running time of a task that is under a budget is counted.';
comment on column taskq.clocks.task_id is 'The task.';
comment on column taskq.clocks.lease is 'The attempt that was counted.';
comment on column taskq.clocks.counted_at is 'Until when.';

create table taskq.reservations (
  task_id uuid primary key references taskq.tasks on delete cascade,
  lease   bigint not null,
  seq     integer not null,
  tokens  bigint not null,
  cost    numeric(14, 6) not null,
  scopes  text[] not null,
  keys    text[] not null,
  at      timestamptz not null default clock_timestamp()
);
comment on table taskq.reservations is 'The worst case of a model call under way, already counted as used in its budgets.  One that a crash left stays used.';
comment on column taskq.reservations.task_id is 'The task.';
comment on column taskq.reservations.lease is 'The attempt that reserved.';
comment on column taskq.reservations.seq is 'The message that is asked for.';
comment on column taskq.reservations.tokens is 'Tokens at worst.';
comment on column taskq.reservations.cost is 'US dollars at worst.';
comment on column taskq.reservations.scopes is 'The scopes of the budgets that it counts in.';
comment on column taskq.reservations.keys is 'Their keys.';
comment on column taskq.reservations.at is 'When.';

create table taskq.checks (
  task_id uuid not null references taskq.tasks on delete cascade,
  round   smallint not null,
  name    text not null,
  passed  boolean not null,
  detail  text,
  at      timestamptz not null default clock_timestamp(),
  primary key (task_id, round, name)
);
comment on table taskq.checks is 'The evidence: what was checked of a submitted result before it counted.';
comment on column taskq.checks.task_id is 'The task.';
comment on column taskq.checks.round is 'Which submission, from 1.';
comment on column taskq.checks.name is 'What was checked.';
comment on column taskq.checks.passed is 'Whether it held.';
comment on column taskq.checks.detail is 'What was found, cut at 4,000 characters.';
comment on column taskq.checks.at is 'When.';
