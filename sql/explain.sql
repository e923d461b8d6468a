-- Explain: one line that says why a task is where it is, and what would move it.

-- ago: a length of time for people.
create function taskq.ago(_time interval) returns text
language sql stable as $$
  select case when s < 1 then round(s * 1000) || ' ms'
              when s < 120 then round(s) || ' s'
              when s < 7200 then round(s / 60) || ' min'
              when s < 172800 then round(s / 3600) || ' h'
              else round(s / 86400) || ' days' end
  from (select greatest(extract(epoch from _time), 0) as s) x
$$;
comment on function taskq.ago(interval) is 'A length of time in one unit, for people.';

-- line: a text as one line of at most 300 characters.
create function taskq.line(_text text) returns text
language sql immutable as $$ select left(btrim(regexp_replace(_text, '\s+', ' ', 'g')), 300) $$;
comment on function taskq.line(text) is 'A text as one line of at most 300 characters.';

-- culprit: the task without whose failure this one would not have fallen.
create function taskq.culprit(_id uuid) returns uuid
language sql stable as $$
  with recursive up (id) as (
    select _id
    union
    select p.id from up join taskq.dependencies d on d.task_id = up.id join taskq.tasks p on p.id = d.depends_on
    where d.on_failure = 'fail' and p.status in ('failed', 'cancelled'))
  select t.id from up join taskq.tasks t using (id)
  where t.error_kind is distinct from 'dependency_failed' order by t.finished_at, t.id limit 1
$$;
comment on function taskq.culprit(uuid) is 'The failed or cancelled task that took this one with it, however far up.';

create function taskq.explain_blocked(_task taskq.tasks) returns text
language sql stable as $$
  select format('blocked: waits for %s of its dependencies: %s; it moves by itself when they end%s',
    _task.waiting_on,
    string_agg(w.line, ', ' order by w.down desc, w.id) filter (where w.n <= 3) || case when count(*) > 3 then ', …' else '' end,
    case when bool_or(w.down) then format('; what is failed or cancelled needs a retry: select taskq.retry(%L)',
                                          (array_agg(w.id order by w.down desc, w.id))[1]) else '' end)
  from (
    select p.id, p.status in ('failed', 'cancelled') as down, format('%s %s (%s)', p.role, p.id, p.status) as line,
           row_number() over (order by p.status in ('failed', 'cancelled') desc, p.id) as n
    from taskq.dependencies d join taskq.tasks p on p.id = d.depends_on
    where d.task_id = _task.id and not d.met and p.status <> 'completed'
      and not (d.on_failure = 'run' and p.status in ('failed', 'cancelled'))) w
$$;
comment on function taskq.explain_blocked(taskq.tasks) is 'Why a blocked task waits.';

-- explain_pause: why nobody claims this role; null when it is not paused.
create function taskq.explain_pause(_role text) returns text
language sql stable as $$
  select format('paused by %s since %s (%s)%s', p.actor, date_trunc('second', p.at), taskq.ago(clock_timestamp() - p.at),
                coalesce(': ' || nullif(taskq.line(p.reason), ''), ''))
  from taskq.role_pauses p where p.role = _role
$$;
comment on function taskq.explain_pause(text) is 'Who paused a role, when and why; null when it is not paused.';

create function taskq.explain_queued(_task taskq.tasks) returns text
language plpgsql stable as $$
declare
  _workers integer;
  _slots integer;
  _draining integer;
  _busy integer;
  _before integer;
  _why text := case when _task.attempt > 0
    then format(' (attempt %s of %s ended with %s: %s)', _task.attempt, _task.max_attempts, coalesce(_task.error_kind, 'unknown'), taskq.line(_task.error))
    else '' end;
begin
  select count(*) filter (where not w.draining), coalesce(sum(w.concurrency) filter (where not w.draining), 0), count(*) filter (where w.draining),
         (select count(*) from taskq.tasks t where t.status = 'in_progress' and t.worker_id = any(array_agg(w.id) filter (where not w.draining)))
  into _workers, _slots, _draining, _busy
  from taskq.workers_live w where _task.role = any(w.roles);
  if exists (select from taskq.role_pauses p where p.role = _task.role) then
    return format('queued, but role %s is %s%s; to resume it: select taskq.resume_role(%L)',
      _task.role, taskq.explain_pause(_task.role), _why, _task.role);
  elsif _workers = 0 then
    return format('queued, but no live worker plays role %s%s%s; start one: taskq worker --roles %1$s',
      _task.role, case when _draining > 0 then format(' (%s draining)', _draining) else '' end, _why);
  elsif _task.run_at > clock_timestamp() then
    return format('queued, not before %s%s%s%s; to run it now: select taskq.retry(%L)', _task.run_at,
      case when isfinite(_task.run_at) then format(' (in %s)', taskq.ago(_task.run_at - clock_timestamp())) else '' end,
      coalesce(taskq.explain_rest(_task), ''), _why, _task.id);
  end if;
  _before := (select count(*) from (
    select from taskq.tasks t
    where t.status = 'queued' and t.role = _task.role and t.run_at <= clock_timestamp()
      and (t.priority > _task.priority or t.priority = _task.priority and (t.run_at, t.id) < (_task.run_at, _task.id))
    limit 10000) x);
  return format('queued since %s: can run now; %s workers play role %s with %s slots, of which %s are taken; %s%s before it in the line%s',
    taskq.ago(clock_timestamp() - _task.run_at), _workers, _task.role, _slots, _busy, _before,
    case when _before = 10000 then ' or more' else '' end, _why);
end $$;
comment on function taskq.explain_queued(taskq.tasks) is 'Why a queued task does not run yet.';

create function taskq.explain_running(_task taskq.tasks) returns text
language sql stable as $$
  select format('in progress for %s on worker %s: attempt %s of %s%s; last heartbeat %s ago, %s%s; it ends by itself, or after its timeout of %s',
    taskq.ago(clock_timestamp() - _task.started_at),
    coalesce((select w.name from taskq.workers w where w.id = _task.worker_id), _task.worker_id || ', which is gone'),
    _task.attempt, _task.max_attempts,
    coalesce(', ' || round(_task.progress::numeric * 100) || ' %', '') || coalesce(', ' || taskq.line(_task.progress_note), ''),
    taskq.ago(clock_timestamp() - _task.heartbeat_at),
    case when _task.lease_expires_at < clock_timestamp() then 'its lease has run out: the next tend requeues it'
         else 'lease for ' || taskq.ago(_task.lease_expires_at - clock_timestamp()) end,
    case when _task.cancel_requested_at is not null
         then '; asked to stop ' || taskq.ago(clock_timestamp() - _task.cancel_requested_at) || ' ago' else '' end,
    taskq.ago(_task.timeout))
$$;
comment on function taskq.explain_running(taskq.tasks) is 'Where a running task is.';

create function taskq.explain(_id uuid) returns text
language plpgsql stable security definer set search_path = '' as $$
declare
  _task taskq.tasks;
begin
  select * into _task from taskq.tasks t where t.id = _id;
  if not found then
    raise exception 'there is no task %', _id using errcode = 'TQ003', hint = 'look for it with: taskq list';
  end if;
  return case _task.status
    when 'blocked' then coalesce(taskq.explain_signal(_task), taskq.explain_blocked(_task))
    when 'awaiting_approval' then format('awaits the approval of a person%s: select taskq.approve(%L, actor) or taskq.reject(%2$L, actor, reason)',
      coalesce(': ' || taskq.line(taskq.why_parked(_id)), ''), _id)
    when 'queued' then taskq.explain_queued(_task)
    when 'in_progress' then taskq.explain_running(_task)
    when 'completed' then format('completed %s ago%s; final: to do it again, select taskq.rerun(%L)',
      taskq.ago(clock_timestamp() - _task.finished_at), case when _task.attempt > 0 then ' in attempt ' || _task.attempt else '' end, _id)
    else format('%s %s ago%s: %s: %s; to run it again: select taskq.retry(%L)',
      _task.status, taskq.ago(clock_timestamp() - _task.finished_at),
      case when _task.attempt > 0 then format(' after attempt %s of %s', _task.attempt, _task.max_attempts) else ' before any attempt' end,
      coalesce(_task.error_kind, 'unknown'), coalesce(taskq.line(_task.error), ''),
      case when _task.error_kind = 'dependency_failed' then coalesce(taskq.culprit(_id), _id) else _id end)
  end;
end $$;
comment on function taskq.explain(uuid) is 'One line: why a task is where it is, and what would move it.';
