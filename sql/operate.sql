-- Operate: what people do to a task, from psql, the command line, Slack or the page.  Each leaves an event.

-- pick: the row, locked; or an error that says what to do instead.
create function taskq.pick(_id uuid, _verb text, _allowed taskq.status[]) returns taskq.tasks
language plpgsql as $$
declare
  _task taskq.tasks;
begin
  select * into _task from taskq.tasks t where t.id = _id for no key update;
  if not found then
    raise exception 'there is no task %', _id using errcode = 'TQ003', hint = 'look for it with: taskq list';
  end if;
  if _task.status <> all (_allowed) then
    raise exception 'cannot % task %: it is %, not %', _verb, _id, _task.status, array_to_string(_allowed, ' or ')
      using errcode = 'TQ004', hint = case
        when _task.status = 'completed' then format('for a new task that does it again: taskq.rerun(%L)', _id)
        when _task.status in ('failed', 'cancelled') then format('to run it again: taskq.retry(%L)', _id)
        else taskq.explain(_id) end;
  end if;
  return _task;
end $$;
comment on function taskq.pick(uuid, text, taskq.status[]) is 'The task, locked; raises TQ003 when there is none, TQ004 when its status is none of these.';

-- ask_to_stop: a running task; its worker hears of it at commit.
create function taskq.ask_to_stop(_task taskq.tasks, _reason text, _actor text) returns void
language plpgsql as $$
begin
  update taskq.tasks t set cancel_requested_at = coalesce(t.cancel_requested_at, clock_timestamp()) where t.id = _task.id;
  perform taskq.note(_task.id, 'ask_to_stop', 'in_progress', 'in_progress', _actor, _reason);
  perform pg_notify('taskq_worker', _task.worker_id::text);
end $$;
comment on function taskq.ask_to_stop(taskq.tasks, text, text) is 'Asks a locked, running task to stop.';

-- cancel: what waits is cancelled at once, with what depends on it and what it spawned; what runs is asked to stop.
create function taskq.cancel(_id uuid, _reason text default null, _actor text default null) returns taskq.status
language plpgsql security definer set search_path = '' as $$
declare
  _roles text[] := taskq.lock_brood(_id, '{blocked,awaiting_approval,queued,in_progress}');
  _task taskq.tasks := taskq.pick(_id, 'cancel', '{blocked,awaiting_approval,queued,in_progress,cancelled}');
begin
  if _task.status = 'cancelled' then
    perform taskq.ring(_roles);
    return 'cancelled';
  elsif _task.status = 'in_progress' then
    perform taskq.ask_to_stop(_task, _reason, _actor);
    perform taskq.ring(_roles);
    return 'in_progress';
  end if;
  perform taskq.finish(_task, 'cancelled', 'cancel', 'cancelled', coalesce(_reason, 'cancelled'), _actor);
  return 'cancelled';
end $$;
comment on function taskq.cancel(uuid, text, text) is
  'Cancels a task, with what it spawned: at once when it waits; a running one is asked to stop (then the status returned is still in_progress).';

-- approve: a person says yes.
create function taskq.approve(_id uuid, _actor text default null, _note text default null) returns taskq.status
language plpgsql security definer set search_path = '' as $$
declare
  _task taskq.tasks := taskq.pick(_id, 'approve', '{awaiting_approval}');
begin
  update taskq.tool_calls c set approved_by = coalesce(_actor, session_user)
  where c.task_id = _id and c.call_id = taskq.call_in_question(_id);
  perform taskq.let_go(_task, 'approve', true, _actor, _note);
  return 'queued';
end $$;
comment on function taskq.approve(uuid, text, text) is 'Approves a task that awaits it; it is queued.';

-- let_go: a task that awaited a person is queued; whether he approved it, or only lets it go on.
create function taskq.let_go(_task taskq.tasks, _verb text, _approved boolean, _actor text, _note text) returns void
language plpgsql as $$
begin
  perform taskq.begin('approve');
  update taskq.tasks t
  set status = 'queued', run_at = greatest(t.run_at, now()),
      approved_at = case when _approved then now() else t.approved_at end,
      approved_by = case when _approved then coalesce(_actor, session_user) else t.approved_by end
  where t.id = _task.id;
  perform taskq.done();
  perform taskq.note(_task.id, _verb, 'awaiting_approval', 'queued', _actor, left(_note, 8192));
  perform taskq.ring(array[_task.role]);
end $$;
comment on function taskq.let_go(taskq.tasks, text, boolean, text, text) is 'Queues a locked task that awaited a person.';

-- amend: a person changes what a task is to do, before it begins.
create function taskq.amend(_id uuid, _payload jsonb, _reason text default null, _actor text default null) returns taskq.status
language plpgsql security definer set search_path = '' as $$
declare
  _task taskq.tasks := taskq.pick(_id, 'amend', '{blocked,awaiting_approval,queued,in_progress}');
begin
  if jsonb_typeof(_payload) is distinct from 'object' then
    raise exception 'the payload of task % must be a JSON object', _id using errcode = 'TQ001', hint = 'give it whole: it replaces the old one';
  elsif _task.status = 'in_progress' or _task.attempt > 0 or _task.started_at is not null then
    raise exception 'cannot amend task %: it has begun', _id
      using errcode = 'TQ004', hint = format('tell an agent: taskq.steer(%L, text, actor); or cancel it, and enqueue another', _id);
  end if;
  update taskq.tasks t set payload = _payload where t.id = _id;
  perform taskq.note(_id, 'amend', _task.status, _task.status, _actor, _reason);
  if _task.status = 'queued' then
    perform taskq.ring(array[_task.role]);   -- a last claim may have skipped the locked row
  end if;
  return _task.status;
end $$;
comment on function taskq.amend(uuid, jsonb, text, text) is 'Replaces the payload of a task that has not begun.';

-- reject: a person says no.
create function taskq.reject(_id uuid, _actor text default null, _reason text default null) returns taskq.status
language plpgsql security definer set search_path = '' as $$
declare
  _task taskq.tasks := taskq.pick(_id, 'reject', '{awaiting_approval}');
begin
  perform taskq.finish(_task, 'cancelled', 'reject', 'rejected', coalesce(_reason, 'rejected'), _actor);
  return 'cancelled';
end $$;
comment on function taskq.reject(uuid, text, text) is 'Rejects a task that awaits approval; it is cancelled, and what depends on it with it.';

-- complete: a person did the work (or could not: then _error says why).
create function taskq.complete(_id uuid, _result jsonb default null, _actor text default null, _error text default null)
returns taskq.status
language plpgsql security definer set search_path = '' as $$
declare
  _task taskq.tasks := taskq.pick(_id, 'complete', '{queued}');
begin
  if _error is not null then
    perform taskq.finish(_task, 'failed', 'complete', 'unknown', _error, _actor);
    return 'failed';
  end if;
  perform taskq.begin('complete');
  update taskq.tasks t
  set status = 'completed', result = _result, finished_at = clock_timestamp(), started_at = coalesce(t.started_at, clock_timestamp()),
      error = null, error_kind = null
  where t.id = _id;
  perform taskq.done();
  perform taskq.note(_id, 'complete', 'queued', 'completed', _actor, null);
  perform taskq.tell(array[_id]);
  perform taskq.ring(taskq.unblock(array[_id], '{fail,run,wait}'));
  return 'completed';
end $$;
comment on function taskq.complete(uuid, jsonb, text, text) is 'Completes a queued task of a role that a person plays, or fails it with an error.';

-- requeue: a running task is taken from its worker, whose lease is lost, and queued again; no attempt is spent.
create function taskq.requeue(_id uuid, _reason text default null, _actor text default null) returns taskq.status
language plpgsql security definer set search_path = '' as $$
declare
  _task taskq.tasks := taskq.pick(_id, 'requeue', '{in_progress}');
begin
  perform taskq.put_back(_task, _task.attempt - 1, _task.run_at);
  update taskq.tasks t set cancel_requested_at = null where t.id = _id;
  perform taskq.note(_id, 'requeue', 'in_progress', 'queued', _actor, _reason);
  perform pg_notify('taskq_worker', _task.worker_id::text);
  return 'queued';
end $$;
comment on function taskq.requeue(uuid, text, text) is 'Takes a running task from its worker and queues it again.';

-- retry: what failed or was cancelled gets one more attempt at least, and what fell with it waits again.
create function taskq.retry(_id uuid, _reason text default null, _actor text default null) returns taskq.status
language plpgsql security definer set search_path = '' as $$
declare
  _roles text[] := taskq.lock_brood(_id, '{cancelled}');
  _task taskq.tasks := taskq.pick(_id, 'retry', '{failed,cancelled,queued}');
begin
  if _task.status = 'queued' then
    update taskq.tasks t set run_at = least(t.run_at, now()) where t.id = _id;
    -- what it sleeps for is over, or it would only go to sleep again
    update taskq.steps s set wake_at = now() where s.task_id = _id and s.done_at is null and s.wake_at > now();
    perform taskq.ring(array[_task.role]);
    perform taskq.note(_id, 'retry', 'queued', 'queued', _actor, _reason);
  else
    begin
      perform taskq.revive_children(_id, _actor);
      perform taskq.revive(array[_id], _actor, _reason);
      perform taskq.revive_dependents(_id, _actor);
    exception when unique_violation then
      raise exception 'another live task has the dedup_key of task %, or of one that fell with it', _id
        using errcode = 'TQ004', hint = 'cancel that one first, or let it do the work';
    end;
  end if;
  return (select t.status from taskq.tasks t where t.id = _id);
end $$;
comment on function taskq.retry(uuid, text, text) is
  'Gives a failed or cancelled task one more attempt at least, and revives what fell with it; a queued one may run at once.';

-- revive: these final tasks are blocked again, and what waits for nothing goes on at once.
create function taskq.revive(_ids uuid[], _actor text, _reason text) returns void
language plpgsql as $$
begin
  perform taskq.begin('revive');
  with revived as (
    update taskq.tasks t
    set status = 'blocked', finished_at = null, error = null, error_kind = null, result = null,
        cancel_requested_at = null, crashes = 0, progress = null, progress_note = null,
        max_attempts = greatest(t.max_attempts, t.attempt + 1)
    from (select id, status from taskq.tasks where id = any(_ids)) old
    where t.id = old.id
    returning t.id, old.status)
  insert into taskq.events (task_id, verb, "from", "to", actor, reason)
  select id, 'revive', status, 'blocked', coalesce(_actor, session_user), _reason from revived;
  perform taskq.done();
  update taskq.tasks t set waiting_on = taskq.unmet(t.id) where t.id = any(_ids);
  perform taskq.ring(taskq.subtract(array(select t.id from taskq.tasks t where t.id = any(_ids) and t.waiting_on = 0),
                                    array(select 0 from taskq.tasks t where t.id = any(_ids) and t.waiting_on = 0)));
end $$;
comment on function taskq.revive(uuid[], text, text) is 'Makes final, locked tasks blocked again; those that wait for nothing are queued or await approval.';

-- revive_dependents: what fell with a task waits for it again, unless something else that it depends on is still down.
create function taskq.revive_dependents(_id uuid, _actor text) returns void
language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
  _standing uuid[] := array[_id];
  _next uuid[];
begin
  perform taskq.wait_again(array[_id]);
  loop
    _next := array(
      select t.id from taskq.tasks t
      where t.id = any(array(select d.task_id from taskq.dependencies d
                             where d.depends_on = any(_standing) and d.on_failure = 'fail' and not d.met))
        and t.error_kind = 'dependency_failed' and t.status in ('failed', 'cancelled')
        and not exists (select from taskq.dependencies o join taskq.tasks p on p.id = o.depends_on
                        where o.task_id = t.id and o.on_failure = 'fail' and not o.met and p.status in ('failed', 'cancelled'))
      order by t.id for no key update of t);
    exit when cardinality(_next) = 0;
    perform taskq.revive(_next, _actor, format('its dependency was retried'));
    perform taskq.wait_again(_next);
    _standing := _next;
  end loop;
end $$;
comment on function taskq.revive_dependents(uuid, text) is 'What ended only because this task did waits for it again, at any depth.';

-- wait_again: a dependent that runs whatever happens, and still waits for others, waits for these revived ones again.
create function taskq.wait_again(_revived uuid[]) returns void
language plpgsql as $$
begin
  perform from taskq.tasks t
  where t.id = any(array(select d.task_id from taskq.dependencies d where d.depends_on = any(_revived) and d.on_failure = 'run' and not d.met))
  order by t.status = 'blocked', t.id
  for no key update;
  update taskq.tasks t set waiting_on = t.waiting_on + again.count
  from (select d.task_id, count(*)::integer
        from taskq.dependencies d
        where d.depends_on = any(_revived) and d.on_failure = 'run' and not d.met
        group by d.task_id) again (task_id, count)
  where t.id = again.task_id and t.status = 'blocked';
end $$;
comment on function taskq.wait_again(uuid[]) is 'Blocked dependents that had these down for met wait for them again.';

-- rerun: a new task that does what a finished one did.
create function taskq.rerun(_id uuid, _reason text default null, _actor text default null) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
  _old taskq.tasks := taskq.pick(_id, 'rerun', '{completed,failed,cancelled}');
  _new uuid := taskq.insert_like(_old, _old.dedup_key, _actor);
begin
  perform taskq.note(_new, 'rerun', null, null, _actor, coalesce(_reason, 'a rerun of ' || _id));
  return _new;
end $$;
comment on function taskq.rerun(uuid, text, text) is 'Inserts a new task like a finished one, which it names in rerun_of; returns its id.';

-- insert_like: a new task like an old one.
create function taskq.insert_like(_old taskq.tasks, _dedup_key text, _actor text) returns uuid
language sql as $$
  insert into taskq.tasks (role, name, payload, priority, depends_on, on_dependency_failure, requires_approval, max_attempts,
                           timeout, dedup_key, mission_id, parent_id, created_by, traceparent, rerun_of)
  values (_old.role, _old.name, _old.payload, _old.priority,
          -- not those that it came to wait for while it ran: they were its own doing, and will be again
          array(select d from unnest(_old.depends_on) d where not exists (
            select from taskq.dependencies e
            where e.task_id = _old.id and e.depends_on = d and e.on_failure <> _old.on_dependency_failure)
            and not exists (select from taskq.steps s where s.task_id = _old.id and s.kind = 'spawn' and s.result::jsonb ? d::text)),
          _old.on_dependency_failure, _old.requires_approval,
          _old.max_attempts, _old.timeout, _dedup_key, nullif(_old.mission_id, _old.id), _old.parent_id,
          coalesce(_actor, session_user), _old.traceparent, _old.id)
  returning id
$$;
comment on function taskq.insert_like(taskq.tasks, text, text) is 'Inserts a new task like an old one, which it names in rerun_of; returns its id.';

-- await: a client wants to be told when this task ends.  Under the row lock, so either the one who ends it sees the
-- mark, or we see the end; and a worker that skipped the locked row in its last claim is rung.
create function taskq.await(_id uuid)
returns table (status taskq.status, result jsonb, error_kind taskq.error_kind, error text)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
declare
  _task taskq.tasks := taskq.pick(_id, 'await', enum_range(null::taskq.status));
begin
  if not _task.awaited and _task.finished_at is null then
    update taskq.tasks t set awaited = true where t.id = _id;
  end if;
  if _task.status = 'queued' then
    perform taskq.ring(array[_task.role]);
  end if;
  return query select _task.status, _task.result, _task.error_kind, _task.error;
end $$;
comment on function taskq.await(uuid) is 'Marks a task so that channel taskq_final names it when it ends, and returns how it stands.';
