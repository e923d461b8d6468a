-- What Mission Control remembers: who may come in, which roles pause, saved missions, and what people changed.

create table taskq.tokens (
  id           uuid primary key default taskq.uuid7(),
  name         text not null,
  scopes       text[] not null,
  digest       bytea not null unique,
  created_by   text not null default session_user,
  created_at   timestamptz not null default now(),
  expires_at   timestamptz,
  last_used_at timestamptz,
  revoked_at   timestamptz,
  revoked_by   text,
  constraint a_token_has_a_name check (length(name) between 1 and 200),
  constraint scopes_are_read_dispatch_operate_or_admin check (cardinality(scopes) > 0 and scopes <@ '{read,dispatch,operate,admin}'),
  constraint a_digest_is_a_sha_256 check (length(digest) = 32)
);
create unique index one_live_token_per_name on taskq.tokens (name) where revoked_at is null;
comment on table taskq.tokens is 'Who may come in over HTTP, and for what.  The secrets are not here: only their digests.';
comment on column taskq.tokens.id is 'The token.';
comment on column taskq.tokens.name is 'What people call it; one live token has a name.';
comment on column taskq.tokens.scopes is 'What it may do: read, dispatch, operate, admin.';
comment on column taskq.tokens.digest is 'SHA-256 of the secret.';
comment on column taskq.tokens.created_by is 'Who made it.';
comment on column taskq.tokens.created_at is 'When.';
comment on column taskq.tokens.expires_at is 'Until when it is good; null is until it is revoked.';
comment on column taskq.tokens.last_used_at is 'When it was last shown, to the minute.';
comment on column taskq.tokens.revoked_at is 'When it was revoked.';
comment on column taskq.tokens.revoked_by is 'Who revoked it.';

create table taskq.sessions (
  digest     bytea primary key,
  token_id   uuid not null references taskq.tokens on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  constraint a_digest_is_a_sha_256 check (length(digest) = 32)
);
create index sessions_of_a_token on taskq.sessions (token_id);
comment on table taskq.sessions is 'The browsers that are logged in, each by a token.';
comment on column taskq.sessions.digest is 'SHA-256 of what the browser shows.';
comment on column taskq.sessions.token_id is 'The token that it logged in with; it can do no more, and ends with it.';
comment on column taskq.sessions.created_at is 'When it logged in.';
comment on column taskq.sessions.expires_at is 'When it must log in again.';

create table taskq.role_pauses (
  role   text primary key,
  reason text,
  actor  text not null,
  at     timestamptz not null default clock_timestamp()
);
comment on table taskq.role_pauses is 'The roles that nobody claims until somebody resumes them.';
comment on column taskq.role_pauses.role is 'The role.';
comment on column taskq.role_pauses.reason is 'Why.';
comment on column taskq.role_pauses.actor is 'Who paused it.';
comment on column taskq.role_pauses.at is 'Since when.';

create table taskq.templates (
  name       text primary key,
  task       taskq.object not null,
  created_by text not null default session_user,
  updated_at timestamptz not null default now(),
  constraint a_template_has_a_name check (length(name) between 1 and 200)
);
comment on table taskq.templates is 'Saved missions: what the form for a new one starts from.';
comment on column taskq.templates.name is 'What people call it.';
comment on column taskq.templates.task is 'The columns of the task, as taskq.enqueue takes them.';
comment on column taskq.templates.created_by is 'Who saved it last.';
comment on column taskq.templates.updated_at is 'When.';

alter table taskq.roles
  add column repositories text[] not null default '{}',
  add column model text,
  add column kind text not null default 'function',
  add constraint kind_is_function_or_agent check (kind in ('function', 'agent'));
comment on column taskq.roles.repositories is 'Globs over the checkouts that it may change.';
comment on column taskq.roles.model is 'The model that plays it; null for a function.';
comment on column taskq.roles.kind is 'function, or agent: a model plays it.';

alter table taskq.tool_calls
  add column declined_by text,
  add column declined_note text,
  add column amended_input text,
  add constraint what_is_declined_is_not_approved check (declined_by is null or approved_by is null);
comment on column taskq.tool_calls.declined_by is 'Who refused it; the agent is told, and it does not run.';
comment on column taskq.tool_calls.declined_note is 'Why.';
comment on column taskq.tool_calls.amended_input is 'What ran in place of input, as JSON text: approved_by changed the arguments.';

alter table taskq.events add column role text;
comment on column taskq.events.role is 'To which role, where it is no single task.';

-- a feed in the order of time, and its last day
create index events_by_time on taskq.events (at);

-- What finished lately, for the figures of a day and for pruning.  A btree entry for each finished task would cost several
-- times as much: rows finish nearly in the order in which they lie.
create index finishes on taskq.tasks using brin (finished_at) with (pages_per_range = 16);

-- the ledger of all tasks in the order of time: a page of it is looked for among all calls otherwise
create index calls_by_time on taskq.tool_calls (proposed_at, task_id, call_id);
