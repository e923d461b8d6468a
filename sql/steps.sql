-- Steps: durable steps, sleeps and signals of a running task; forks.

-- keep_step: the step of this name, entered if it is new.  Under the task's row lock, so places have no gaps and no twins.
create function taskq.keep_step(_task taskq.tasks, _name text, _kind text, _result text, _wake_at timestamptz, _done_at timestamptz)
returns taskq.steps
language plpgsql as $$
declare
  _step taskq.steps;
begin
  if coalesce(length(_name), 0) not between 1 and 200 then
    raise exception 'a step has a name of 1 to 200 characters' using errcode = 'TQ001', hint = 'name it by what it does';
  end if;
  insert into taskq.steps (task_id, name, place, kind, result, wake_at, attempt, done_at)
  values (_task.id, _name, coalesce((select max(s.place) from taskq.steps s where s.task_id = _task.id), 0) + 1,
          _kind, _result, _wake_at, _task.attempt, _done_at)
  on conflict (task_id, name) do nothing
  returning * into _step;
  if not found then
    select * into _step from taskq.steps s where s.task_id = _task.id and s.name = _name;
    if _step.kind <> _kind then
      raise exception 'step "%" of task % is a %, not a %', _name, _task.id, _step.kind, _kind
        using errcode = 'TQ001', hint = 'steps, sleeps, signals and spawns of a task share one set of names: give this one another';
    end if;
  end if;
  return _step;
end $$;
comment on function taskq.keep_step(taskq.tasks, text, text, text, timestamptz, timestamptz) is
  'The step of this name of a locked task, entered if it is new; raises TQ001 when it is of another kind.';

-- recall: what is done already, read once an attempt.
create function taskq.recall(_worker uuid, _id uuid, _lease bigint) returns table (name text, kind text, result text)
language plpgsql as $$
begin
  perform taskq.hold(_worker, _id, _lease);
  return query select s.name, s.kind, s.result from taskq.steps s where s.task_id = _id and s.done_at is not null order by s.place;
end $$;
comment on function taskq.recall(uuid, uuid, bigint) is 'For workers: the steps of a running task that are done, with their results as JSON text.';

-- record_step: the result of a step; it is returned ever after.
create function taskq.record_step(_worker uuid, _id uuid, _lease bigint, _name text, _result text) returns void
language plpgsql as $$
declare
  _task taskq.tasks := taskq.hold(_worker, _id, _lease);
  _step taskq.steps;
begin
  if octet_length(_result) > 1048576 then
    raise exception 'the result of step "%" has % bytes; at most 1 MB is kept', _name, octet_length(_result)
      using errcode = 'TQ001', hint = 'keep it in a file or a table of your own, and return where it is';
  end if;
  _step := taskq.keep_step(_task, _name, 'step', _result, null, clock_timestamp());
  -- the same again is a worker that did not hear our answer; another one is a bug
  if _step.result is distinct from _result then
    raise exception 'step "%" of task % has another result already', _name, _id
      using errcode = 'TQ001', hint = 'a step is recorded once: read it with taskq.recall';
  end if;
end $$;
comment on function taskq.record_step(uuid, uuid, bigint, text, text) is
  'For workers: records the result of a step of a running task, JSON text of at most 1 MB; TQ002 when the lease is lost.';

-- sleep: the task is queued for later, and holds nothing meanwhile.  What is hardly longer than a round trip is waited for by the caller.
create function taskq.sleep(_worker uuid, _id uuid, _lease bigint, _name text, _for interval) returns double precision
language plpgsql as $$
declare
  _task taskq.tasks := taskq.hold(_worker, _id, _lease);
  _step taskq.steps := taskq.keep_step(_task, _name, 'sleep', null, clock_timestamp() + _for, null);
  _left double precision := case when _step.done_at is null then extract(epoch from _step.wake_at - clock_timestamp()) else 0 end;
begin
  if _left < 0.05 then
    update taskq.steps s set done_at = coalesce(s.done_at, clock_timestamp()) where s.task_id = _id and s.name = _name;
    return greatest(_left, 0);
  elsif _task.cancel_requested_at is not null then
    perform taskq.stop(_worker, _id, _lease);
  else
    perform taskq.put_back(_task, _task.attempt - 1, _step.wake_at);
  end if;
  return null;
end $$;
comment on function taskq.sleep(uuid, uuid, bigint, text, interval) is
  'For workers: the seconds that are left of a sleep when these are few; else null, and the task is queued for its end and the lease given up.  No attempt is spent.';

-- await_signal: the signal if it was sent; else the task waits for it and holds nothing.  The task's row lock, which taskq.signal
-- takes too, orders the two: either the signal is seen here, or the wait is seen there.
-- With a limit the task is queued for the end of it, which needs nobody to wake it then; a signal brings that time forward.
create function taskq.await_signal(_worker uuid, _id uuid, _lease bigint, _name text, _within interval default null)
returns table (outcome text, payload text)
language plpgsql as $$
declare
  _task taskq.tasks := taskq.hold(_worker, _id, _lease);
  _step taskq.steps := taskq.keep_step(_task, _name, 'signal', null, clock_timestamp() + _within, null);
  _signal taskq.signals;
begin
  if _step.done_at is null then
    select * into _signal from taskq.signals s where s.task_id = _id and s.name = _name;
    if found or _step.wake_at <= clock_timestamp() then
      update taskq.steps s
      set result = case when _signal.name is not null then coalesce(_signal.payload, 'null')::text end, done_at = clock_timestamp()
      where s.task_id = _id and s.name = _name
      returning * into _step;
    elsif _task.cancel_requested_at is not null then
      perform taskq.stop(_worker, _id, _lease);
    elsif _step.wake_at is not null then
      perform taskq.put_back(_task, _task.attempt - 1, _step.wake_at);
    else
      perform taskq.block(_task);
    end if;
  end if;
  return query select case when _step.done_at is null then 'waits' when _step.result is null then 'over' else 'sent' end, _step.result;
end $$;
comment on function taskq.await_signal(uuid, uuid, bigint, text, interval) is
  'For workers: sent, with the payload as JSON text; over, when it was not sent in time; or waits: the task waits for it, and the lease is given up.';

-- block: a running task waits for a signal; what it waited for before is behind it.
create function taskq.block(_task taskq.tasks) returns void
language plpgsql as $$
begin
  update taskq.dependencies d set met = true where d.task_id = _task.id and not d.met;
  perform taskq.begin('wait');
  update taskq.tasks t
  set status = 'blocked', waiting_on = taskq.unmet(t.id), attempt = t.attempt - 1, lease = null, lease_expires_at = null,
      approved_at = coalesce(t.approved_at, now())
  where t.id = _task.id;
  perform taskq.done();
end $$;
comment on function taskq.block(taskq.tasks) is 'Blocks a locked, running task that waits for a signal; no attempt is spent.';

-- signal: what a person or a program tells a task.  The first of a name counts.
create function taskq.signal(_id uuid, _name text, _payload jsonb default null, _actor text default null) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  _task taskq.tasks;
  _open taskq.steps;
  _is_new boolean;
begin
  if coalesce(length(_name), 0) not between 1 and 200 then
    raise exception 'a signal has a name of 1 to 200 characters' using errcode = 'TQ001', hint = 'taskq.explain(id) names the one that the task waits for';
  elsif exists (select from taskq.signals s where s.task_id = _id and s.name = _name) then
    return false;
  end if;
  _task := taskq.pick(_id, 'signal', '{blocked,awaiting_approval,queued,in_progress}');
  insert into taskq.signals (task_id, name, payload, actor) values (_id, _name, _payload, coalesce(_actor, session_user))
  on conflict do nothing;
  _is_new := found;
  if _is_new then
    perform taskq.note(_id, 'signal', _task.status, _task.status, _actor, _name);
    select * into _open from taskq.steps s where s.task_id = _id and s.name = _name and s.kind = 'signal' and s.done_at is null;
    if _task.status = 'blocked' and _open.name is not null and _open.wake_at is null then
      perform taskq.ring(taskq.subtract(array[_id], '{1}'));
    elsif _task.status = 'queued' and _open.wake_at is not null then
      update taskq.tasks t set run_at = least(t.run_at, now()) where t.id = _id;
    end if;
  end if;
  if _task.status = 'queued' then
    perform taskq.ring(array[_task.role]);
  end if;
  return _is_new;
end $$;
comment on function taskq.signal(uuid, text, jsonb, text) is
  'Sends a signal to a task, which waits for it already or will; the first of a name counts.  Returns whether it was new.';

-- fork: a new task like an old one that goes on from one of its steps.
create function taskq.fork(_id uuid, _name text, _actor text default null) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
  _old taskq.tasks := taskq.pick(_id, 'fork', enum_range(null::taskq.status));
  _place integer := (select s.place from taskq.steps s where s.task_id = _id and s.name = _name);
  _new uuid;
begin
  if _place is null then
    raise exception 'task % has no step "%"', _id, _name
      using errcode = 'TQ001', hint = coalesce((select 'it has: ' || string_agg(s.name, ', ' order by s.place) from taskq.steps s where s.task_id = _id),
                                               'it has none: taskq.rerun does it all again');
  end if;
  -- beside a live one the key is taken
  _new := taskq.insert_like(_old, case when _old.finished_at is not null then _old.dedup_key end, _actor);
  insert into taskq.steps (task_id, name, place, kind, result, wake_at, attempt, at, done_at)
  select _new, s.name, s.place, s.kind, s.result, s.wake_at, s.attempt, s.at, s.done_at
  from taskq.steps s where s.task_id = _id and s.place < _place and s.done_at is not null;
  perform taskq.note(_new, 'fork', null, null, _actor, format('a fork of %s at step %s', _id, _name));
  if _old.status = 'queued' then
    perform taskq.ring(array[_old.role]);
  end if;
  return _new;
end $$;
comment on function taskq.fork(uuid, text, text) is
  'Inserts a new task like this one, with the steps that were recorded before the named one; it goes on from there.  Returns its id.';

-- explain_signal: the signal that a blocked task waits for.
create function taskq.explain_signal(_task taskq.tasks) returns text
language sql stable as $$
  select format('blocked: waits for signal "%s"; send it: select taskq.signal(%L, %L, payload, actor)', s.name, _task.id, s.name)
  from taskq.steps s
  where s.task_id = _task.id and s.kind = 'signal' and s.done_at is null and s.wake_at is null
    and not exists (select from taskq.signals g where g.task_id = s.task_id and g.name = s.name)
  order by s.place limit 1
$$;
comment on function taskq.explain_signal(taskq.tasks) is 'Which signal a blocked task waits for; null when it waits for something else.';

-- explain_rest: why a queued task is queued for later, when that was its own doing.
create function taskq.explain_rest(_task taskq.tasks) returns text
language sql stable as $$
  select case s.kind
    when 'sleep' then format(', asleep in step "%s"', s.name)
    else format(', or when signal "%s" is sent: select taskq.signal(%L, %L, payload, actor)', s.name, _task.id, s.name) end
  from taskq.steps s
  where s.task_id = _task.id and s.kind in ('sleep', 'signal') and s.done_at is null and s.wake_at > clock_timestamp()
  order by s.place desc limit 1
$$;
comment on function taskq.explain_rest(taskq.tasks) is 'The sleep of a queued task, or the signal that would end its rest; null when there is none.';
