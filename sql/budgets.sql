-- Budgets: the worst case is reserved before a call, the truth settled after it.
--
-- A call counts in every budget that its task is under: its own, those of its ancestors, its mission's, its role's of
-- the day.  They are locked in one order (scope, key), so two calls under overlapping budgets never wait in a circle.

-- budgets_of: which budgets this task is under, of those that exist.
create function taskq.budgets_of(_task taskq.tasks) returns table (scope text, key text)
language sql stable as $$
  with recursive up (id, parent_id) as (
    select _task.id, _task.parent_id
    union
    select t.id, t.parent_id from up join taskq.tasks t on t.id = up.parent_id),
  above (scope, key) as (
    select 'task', id::text from up
    union all select 'mission', _task.mission_id::text
    union all select 'role', _task.role)
  select b.scope, b.key from above a join taskq.budgets b on b.scope = a.scope and b.key = a.key
$$;
comment on function taskq.budgets_of(taskq.tasks) is 'The budgets that a task counts in: its own, its ancestors'', its mission''s and its role''s.';

-- today: the day of a role's budget.
create function taskq.today() returns date language sql volatile
return (clock_timestamp() at time zone 'UTC')::date;
comment on function taskq.today() is 'The day in UTC, by the database''s clock.';

-- hold_budgets: these budgets, locked in the one order; a role's begins anew with its day.
create function taskq.hold_budgets(_scopes text[], _keys text[]) returns void
language plpgsql as $$
begin
  perform from taskq.budgets b
  where (b.scope, b.key) in (select * from unnest(_scopes, _keys))
  order by b.scope, b.key for no key update;
  update taskq.budgets b
  set day = taskq.today(), tokens_used = 0, cost_used = 0, turns_used = 0, tool_calls_used = 0, seconds_used = 0
  where b.scope = 'role' and b.day is distinct from taskq.today() and (b.scope, b.key) in (select * from unnest(_scopes, _keys));
end $$;
comment on function taskq.hold_budgets(text[], text[]) is 'Locks these budgets in the order of scope and key; a role''s is set to nothing used when its day is over.';

-- count_seconds: the time that the attempt ran since it was last counted.
create function taskq.count_seconds(_task taskq.tasks, _scopes text[], _keys text[]) returns void
language plpgsql as $$
declare
  _now timestamptz := clock_timestamp();
  _since timestamptz := coalesce(
    (select c.counted_at from taskq.clocks c where c.task_id = _task.id and c.lease = _task.lease), _task.started_at, _now);
begin
  update taskq.budgets b
  set seconds_used = b.seconds_used + greatest(extract(epoch from _now - _since)::double precision, 0)
  where (b.scope, b.key) in (select * from unnest(_scopes, _keys));
  insert into taskq.clocks as c (task_id, lease, counted_at) values (_task.id, _task.lease, _now)
  on conflict (task_id) do update set lease = excluded.lease, counted_at = excluded.counted_at;
end $$;
comment on function taskq.count_seconds(taskq.tasks, text[], text[]) is 'Counts in these locked budgets how long the attempt ran since it was last counted.';

-- exceeded: a sentence on the first of these budgets that would not hold with so much more; null when all do.
create function taskq.exceeded(_scopes text[], _keys text[], _tokens bigint, _cost numeric, _turns integer, _tool_calls integer) returns text
language sql stable as $$
  select format('budget of %s %s: %s of %s %s, of which %s are used and %s are for the next call at worst',
                b.scope, b.key || case when b.scope = 'role' then ' today' else '' end,
                trim_scale(l.used + l.more), trim_scale(l.most), l.unit, trim_scale(l.used), trim_scale(l.more))
  from taskq.budgets b
  cross join lateral (values
    (1, 'tokens', b.tokens_used::numeric, _tokens::numeric, b.tokens::numeric),
    (2, 'US dollars', b.cost_used, _cost, b.cost),
    (3, 'turns', b.turns_used, _turns, b.turns),
    (4, 'tool calls', b.tool_calls_used, _tool_calls, b.tool_calls),
    (5, 'seconds', round(b.seconds_used::numeric, 1), 0, round(b.seconds::numeric, 1))) l (n, unit, used, more, most)
  where (b.scope, b.key) in (select * from unnest(_scopes, _keys))
    and l.used + l.more > l.most and (l.more > 0 or l.unit = 'seconds')
  order by b.scope, b.key, l.n limit 1
$$;
comment on function taskq.exceeded(text[], text[], bigint, numeric, integer, integer) is
  'A sentence that names the first of these budgets that so much more would exceed; null when there is none.';

-- use: so much more, or less, is used of these locked budgets.  A role's only if its day is still that day.
create function taskq.use(_scopes text[], _keys text[], _day date, _tokens bigint, _cost numeric, _turns integer, _tool_calls integer) returns void
language sql as $$
  update taskq.budgets b
  set tokens_used = b.tokens_used + _tokens, cost_used = b.cost_used + _cost,
      turns_used = b.turns_used + _turns, tool_calls_used = b.tool_calls_used + _tool_calls
  where (b.scope, b.key) in (select * from unnest(_scopes, _keys)) and (b.scope <> 'role' or b.day = _day)
$$;
comment on function taskq.use(text[], text[], date, bigint, numeric, integer, integer) is
  'Counts so much more, or less, as used of these locked budgets; of a role''s only while its day is that day.';

-- reserve: the worst case of a call is counted as used before it goes out, everywhere or nowhere.
-- A reservation that an earlier attempt left stays used: nobody can know what its call cost.
create function taskq.reserve(_task taskq.tasks, _seq integer, _tokens bigint, _cost numeric) returns text
language plpgsql as $$
declare
  _scopes text[];
  _keys text[];
  _refusal text;
begin
  if exists (select from taskq.reservations r where r.task_id = _task.id and r.lease = _task.lease and r.seq = _seq) then
    perform taskq.unreserve(_task.id);
  else
    delete from taskq.reservations r where r.task_id = _task.id;
  end if;
  select array_agg(b.scope), array_agg(b.key) into _scopes, _keys from taskq.budgets_of(_task) b;
  if _scopes is null then
    return null;
  end if;
  perform taskq.hold_budgets(_scopes, _keys);
  perform taskq.count_seconds(_task, _scopes, _keys);
  _refusal := taskq.exceeded(_scopes, _keys, _tokens, coalesce(_cost, 0), 1, 0);
  if _refusal is not null then
    return _refusal;
  end if;
  perform taskq.use(_scopes, _keys, taskq.today(), _tokens, coalesce(_cost, 0), 1, 0);
  insert into taskq.reservations (task_id, lease, seq, tokens, cost, scopes, keys)
  values (_task.id, _task.lease, _seq, _tokens, coalesce(_cost, 0), _scopes, _keys);
  return null;
end $$;
comment on function taskq.reserve(taskq.tasks, integer, bigint, numeric) is
  'For workers: counts the worst case of a model call as used in every budget of a locked task; null when all hold, else nothing is reserved and a sentence names the one that does not.';

-- settle: what the call really cost takes the place of what was reserved.
create function taskq.settle(_id uuid, _tokens bigint, _cost numeric) returns void
language plpgsql as $$
declare
  _held taskq.reservations;
  _task taskq.tasks;
begin
  delete from taskq.reservations r where r.task_id = _id returning * into _held;
  if not found then
    return;
  end if;
  select * into _task from taskq.tasks t where t.id = _id;
  perform taskq.hold_budgets(_held.scopes, _held.keys);
  perform taskq.use(_held.scopes, _held.keys, (_held.at at time zone 'UTC')::date,
                    _tokens - _held.tokens, coalesce(_cost, 0) - _held.cost, 0, 0);
  if _task.lease is not null then
    perform taskq.count_seconds(_task, _held.scopes, _held.keys);
  end if;
end $$;
comment on function taskq.settle(uuid, bigint, numeric) is
  'For workers: what a call used and cost takes the place of what was reserved for it; nothing happens where nothing is reserved.';

-- unreserve: the call did not happen; all of it is given back.
create function taskq.unreserve(_id uuid) returns void
language plpgsql as $$
declare
  _held taskq.reservations;
begin
  delete from taskq.reservations r where r.task_id = _id returning * into _held;
  if found then
    perform taskq.hold_budgets(_held.scopes, _held.keys);
    perform taskq.use(_held.scopes, _held.keys, (_held.at at time zone 'UTC')::date, -_held.tokens, -_held.cost, -1, 0);
  end if;
end $$;
comment on function taskq.unreserve(uuid) is 'For workers: a call did not happen; what was reserved for it is given back.';

-- count_call: one more tool call, in every budget or in none.
create function taskq.count_call(_task taskq.tasks) returns text
language plpgsql as $$
declare
  _scopes text[];
  _keys text[];
  _refusal text;
begin
  select array_agg(b.scope), array_agg(b.key) into _scopes, _keys from taskq.budgets_of(_task) b;
  if _scopes is null then
    return null;
  end if;
  perform taskq.hold_budgets(_scopes, _keys);
  perform taskq.count_seconds(_task, _scopes, _keys);
  _refusal := taskq.exceeded(_scopes, _keys, 0, 0, 0, 1);
  if _refusal is null then
    perform taskq.use(_scopes, _keys, taskq.today(), 0, 0, 0, 1);
  end if;
  return _refusal;
end $$;
comment on function taskq.count_call(taskq.tasks) is
  'For workers: counts a tool call in every budget of a locked task; null when all hold, else it is not counted and a sentence names the one that does not.';

-- declare_budget: what a role allows each of its tasks.  The first word stands: a later manifest cannot widen it.
create function taskq.declare_budget(_id uuid, _limits jsonb) returns void
language sql as $$
  insert into taskq.budgets (scope, key, tokens, cost, turns, tool_calls, seconds)
  select 'task', _id::text, l.tokens, l.cost, l.turns, l.tool_calls, l.seconds
  from jsonb_to_record(_limits) l (tokens bigint, cost numeric, turns integer, tool_calls integer, seconds double precision)
  on conflict (scope, key) do nothing
$$;
comment on function taskq.declare_budget(uuid, jsonb) is
  'For workers: the budget that a role gives each of its tasks ({tokens, cost, turns, tool_calls, seconds}); nothing happens when the task has one.';

-- declare_daily_budget: what a role may use in a day, as its manifest says; what a person set stands.
create function taskq.declare_daily_budget(_role text, _limits jsonb) returns void
language sql as $$
  insert into taskq.budgets as b (scope, key, day, tokens, cost, turns, tool_calls, seconds)
  select 'role', _role, taskq.today(), l.tokens, l.cost, l.turns, l.tool_calls, l.seconds
  from jsonb_to_record(_limits) l (tokens bigint, cost numeric, turns integer, tool_calls integer, seconds double precision)
  on conflict (scope, key) do update
  set tokens = excluded.tokens, cost = excluded.cost, turns = excluded.turns,
      tool_calls = excluded.tool_calls, seconds = excluded.seconds
  where b.set_by is null
    and (b.tokens, b.cost, b.turns, b.tool_calls, b.seconds)
        is distinct from (excluded.tokens, excluded.cost, excluded.turns, excluded.tool_calls, excluded.seconds)
$$;
comment on function taskq.declare_daily_budget(text, jsonb) is
  'For workers: the budget of a role for a day, as its manifest says; nothing happens when a person has set one.';

-- set_budget: a person sets or raises limits.  What is not named stays as it is; what is used stays used.
create function taskq.set_budget(_scope text, _key text, _limits jsonb, _actor text default null) returns void
language plpgsql security definer set search_path = '' as $$
declare
  _unknown text;
  _id text;
begin
  if _scope is null or _scope not in ('task', 'mission', 'role') then
    raise exception 'there is no scope "%"', _scope using errcode = 'TQ001', hint = 'it is task, mission or role';
  end if;
  select k into _unknown from jsonb_object_keys(_limits) k where k not in ('tokens', 'cost', 'turns', 'tool_calls', 'seconds') limit 1;
  if found then
    raise exception 'a budget has no "%"', _unknown using errcode = 'TQ001', hint = 'it has tokens, cost, turns, tool_calls and seconds';
  end if;
  if _scope <> 'role' then
    select t.id::text into _id from taskq.tasks t
    where t.id = case when _key ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then _key::uuid end;
    if not found then
      raise exception 'there is no task %', _key using errcode = 'TQ003', hint = 'insert it first; look for it with: taskq list';
    end if;
    _key := _id;   -- as the others write it
  end if;
  insert into taskq.budgets (scope, key, day) values (_scope, _key, case when _scope = 'role' then taskq.today() end)
  on conflict do nothing;
  perform taskq.hold_budgets(array[_scope], array[_key]);
  update taskq.budgets b
  set tokens = l.tokens, cost = l.cost, turns = l.turns, tool_calls = l.tool_calls, seconds = l.seconds, set_by = coalesce(_actor, session_user)
  from taskq.budgets old cross join lateral jsonb_populate_record(old, _limits) l
  where b.scope = _scope and b.key = _key and old.scope = _scope and old.key = _key;
end $$;
comment on function taskq.set_budget(text, text, jsonb, text) is
  'Sets limits of a task with its descendants, a mission, or a role for a day: {tokens, cost, turns, tool_calls, seconds}; null is none, what is not named stays, what is used stays used.';

create view taskq.spend as
select b.scope, b.key, b.day, u.tokens_used, b.tokens, u.cost_used, b.cost, u.turns_used, b.turns,
       u.tool_calls_used, b.tool_calls, u.seconds_used, b.seconds,
       greatest(u.tokens_used / nullif(b.tokens, 0)::numeric, u.cost_used / nullif(b.cost, 0), u.turns_used / nullif(b.turns, 0)::numeric,
                u.tool_calls_used / nullif(b.tool_calls, 0)::numeric, (u.seconds_used / nullif(b.seconds, 0))::numeric)::real as share,
       b.set_by
from taskq.budgets b
cross join lateral (
  select case when past then 0 else b.tokens_used end as tokens_used, case when past then 0 else b.cost_used end as cost_used,
         case when past then 0 else b.turns_used end as turns_used, case when past then 0 else b.tool_calls_used end as tool_calls_used,
         case when past then 0 else b.seconds_used end as seconds_used
  from (select b.scope = 'role' and b.day <> taskq.today()) o (past)) u
order by b.scope, b.key;
comment on view taskq.spend is 'What may be spent by budget, and what was; calls under way are counted at their worst.';
comment on column taskq.spend.scope is 'task (with its descendants), mission, or role (for a day).';
comment on column taskq.spend.key is 'The id of the task or mission, or the role.';
comment on column taskq.spend.day is 'Of a role: the last day, in UTC, on which something was counted.';
comment on column taskq.spend.tokens_used is 'Tokens spent, and reserved.';
comment on column taskq.spend.tokens is 'The limit of tokens.';
comment on column taskq.spend.cost_used is 'US dollars spent, and reserved.';
comment on column taskq.spend.cost is 'The limit in US dollars.';
comment on column taskq.spend.turns_used is 'Model turns taken, and reserved.';
comment on column taskq.spend.turns is 'The limit of turns.';
comment on column taskq.spend.tool_calls_used is 'Tool calls started.';
comment on column taskq.spend.tool_calls is 'The limit of tool calls.';
comment on column taskq.spend.seconds_used is 'Seconds that attempts ran.';
comment on column taskq.spend.seconds is 'The limit of seconds.';
comment on column taskq.spend.share is 'How much of the limit that is closest is used, from 0; null without limits.';
comment on column taskq.spend.set_by is 'Who set the limits; null when they are the manifest''s.';
