-- The exchange: what is finished is handed in, what is next is taken; one round trip, one commit.
-- While one is in flight finished tasks gather for the next, so batches grow with the load and need no timer.

-- level_below: the highest priority under a bound at which this role has something queued.  One probe of the ready index.
create function taskq.level_below(_role text, _bound integer, _above integer) returns integer
language sql stable as $$
  select q.priority::integer from taskq.tasks q
  where q.status = 'queued' and q.role = _role and q.priority < _bound and q.priority > _above
  order by q.priority desc, q.run_at, q.id limit 1
$$;
comment on function taskq.level_below(text, integer, integer) is 'The highest priority between these bounds at which the role has a queued task, due or not; null when there is none.';

-- due_in: seconds until the next of the queued tasks of these roles is due.  Not of paused ones: nothing could be done then.
create function taskq.due_in(_roles text[]) returns double precision
language sql stable as $$
  with recursive level (role, priority) as (
    select r, taskq.level_below(r, 32768, -32769) from unnest(taskq.unpaused(_roles)) r
    union all
    select l.role, taskq.level_below(l.role, l.priority, -32769) from level l where l.priority is not null)
  select date_part('epoch', min(n.run_at)) - date_part('epoch', clock_timestamp())   -- infinity is a time, too
  from level l cross join lateral (
    select q.run_at from taskq.tasks q
    where q.status = 'queued' and q.role = l.role and q.priority = l.priority and q.run_at > now()
    order by q.run_at limit 1) n
  where l.priority is not null
$$;
comment on function taskq.due_in(text[]) is 'Seconds until the next queued task of these roles is due, paused ones aside; null when there is none.';

-- exchange: the arrays _ids, _leases, _results are what is completed; _want is how many slots are free.
-- _floor_*: where the last claim of a role and priority ended: a time, and an id among those of that time.  Index entries before that are dead or stragglers:
-- vacuum cannot remove them while some snapshot is held, and walking them again at every claim is quadratic.
-- Without floors (about once a second, and before sleeping) the scan starts at the beginning and finds the stragglers.
-- _asleep: true marks the worker as one that wants the bell, false takes the mark off, null leaves it.
-- Times come and go as seconds (of the epoch): clients decode them four times as fast.
-- Rows by kind: 'claim' a task to run; 'lost' a lease that completed nothing; 'due' seconds until the next one is due.
create function taskq.exchange(
  _worker uuid, _roles text[], _want integer, _lease interval,
  _ids uuid[], _leases bigint[], _results jsonb[],
  _floor_roles text[], _floor_priorities smallint[], _floor_run_ats double precision[], _floor_ids uuid[],
  _asleep boolean)
returns table (kind text, id uuid, lease bigint, role text, payload jsonb, attempt smallint, priority smallint, run_at double precision,
               max_attempts smallint, timeout double precision, name text, mission_id uuid, parent_id uuid, created_by text,
               traceparent text, parents jsonb, due_in double precision)
language plpgsql
set lock_timeout = '500ms'   -- who keeps one of the rows locked must not hold up all the others: the worker hands them in apart
set plan_cache_mode = force_generic_plan   -- knowing the arrays, the planner joins by a scan of the table: quadratic while it is small
as $$
#variable_conflict use_column
declare
  _open text[] := _roles;
  _parents uuid[];
  _told uuid[];
  _done bigint[];
  _moved text[];
  _level integer := 32768;
  _role text;
  _floor timestamptz;
  _floor_id uuid;
  _got integer := 0;
  _count integer;
begin
  if cardinality(_ids) > 0 then
    -- the lease alone is the fence: with the status or the worker as well the planner starts from those rows, and goes quadratic
    with done as (
      update taskq.tasks t
      set status = 'completed', result = d.result, finished_at = now(), lease = null, lease_expires_at = null,
          error = null, error_kind = null
      from (select * from unnest(_ids, _leases, _results) u (id, lease, result) order by id) d   -- the order in which all lock
      where t.id = d.id and t.lease = d.lease
      returning t.id, d.lease, t.has_dependents, t.awaited)
    select array_agg(done.id) filter (where done.has_dependents), array_agg(done.id) filter (where done.awaited), array_agg(done.lease)
    into _parents, _told, _done from done;
    if _told is not null then
      perform taskq.tell(_told);
    end if;
    if _parents is not null then
      _moved := taskq.unblock(_parents, '{fail,run,wait}');
    end if;
    if cardinality(_done) is distinct from cardinality(_ids) then
      kind := 'lost';
      for id, lease in select d.id, d.lease from unnest(_ids, _leases) d (id, lease) where d.lease <> all (coalesce(_done, '{}')) loop
        return next;
      end loop;
    end if;
  end if;

  if _asleep then
    insert into taskq.sleepers (role, worker_id) select r, _worker from unnest(_roles) r
    where exists (select from taskq.workers w where w.id = _worker) on conflict do nothing;
  elsif not _asleep then
    delete from taskq.sleepers s where s.worker_id = _worker;
  end if;

  -- nobody claims a paused role; its sleepers stay marked, so that its resume wakes them
  if _want > 0 and exists (select from taskq.role_pauses) then
    _open := taskq.unpaused(_roles);
  end if;
  while _got < _want loop
    -- priority holds across all roles: one level after the other, and at each level role by role
    select max(greatest(f.known, taskq.level_below(r, _level, coalesce(f.known, -32769)))) into _level
    from unnest(_open) r cross join lateral (
      select max(p) as known from unnest(_floor_roles, _floor_priorities) k (role, p) where k.role = r and k.p < _level) f;
    exit when _level is null;
    foreach _role in array _open loop
      exit when _got >= _want;
      select to_timestamp(k.run_at), k.id into _floor, _floor_id
      from unnest(_floor_roles, _floor_priorities, _floor_run_ats, _floor_ids) k (role, p, run_at, id)
      where k.role = _role and k.p = _level;
      if not found then
        _floor := '-infinity';
        _floor_id := '00000000-0000-0000-0000-000000000000';
      end if;
      -- any(array(…)), not a join: under a generic plan a join scans the whole table.
      return query
        update taskq.tasks t
        set status = 'in_progress', attempt = t.attempt + 1, lease = nextval('taskq.lease_numbers'), worker_id = _worker,
            lease_expires_at = now() + _lease, heartbeat_at = now(), started_at = now()
        where t.id = any(array(
          select q.id from taskq.tasks q
          where q.status = 'queued' and q.role = _role and q.priority = _level and (q.run_at, q.id) > (_floor, _floor_id) and q.run_at <= now()
          order by q.run_at, q.id limit _want - _got
          for no key update skip locked))
        returning 'claim', t.id, t.lease, t.role::text, t.payload::jsonb, t.attempt, t.priority, date_part('epoch', t.run_at),
          t.max_attempts::smallint, date_part('epoch', t.timeout), t.name, t.mission_id, t.parent_id, t.created_by, t.traceparent,
          case when t.depends_on <> '{}' then taskq.results_of(t.id) end, null::double precision;
      get diagnostics _count = row_count;
      _got := _got + _count;
    end loop;
  end loop;

  -- what we unblocked and did not take ourselves is for others; with slots to spare we took all that was ours
  if _moved <> '{}' then
    _moved := case when _got < _want then array(select m from unnest(_moved) m where m <> all (_roles)) else _moved end;
    perform taskq.ring(_moved);
  end if;
  if _got < _want and cardinality(_floor_roles) = 0 then
    kind := 'due';
    id := null;
    lease := null;
    due_in := taskq.due_in(_roles);
    return next;
  end if;
end $$;
comment on function taskq.exchange(uuid, text[], integer, interval, uuid[], bigint[], jsonb[], text[], smallint[], double precision[], uuid[], boolean) is
  'For workers: hands in what is completed and claims what is next, in one transaction.';

-- results_of: what the dependencies of a task returned, by id.
create function taskq.results_of(_id uuid) returns jsonb
language sql stable as $$
  select jsonb_object_agg(p.id, p.result)
  from taskq.dependencies d join taskq.tasks p on p.id = d.depends_on
  where d.task_id = _id and p.status = 'completed'
$$;
comment on function taskq.results_of(uuid) is 'The results of the completed dependencies of a task, by their ids.';
