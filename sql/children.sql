-- Children: tasks that a running task has others do, while it waits.

-- spawn: children, and the wait for them, in one transaction.  The same key again is the same children.
-- Without _wait they only begin: who has several sets waits for one after the other, while all run.
create function taskq.spawn(_worker uuid, _id uuid, _lease bigint, _key text, _tasks jsonb, _wait boolean default true)
returns table (children uuid[], waits boolean)
language plpgsql as $$
declare
  _task taskq.tasks;
  _step taskq.steps;
begin
  perform pg_advisory_xact_lock(taskq.bell_class(), 2);   -- taskq.wait takes it, before any row
  _task := taskq.hold(_worker, _id, _lease);
  select * into _step from taskq.steps s where s.task_id = _id and s.name = _key;
  if not found and _task.cancel_requested_at is not null then
    perform taskq.stop(_worker, _id, _lease);
    return query select '{}'::uuid[], true;
    return;
  elsif not found then
    perform taskq.check_caps(_task, _tasks);
    children := taskq.enqueue((
      select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('created_by', _task.role, 'traceparent', _task.traceparent))
                                || c || jsonb_build_object('parent_id', _id, 'mission_id', _task.mission_id) order by n), '[]')
      from jsonb_array_elements(_tasks) with ordinality u (c, n)));
    _step := taskq.keep_step(_task, _key, 'spawn', to_jsonb(children)::text, null, null);
  elsif _step.kind = 'spawn' then
    children := array(select c::uuid from jsonb_array_elements_text(_step.result::jsonb) with ordinality u (c, n) order by n);
  else
    perform taskq.keep_step(_task, _key, 'spawn', null, null, null);   -- says what is wrong
  end if;
  -- looked at every time: a child that a person retried is waited for again
  waits := exists (select from taskq.tasks t where t.id = any(children) and t.finished_at is null);
  if waits and _wait then
    perform taskq.wait(_worker, _id, _lease, children);
  elsif not waits then
    update taskq.steps s set done_at = clock_timestamp() where s.task_id = _id and s.name = _key and s.done_at is null;
  end if;
  return next;
end $$;
comment on function taskq.spawn(uuid, uuid, bigint, text, jsonb, boolean) is
  'For workers: inserts children of a running task, once for a key, and makes it wait for them (then waits is true and the lease given up); their ids in order, once all have ended.';

-- check_caps: a runaway must not fill the queue.
create function taskq.check_caps(_task taskq.tasks, _tasks jsonb) returns void
language plpgsql as $$
declare
  _max_depth constant integer := 8;
  _max_children constant integer := 100;
  _depth integer;
  _there integer;
begin
  if jsonb_typeof(_tasks) is distinct from 'array' then
    raise exception 'children are an array of tasks' using errcode = 'TQ001', hint = '[{"role": …, "payload": {…}}, …]';
  end if;
  with recursive up (id, depth) as (
    select _task.parent_id, 1
    union all
    select t.parent_id, up.depth + 1 from up join taskq.tasks t on t.id = up.id where up.depth <= _max_depth)
  select count(*) into _depth from up where id is not null;
  if _depth >= _max_depth then
    raise exception 'task % is % levels below its root, and may have no children: the cap is %', _task.id, _depth, _max_depth
      using errcode = 'TQ001', hint = 'let it do the work itself';
  end if;
  _there := (select count(*) from taskq.tasks t where t.parent_id = _task.id);
  if _there + jsonb_array_length(_tasks) > _max_children then
    raise exception 'task % would have % children: the cap is %', _task.id, _there + jsonb_array_length(_tasks), _max_children
      using errcode = 'TQ001', hint = 'make fewer, and give each more to do';
  end if;
end $$;
comment on function taskq.check_caps(taskq.tasks, jsonb) is 'Raises TQ001 when these children would be too deep (8 levels) or too many (100 of one task).';

-- outcomes: how these tasks stand, in the order given.
create function taskq.outcomes(_worker uuid, _id uuid, _lease bigint, _ids uuid[])
returns table (id uuid, status taskq.status, result jsonb, error_kind text, error text)
language plpgsql as $$
begin
  perform taskq.hold(_worker, _id, _lease);
  return query
    select t.id, t.status, t.result, t.error_kind::text, t.error
    from unnest(_ids) with ordinality u (id, n) join taskq.tasks t on t.id = u.id order by u.n;
end $$;
comment on function taskq.outcomes(uuid, uuid, bigint, uuid[]) is 'For workers: how these tasks ended, in the order given.';

-- brood: the children that a task has spawned, and theirs.  A task that only names it as its parent is none.
create function taskq.brood(_id uuid) returns uuid[]
language sql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
  with recursive young (id) as (
    select _id
    union
    select c.id
    from young y join taskq.steps s on s.task_id = y.id and s.kind = 'spawn'
      cross join lateral jsonb_array_elements_text(s.result::jsonb) e (id)
      join taskq.tasks c on c.id = e.id::uuid and c.parent_id = y.id)
  select coalesce(array_agg(id) filter (where id <> _id), '{}') from young
$$;
comment on function taskq.brood(uuid) is 'The children that a task has spawned, at any depth.';

-- lock_brood: before the task itself is locked.  A child that ends holds its own row and asks for that of the blocked
-- parent; who held the parent and asked for the child would meet it in a deadlock.  Returns the roles to ring if these stay as they are.
create function taskq.lock_brood(_id uuid, _statuses taskq.status[]) returns text[]
language plpgsql as $$
declare
  _brood uuid[];
  _seen integer := 0;
begin
  loop   -- a child that was spawned while we waited for a lock belongs to it too
    _brood := taskq.brood(_id);
    exit when cardinality(_brood) = _seen;
    _seen := cardinality(_brood);
    perform from taskq.tasks t where t.id = any(_brood) and t.status = any(_statuses) order by t.status = 'blocked', t.id for no key update;
  end loop;
  return case when _seen = 0 then '{}' else array(
    select distinct t.role from taskq.tasks t where t.id = any(_brood) and t.status = any(_statuses) and t.status = 'queued') end;
end $$;
comment on function taskq.lock_brood(uuid, taskq.status[]) is 'Locks the spawned descendants of a task that have one of these statuses; returns the roles of the queued ones.';

-- cancel_children: a task was cancelled; what it spawned and has not ended is cancelled with it, level by level through taskq.finish.
create function taskq.cancel_children(_id uuid, _actor text) returns void
language plpgsql as $$
declare
  _child taskq.tasks;
begin
  for _child in
    select t.* from taskq.steps s cross join lateral jsonb_array_elements_text(s.result::jsonb) e (id)
      join taskq.tasks t on t.id = e.id::uuid and t.parent_id = _id
    where s.task_id = _id and s.kind = 'spawn'
    order by t.status = 'blocked', t.id
  loop
    select * into _child from taskq.tasks t where t.id = _child.id for no key update;   -- an earlier one may have taken it down
    if _child.status = 'in_progress' then
      perform taskq.ask_to_stop(_child, taskq.with_parent(_id), _actor);
    elsif _child.finished_at is null then
      perform taskq.finish(_child, 'cancelled', 'cancel', 'cancelled', taskq.with_parent(_id), _actor);
    end if;
  end loop;
end $$;
comment on function taskq.cancel_children(uuid, text) is 'Cancels what a cancelled task has spawned, at any depth; what runs is asked to stop.';

create function taskq.with_parent(_parent uuid) returns text
language sql immutable as $$ select format('its parent %s was cancelled', _parent) $$;
comment on function taskq.with_parent(uuid) is 'The error of a task that was cancelled because its parent was; taskq.retry of the parent knows it by that.';

-- revive_children: before the parent is revived, so that it counts them.
create function taskq.revive_children(_id uuid, _actor text) returns void
language plpgsql as $$
declare
  _fallen uuid[] := array(
    select t.id from taskq.tasks t
    where t.id = any(taskq.brood(_id)) and t.parent_id = _id and t.status = 'cancelled' and t.error = taskq.with_parent(_id)
    order by t.id for no key update);
  _child uuid;
begin
  foreach _child in array _fallen loop
    perform taskq.revive_children(_child, _actor);
  end loop;
  if _fallen <> '{}' then
    perform taskq.revive(_fallen, _actor, 'its parent was retried');
    foreach _child in array _fallen loop
      perform taskq.revive_dependents(_child, _actor);
    end loop;
    -- those among them that wait for each other were counted twice now
    update taskq.tasks t set waiting_on = taskq.unmet(t.id) where t.id = any(_fallen) and t.status = 'blocked';
  end if;
end $$;
comment on function taskq.revive_children(uuid, text) is 'Revives the spawned children that were cancelled with this task, at any depth.';
