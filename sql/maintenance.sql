-- Maintenance: workers come, live and go; what the dead held is queued again.

-- declare_roles: what a worker says of the roles that it plays:
-- [{"name", "description", "timeout", "max_attempts", "backoff", "repositories", "model", "kind"}].
create function taskq.declare_roles(_roles jsonb) returns void
language sql as $$
  insert into taskq.roles as r (name, description, timeout, max_attempts, backoff, repositories, model, kind)
  select d.name, d.description, d.timeout, d.max_attempts, coalesce(d.backoff, '{30 s, 2 min, 10 min}'),
         coalesce(d.repositories, '{}'), d.model, coalesce(d.kind, 'function')
  from jsonb_to_recordset(_roles) d (name text, description text, timeout interval, max_attempts smallint, backoff interval[],
                                     repositories text[], model text, kind text)
  order by d.name
  on conflict (name) do update
  set description = excluded.description, timeout = excluded.timeout, max_attempts = excluded.max_attempts,
      backoff = excluded.backoff, repositories = excluded.repositories, model = excluded.model, kind = excluded.kind,
      declared_at = now()
$$;
comment on function taskq.declare_roles(jsonb) is
  'For workers: keeps what is declared of roles: timeout, attempts, backoff, what may be changed, and who plays them.';

-- register: a worker is there, or has a new session.  Called on the connection whose end means the end of the process.
create function taskq.register(_worker uuid, _name text, _roles text[], _concurrency integer, _version text,
                               _lease interval, _direct boolean) returns void
language sql as $$
  insert into taskq.workers as w (id, name, roles, concurrency, version, lease, backend_pid, backend_start)
  select _worker, _name, _roles, _concurrency, _version, _lease, a.pid, a.backend_start
  from (select) one left join pg_stat_activity a on _direct and a.pid = pg_backend_pid()
  on conflict (id) do update
  set backend_pid = excluded.backend_pid, backend_start = excluded.backend_start,
      heartbeat_at = clock_timestamp(), missing_since = null, trouble = null;
  select pg_notify('taskq_worker', '');   -- to all: it may die before its first heartbeat says that it holds something
$$;
comment on function taskq.register(uuid, text, text[], integer, text, interval, boolean) is
  'For workers: enters a worker, or its new database session, and has the others keep an eye on it.';

-- disown: the answer to an exchange was lost on the way; what the worker holds without knowing is released.
create function taskq.disown(_worker uuid, _known bigint[]) returns integer
language sql as $$
  select taskq.release(_worker, array(
    select t.lease from taskq.tasks t where t.status = 'in_progress' and t.worker_id = _worker and t.lease <> all (_known)))
$$;
comment on function taskq.disown(uuid, bigint[]) is 'For workers: releases every lease of this worker but these; returns how many.';

-- heartbeat: the worker still lives; its leases move on.  Returns the leases that are lost or asked to stop.
-- By id, not by worker: the index of running rows is full of dead entries while somewhere a snapshot is held.
-- skip locked: a client that keeps a row locked must not stop the heartbeat of all the others.
create function taskq.heartbeat(_worker uuid, _ids uuid[], _leases bigint[], _draining boolean, _trouble text)
returns table (lease bigint, verdict text)
language plpgsql as $$
#variable_conflict use_column
declare
  _lease_time interval;
begin
  update taskq.workers w
  set heartbeat_at = clock_timestamp(), missing_since = null, running = cardinality(_leases), draining = _draining, trouble = _trouble
  where w.id = _worker
  returning w.lease into _lease_time;
  if not found then
    lease := null;
    verdict := 'unregistered';
    return next;
    return;
  end if;
  update taskq.tasks t
  set lease_expires_at = clock_timestamp() + _lease_time, heartbeat_at = clock_timestamp()
  where t.id = any(array(
    select h.id from taskq.tasks h
    where h.id = any(_ids) and h.worker_id = _worker and h.lease = any(_leases)
    for no key update skip locked));
  return query
    select given.lease, case when t.id is null then 'lost' else 'cancel' end
    from unnest(_ids, _leases) given (id, lease)
    left join taskq.tasks t on t.id = given.id and t.lease = given.lease
    where t.id is null or t.cancel_requested_at is not null;
end $$;
comment on function taskq.heartbeat(uuid, uuid[], bigint[], boolean, text) is
  'For workers: extends the leases; returns those that are lost, and those whose task is asked to stop.';

-- retire: a worker leaves in good order.
create function taskq.retire(_worker uuid) returns void
language plpgsql as $$
begin
  perform taskq.release(_worker, array(select t.lease from taskq.tasks t where t.status = 'in_progress' and t.worker_id = _worker));
  delete from taskq.workers w where w.id = _worker;
end $$;
comment on function taskq.retire(uuid) is 'For workers: leaves, giving back what is still held.';

-- find_dead: the workers that are gone.  A session that ended tells of a crash within a second or two; a worker
-- whose session does not tell (a pooler, a cut network, a restarted server) is believed for as long as its lease.
create function taskq.find_dead() returns uuid[]
language plpgsql as $$
begin
  update taskq.workers w set missing_since = clock_timestamp()
  where w.missing_since is null and w.backend_start > pg_postmaster_start_time()
    and not exists (select from pg_stat_activity a   -- whoever may not see another user's sessions sees no start
                    where a.pid = w.backend_pid and coalesce(a.backend_start, w.backend_start) = w.backend_start);
  -- found missing twice: a worker that only lost its connection has registered the next one by now
  return array(
    select w.id from taskq.workers w
    where w.missing_since < clock_timestamp() - interval '500 ms' or w.heartbeat_at < clock_timestamp() - w.lease
    order by w.id for update skip locked);
end $$;
comment on function taskq.find_dead() is 'The workers whose session has ended, or whose heartbeats stopped for as long as a lease.';

-- reap: what dead workers held is queued again, and, when thorough, every lease that ran out while its worker lives.
-- Any worker, or psql, can do it.
create function taskq.reap(_thorough boolean default true) returns integer
language plpgsql as $$
declare
  _dead uuid[];
  _task taskq.tasks;
  _message text;
  _count integer := 0;
begin
  if not pg_try_advisory_xact_lock(taskq.bell_class(), 0) then
    return 0;   -- somebody is at it
  end if;
  _dead := taskq.find_dead();
  if _dead = '{}' and not _thorough then
    return 0;
  end if;
  for _task in
    select * from taskq.tasks t
    where t.status = 'in_progress' and (t.worker_id = any(_dead) or _thorough and t.lease_expires_at < clock_timestamp())
    order by t.id for no key update skip locked
  loop
    _count := _count + 1;
    _message := case when _task.worker_id = any(_dead) then format('worker %s died', _task.worker_id)
                     else format('no heartbeat of worker %s since %s', _task.worker_id, _task.heartbeat_at) end;
    perform taskq.reap_task(_task, _message);
  end loop;
  if _dead <> '{}' then
    -- it may have died with rows locked that others skipped: whoever plays its roles looks again
    perform taskq.ring(array(select distinct r from taskq.workers w, unnest(w.roles) r where w.id = any(_dead)));
    delete from taskq.workers w where w.id = any(_dead);
  end if;
  return _count;
end $$;
comment on function taskq.reap(boolean) is 'Requeues the tasks of dead workers and, unless told not to, those whose lease ran out; returns how many.';

-- reap_task: one task of a dead worker.  The third worker that dies under it is taken as its fault.
create function taskq.reap_task(_task taskq.tasks, _message text) returns void
language plpgsql as $$
begin
  if _task.cancel_requested_at is not null then
    perform taskq.stop(_task.worker_id, _task.id, _task.lease);
    return;
  end if;
  perform taskq.record(_task, 'worker_lost', _message, null);
  if _task.crashes + 1 >= 3 or _task.attempt >= _task.max_attempts then
    perform taskq.finish(_task, 'failed', 'reap', 'worker_lost', _message, 'reaper');
  else
    update taskq.tasks t set crashes = t.crashes + 1, error = _message, error_kind = 'worker_lost' where t.id = _task.id;
    perform taskq.put_back(_task, _task.attempt, _task.run_at);   -- it keeps its place in the line
    perform taskq.note(_task.id, 'reap', 'in_progress', 'queued', 'reaper', _message);
  end if;
end $$;
comment on function taskq.reap_task(taskq.tasks, text) is 'Queues a locked task of a dead worker again, or fails it when workers keep dying under it.';

-- watch: a worker looks after the others.  True while others hold tasks, so that it keeps an eye on them.
create function taskq.watch(_worker uuid) returns boolean
language plpgsql as $$
begin
  perform taskq.reap(false);
  return exists (select from taskq.workers w where w.id <> _worker and w.running > 0);
end $$;
comment on function taskq.watch(uuid) is 'For workers: requeues what dead workers held, and says whether others hold tasks.';

-- tend: one pass of maintenance.
create function taskq.tend() returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  return jsonb_build_object('reaped', taskq.reap());
end $$;
comment on function taskq.tend() is 'One pass of maintenance, for workers, cron or psql; returns what was done.';
