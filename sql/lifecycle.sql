-- Lifecycle: what a worker does to a running task, one verb a function.  Every write shows the lease.
-- (Claiming and completing are in exchange.sql: they are hot, and happen in batches.)

-- hold: the row, locked, if this worker still holds this lease.
create function taskq.hold(_worker uuid, _id uuid, _lease bigint) returns taskq.tasks
language plpgsql as $$
declare
  _task taskq.tasks;
begin
  select * into _task from taskq.tasks t
  where t.id = _id and t.lease = _lease and t.worker_id = _worker
  for no key update;
  if not found then
    raise exception 'lease % on task % is lost: another worker owns it, or it has ended', _lease, _id
      using errcode = 'TQ002', hint = 'drop the result; the task goes on without this attempt';
  end if;
  return _task;
end $$;
comment on function taskq.hold(uuid, uuid, bigint) is 'The running task, locked; raises TQ002 when this worker does not hold this lease any more.';

-- note: an event.
create function taskq.note(_id uuid, _verb text, _from taskq.status, _to taskq.status, _actor text, _reason text) returns void
language sql as $$
  insert into taskq.events (task_id, verb, "from", "to", actor, reason)
  values (_id, _verb, _from, _to, coalesce(_actor, session_user), _reason)
$$;
comment on function taskq.note(uuid, text, taskq.status, taskq.status, text, text) is 'Writes an event.';

-- record: the attempt that just ended without success.
create function taskq.record(_task taskq.tasks, _kind taskq.error_kind, _message text, _traceback text) returns void
language sql as $$
  insert into taskq.attempts (task_id, attempt, lease, worker_id, kind, message, traceback, started_at)
  values (_task.id, _task.attempt, _task.lease, _task.worker_id, _kind, left(_message, 8192), left(_traceback, 32768), _task.started_at)
$$;
comment on function taskq.record(taskq.tasks, taskq.error_kind, text, text) is 'Keeps an attempt that did not succeed.';

-- backoff: how long until the next attempt: the role's steps, and up to a quarter more, so that what failed together does not return together.
create function taskq.backoff(_role text, _attempt integer) returns interval
language sql volatile as $$
  select b.steps[least(greatest(_attempt, 1), cardinality(b.steps))] * (1 + random() / 4)
  from (select coalesce((select r.backoff from taskq.roles r where r.name = _role), '{30 s, 2 min, 10 min}') as steps) b
$$;
comment on function taskq.backoff(text, integer) is 'The wait after this attempt of a task of this role, with jitter.';

-- finish: a task ends badly, and what depends on it hears of it.
create function taskq.finish(_task taskq.tasks, _as taskq.status, _verb text, _kind taskq.error_kind, _message text, _actor text) returns void
language plpgsql as $$
begin
  perform taskq.begin(_verb);
  update taskq.tasks t
  set status = _as, finished_at = clock_timestamp(), lease = null, lease_expires_at = null,
      error_kind = _kind, error = left(_message, 8192)
  where t.id = _task.id;
  perform taskq.done();
  perform taskq.note(_task.id, _verb, _task.status, _as, _actor, left(_message, 8192));
  perform taskq.tell(array[_task.id]);
  if _as = 'cancelled' then
    perform taskq.cancel_children(_task.id, _actor);   -- the parent first: it must not be woken by their ends
  end if;
  if _task.has_dependents then
    perform taskq.ring(taskq.cascade(array[_task.id], _as, _actor));
  end if;
end $$;
comment on function taskq.finish(taskq.tasks, taskq.status, text, taskq.error_kind, text, text) is 'Ends a locked task as failed or cancelled, with its cascade.';

-- put_back: a running task is queued again.
create function taskq.put_back(_task taskq.tasks, _attempt integer, _run_at timestamptz) returns void
language plpgsql as $$
begin
  perform taskq.begin('release');
  update taskq.tasks t
  set status = 'queued', attempt = _attempt, run_at = _run_at,
      lease = null, lease_expires_at = null, progress = null, progress_note = null
  where t.id = _task.id;
  perform taskq.done();
  perform taskq.ring(array[_task.role]);
end $$;
comment on function taskq.put_back(taskq.tasks, integer, timestamptz) is 'Queues a locked, running task again.';

-- fail: the attempt ended with an error.  Retried while attempts are left, unless it is final.  Returns the new status.
create function taskq.fail(_worker uuid, _id uuid, _lease bigint, _kind taskq.error_kind, _message text,
                           _traceback text default null, _retry_after interval default null, _final boolean default false)
returns taskq.status
language plpgsql as $$
declare
  _task taskq.tasks := taskq.hold(_worker, _id, _lease);
  _as taskq.status := 'failed';
begin
  if _task.cancel_requested_at is not null then
    return taskq.stop(_worker, _id, _lease);
  end if;
  perform taskq.record(_task, _kind, _message, _traceback);
  if not _final and _task.attempt < _task.max_attempts then
    _as := 'queued';
    update taskq.tasks t set error_kind = _kind, error = left(_message, 8192) where t.id = _id;
    perform taskq.put_back(_task, _task.attempt, clock_timestamp() + coalesce(_retry_after, taskq.backoff(_task.role, _task.attempt)));
    perform taskq.note(_id, 'retry', 'in_progress', 'queued', 'worker ' || _worker, _kind || ': ' || left(_message, 500));
  else
    perform taskq.finish(_task, 'failed', 'fail', _kind, _message, 'worker ' || _worker);
  end if;
  return _as;
end $$;
comment on function taskq.fail(uuid, uuid, bigint, taskq.error_kind, text, text, interval, boolean) is
  'For workers: an attempt ended with an error; it is queued again with a backoff, or failed.  Returns the new status; TQ002 when the lease is lost.';

-- release: the worker gives tasks back (drain, snooze); no attempt is spent.  Leases that are lost are passed over.
create function taskq.release(_worker uuid, _leases bigint[], _after interval default null) returns integer
language plpgsql as $$
declare
  _task taskq.tasks;
  _count integer := 0;
begin
  for _task in
    select * from taskq.tasks t
    where t.status = 'in_progress' and t.worker_id = _worker and t.lease = any(_leases)
    order by t.id for no key update
  loop
    _count := _count + 1;
    if _task.cancel_requested_at is not null then
      perform taskq.stop(_worker, _task.id, _task.lease);
    else
      -- it keeps its place in the line, unless it asked to sleep
      perform taskq.put_back(_task, _task.attempt - 1, case when _after is null then _task.run_at else clock_timestamp() + _after end);
    end if;
  end loop;
  return _count;
end $$;
comment on function taskq.release(uuid, bigint[], interval) is 'For workers: gives running tasks back without spending an attempt, at once or after a while.  Returns how many.';

-- stop: the attempt that was asked to stop has stopped, or is abandoned.
create function taskq.stop(_worker uuid, _id uuid, _lease bigint) returns taskq.status
language plpgsql as $$
declare
  _task taskq.tasks := taskq.hold(_worker, _id, _lease);
  _ask taskq.events;
begin
  select * into _ask from taskq.events e where e.task_id = _id and e.verb = 'ask_to_stop' order by e.id desc limit 1;
  perform taskq.record(_task, 'cancelled', coalesce(_ask.reason, 'cancelled'), null);
  perform taskq.finish(_task, 'cancelled', 'cancel', 'cancelled', coalesce(_ask.reason, 'cancelled'), _ask.actor);
  return 'cancelled';
end $$;
comment on function taskq.stop(uuid, uuid, bigint) is 'For workers: a task that was asked to stop has stopped.';

-- wait: the task waits for others, or for a person, and holds nothing meanwhile; no attempt is spent.
create function taskq.wait(_worker uuid, _id uuid, _lease bigint, _on uuid[]) returns taskq.status
language plpgsql as $$
declare
  _task taskq.tasks;
  _unmet integer;
  _as taskq.status;
begin
  -- one at a time: two tasks that come to wait for each other at once would not see each other's edge
  perform pg_advisory_xact_lock(taskq.bell_class(), 2);
  _task := taskq.hold(_worker, _id, _lease);
  if _task.cancel_requested_at is not null then
    return taskq.stop(_worker, _id, _lease);
  end if;
  -- what it waited for before is behind it
  update taskq.dependencies d set met = true where d.task_id = _id and not d.met;
  insert into taskq.dependencies (task_id, depends_on, on_failure)
  select distinct _id, c, 'run' from unnest(_on) c
  on conflict (task_id, depends_on) do update set on_failure = 'run', met = false;
  if taskq.reaches(_on, _id) then
    raise exception 'task % cannot wait for a task that waits for it', _id using errcode = 'TQ001';
  end if;
  perform from taskq.tasks c where c.id = any(_on) order by c.status = 'blocked', c.id for no key update;
  update taskq.tasks c set has_dependents = true where c.id = any(_on) and not c.has_dependents;
  _unmet := taskq.unmet(_id);
  perform taskq.begin('wait');
  update taskq.tasks t
  set status = case when cardinality(_on) > 0 then 'blocked' else 'awaiting_approval' end::taskq.status,
      waiting_on = _unmet, attempt = t.attempt - 1, lease = null, lease_expires_at = null,
      depends_on = array(select distinct d from unnest(t.depends_on || _on) d),
      approved_at = case when cardinality(_on) > 0 then coalesce(t.approved_at, now()) end
  where t.id = _id
  returning t.status into _as;
  perform taskq.done();
  if _as = 'blocked' and _unmet = 0 then
    perform taskq.ring(taskq.subtract(array[_id], array[0]));
    return 'queued';
  end if;
  perform taskq.ring(array(select distinct c.role from taskq.tasks c where c.id = any(_on) and c.status = 'queued'));
  return _as;
end $$;
comment on function taskq.wait(uuid, uuid, bigint, uuid[]) is
  'For workers: a running task waits for these others to end in whatever way, or for an approval when there are none; it holds no slot meanwhile.';

-- reaches: do any of these wait, at any depth, for that one?
create function taskq.reaches(_from uuid[], _to uuid) returns boolean
language sql stable as $$
  with recursive above (id) as (
    select unnest(_from)
    union
    select d.depends_on from above a join taskq.dependencies d on d.task_id = a.id where not d.met)
  select exists (select from above where id = _to)
$$;
comment on function taskq.reaches(uuid[], uuid) is 'Whether any of these tasks waits for that one, at any depth.';

-- progress: how far it is, for people.
create function taskq.progress(_worker uuid, _id uuid, _lease bigint, _fraction real, _note text) returns void
language plpgsql as $$
begin
  perform taskq.hold(_worker, _id, _lease);
  update taskq.tasks t
  set progress = coalesce(_fraction, t.progress), progress_note = coalesce(left(_note, 500), t.progress_note)
  where t.id = _id;
end $$;
comment on function taskq.progress(uuid, uuid, bigint, real, text) is 'For workers: how far a running task is (0 to 1) and what it does now; TQ002 when the lease is lost.';

-- log: a line for people.
create function taskq.log(_worker uuid, _id uuid, _lease bigint, _line text) returns void
language plpgsql as $$
declare
  _task taskq.tasks := taskq.hold(_worker, _id, _lease);
begin
  insert into taskq.logs (task_id, attempt, line) values (_id, _task.attempt, left(_line, 8192));
end $$;
comment on function taskq.log(uuid, uuid, bigint, text) is 'For workers: keeps a line of a running task for people; TQ002 when the lease is lost.';
