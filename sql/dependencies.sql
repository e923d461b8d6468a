-- Dependencies: what waits for a task moves when the task ends.
--
-- The counter `waiting_on` is changed under the row lock of the dependent, never recomputed from its siblings:
-- two parents that commit together would each see the other as unfinished, and the wake-up would be lost.
-- All who lock several tasks lock them in one order: what is blocked last, then by id.  Whoever ends a parent holds that
-- one and then asks for what is blocked behind it; the other way round would be a deadlock.
--
-- The functions that walk edges allow index lookups alone: a graph is walked right after it was inserted, before the
-- statistics know of it, and a plan that takes it for small scans it once for every row.

-- subtract: these tasks wait for that many fewer.  Returns the roles of those that are queued now.
create function taskq.subtract(_ids uuid[], _met integer[]) returns text[]
language plpgsql as $$
declare
  _roles text[];
begin
  perform taskq.begin('unblock');
  with moved as (
    update taskq.tasks t
    set waiting_on = t.waiting_on - m.met,
        status = case when t.waiting_on > m.met then t.status
                      when t.requires_approval and t.approved_at is null then 'awaiting_approval'
                      else 'queued' end,
        run_at = case when t.waiting_on > m.met then t.run_at else greatest(t.run_at, now()) end
    from unnest(_ids, _met) m (id, met)
    where t.id = m.id and t.status = 'blocked'
    returning t.role, t.status)
  select coalesce(array_agg(distinct role) filter (where status = 'queued'), '{}') into _roles from moved;
  perform taskq.done();
  return _roles;
end $$;
comment on function taskq.subtract(uuid[], integer[]) is 'These blocked tasks wait for that many fewer; at none they are queued or await approval.  Returns the roles to ring.';

-- unblock: these tasks ended; their edges with one of these policies are met.  Returns the roles to ring.
create function taskq.unblock(_ended uuid[], _policies text[]) returns text[]
language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  _ids uuid[];
  _met integer[];
begin
  perform from taskq.tasks t
  where t.id = any(array(select d.task_id from taskq.dependencies d
                         where d.depends_on = any(_ended) and not d.met and d.on_failure = any(_policies)))
  order by t.status = 'blocked', t.id
  for no key update;

  select array_agg(e.task_id), array_agg(e.met) into _ids, _met
  from (select d.task_id, count(*)::integer as met
        from taskq.dependencies d
        where d.depends_on = any(_ended) and not d.met and d.on_failure = any(_policies)
        group by d.task_id) e;
  return case when _ids is null then '{}' else taskq.subtract(_ids, _met) end;
end $$;
comment on function taskq.unblock(uuid[], text[]) is 'What waited for these ended tasks by an edge of these policies waits for fewer.  Returns the roles to ring.';

-- doom: the blocked tasks that cannot run any more now that these have failed or were cancelled.
create function taskq.doom(_ended uuid[]) returns uuid[]
language sql as $$
  with recursive doomed (id) as (
    select t.id from taskq.dependencies d join taskq.tasks t on t.id = d.task_id
    where d.depends_on = any(_ended) and d.on_failure = 'fail' and not d.met and t.status = 'blocked'
    union
    select t.id from doomed p join taskq.dependencies d on d.depends_on = p.id join taskq.tasks t on t.id = d.task_id
    where d.on_failure = 'fail' and not d.met and t.status = 'blocked')
  select coalesce(array_agg(id), '{}') from doomed
$$;
comment on function taskq.doom(uuid[]) is 'The blocked tasks that these failed or cancelled ones take with them, at any depth.';

-- take_down: these blocked tasks end because something that they depend on ended badly.
create function taskq.take_down(_ids uuid[], _as taskq.status, _actor text) returns void
language plpgsql as $$
begin
  perform taskq.begin('cascade');
  with cause as (
    select distinct on (d.task_id) d.task_id, d.depends_on
    from taskq.dependencies d join taskq.tasks p on p.id = d.depends_on
    where d.task_id = any(_ids) and d.on_failure = 'fail' and not d.met
      and (p.status in ('failed', 'cancelled') or p.id = any(_ids))
    order by d.task_id, p.status in ('failed', 'cancelled') desc, d.depends_on),
  ended as (
    update taskq.tasks t
    set status = _as, finished_at = clock_timestamp(), error_kind = 'dependency_failed',
        error = format('its dependency %s %s', c.depends_on, case _as when 'failed' then 'failed' else 'was cancelled' end)
    from cause c
    where t.id = c.task_id and t.status = 'blocked'
    returning t.id, t.error)
  insert into taskq.events (task_id, verb, "from", "to", actor, reason)
  select id, 'cascade', 'blocked', _as, coalesce(_actor, session_user), error from ended;
  perform taskq.done();
  perform taskq.tell(_ids);
end $$;
comment on function taskq.take_down(uuid[], taskq.status, text) is 'These blocked tasks end as failed or cancelled, since a dependency did.';

-- cascade: these ended badly; what depends on them ends with them, or runs all the same.  Returns the roles to ring.
create function taskq.cascade(_ended uuid[], _as taskq.status, _actor text) returns text[]
language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  _doomed uuid[];
  _seen integer := -1;
begin
  -- a dependent that was inserted while we waited for a lock belongs to it too: until nothing new appears
  loop
    _doomed := taskq.doom(_ended);
    exit when cardinality(_doomed) = _seen;
    _seen := cardinality(_doomed);
    perform from taskq.tasks t
    where t.id = any(_doomed || array(select d.task_id from taskq.dependencies d
                                      where d.depends_on = any(_ended || _doomed) and d.on_failure = 'run' and not d.met))
    order by t.status = 'blocked', t.id
    for no key update;
  end loop;
  perform taskq.take_down(_doomed, _as, _actor);
  return taskq.unblock(_ended || _doomed, '{run}');
end $$;
comment on function taskq.cascade(uuid[], taskq.status, text) is 'These tasks failed or were cancelled: their dependents fail, run or go on waiting, as each one''s policy says.  Returns the roles to ring.';

-- tell: whoever awaits one of these ended tasks hears of it at commit.
create function taskq.tell(_ids uuid[]) returns void
language sql as $$
  select pg_notify('taskq_final', t.id::text) from taskq.tasks t
  where t.id = any(_ids) and t.awaited and t.status in ('completed', 'failed', 'cancelled')
$$;
comment on function taskq.tell(uuid[]) is 'Notifies the clients that await one of these ended tasks, at commit.';

-- unmet: how many of its edges, and which signal, a task still waits for, counted afresh.
create function taskq.unmet(_id uuid) returns integer
language sql stable as $$
  select (
    select count(*)
    from taskq.dependencies d join taskq.tasks p on p.id = d.depends_on
    where d.task_id = _id and not d.met and p.status <> 'completed'
      and not (d.on_failure = 'run' and p.status in ('failed', 'cancelled')))::integer + (
    select count(*)
    from taskq.steps s
    where s.task_id = _id and s.kind = 'signal' and s.done_at is null and s.wake_at is null
      and not exists (select from taskq.signals g where g.task_id = _id and g.name = s.name))::integer
$$;
comment on function taskq.unmet(uuid) is 'How many dependencies and signals this task waits for, counted afresh.';

-- refuse_cycle: Kahn's algorithm over the edges among these new tasks: take away what waits for nothing, until
-- nothing is left.  In arrays, since a recursive query visits every path and peeling in SQL is one scan a level.
create function taskq.refuse_cycle(_ids uuid[]) returns void
language plpgsql
set enable_hashjoin = on   -- these joins are among arrays
as $$
declare
  _edges integer;
  _first integer[];     -- of node n: its edges are _target[_first[n]] … _target[_first[n + 1] - 1]
  _target integer[];
  _indegree integer[];
  _ready integer[];
  _done integer := 0;
  _node integer;
  _next integer;
begin
  with node as (select id, n::integer from unnest(_ids) with ordinality u (id, n)),
  edge as (select p.n as parent, c.n as child
           from node c join taskq.dependencies d on d.task_id = c.id join node p on p.id = d.depends_on),
  counted as (select node.n, coalesce(o.k, 0)::integer as "out", coalesce(i.k, 0)::integer as "in"
              from node left join (select parent, count(*) k from edge group by 1) o on o.parent = node.n
                        left join (select child, count(*) k from edge group by 1) i on i.child = node.n)
  select (select count(*) from edge),
         (select array_agg(child order by parent) from edge),
         array_agg(c.first order by c.n), array_agg(c."in" order by c.n), array_agg(c.n) filter (where c."in" = 0)
  into _edges, _target, _first, _indegree, _ready
  from (select n, "in", 1 + sum("out") over (order by n) - "out" as first from counted) c;
  if _edges = 0 then
    return;
  end if;
  _first := _first || (_edges + 1);
  _ready := coalesce(_ready, '{}');

  while _done < coalesce(array_length(_ready, 1), 0) loop
    _done := _done + 1;
    _node := _ready[_done];
    for _at in _first[_node] .. _first[_node + 1] - 1 loop
      _next := _target[_at];
      _indegree[_next] := _indegree[_next] - 1;
      if _indegree[_next] = 0 then
        _ready[array_length(_ready, 1) + 1] := _next;
      end if;
    end loop;
  end loop;

  if _done < cardinality(_ids) then
    raise exception 'these tasks depend on each other in a cycle: %',
        (select string_agg(_ids[n]::text, ', ') from (
           select n from generate_subscripts(_indegree, 1) n where _indegree[n] > 0 limit 5) left_over)
      using errcode = 'TQ001', column = 'depends_on', hint = 'remove one of the dependencies in depends_on';
  end if;
end $$;
comment on function taskq.refuse_cycle(uuid[]) is 'Raises TQ001 when these new tasks depend on each other in a circle.';

-- connect: the edges of these new tasks.  Their parents are locked first and read in a new statement, so that a
-- parent that ends in another session at this moment is either seen as ended here, or sees the edge there.
create function taskq.connect(_ids uuid[]) returns text[]
language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  _parents uuid[];
  _unknown record;
  _met_ids uuid[];
  _met integer[];
  _fallen uuid[];
  _as taskq.status;
  _roles text[] := '{}';
begin
  select t.id, p.id as parent into _unknown
  from taskq.tasks t, unnest(t.depends_on) p (id)
  where t.id = any(_ids) and not exists (select from taskq.tasks x where x.id = p.id)
  limit 1;
  if found then
    raise exception 'task % depends on %, which does not exist', _unknown.id, coalesce(_unknown.parent::text, 'null')
      using errcode = 'TQ001', column = 'depends_on', hint = 'insert the dependency first, or in the same statement';
  end if;

  insert into taskq.dependencies (task_id, depends_on, on_failure)
  select distinct t.id, p.id, t.on_dependency_failure from taskq.tasks t, unnest(t.depends_on) p (id) where t.id = any(_ids);
  perform taskq.refuse_cycle(_ids);

  _parents := array(select distinct d.depends_on from taskq.dependencies d where d.task_id = any(_ids));
  perform from taskq.tasks p where p.id = any(_parents) order by p.status = 'blocked', p.id for no key update;
  update taskq.tasks p set has_dependents = true where p.id = any(_parents) and not p.has_dependents;

  select array_agg(e.task_id), array_agg(e.met) into _met_ids, _met
  from (select d.task_id, count(*)::integer as met
        from taskq.dependencies d join taskq.tasks p on p.id = d.depends_on
        where d.task_id = any(_ids)
          and (p.status = 'completed' or (d.on_failure = 'run' and p.status in ('failed', 'cancelled')))
        group by d.task_id) e;
  if _met_ids is not null then
    _roles := taskq.subtract(_met_ids, _met);
  end if;

  foreach _as in array '{failed,cancelled}'::taskq.status[] loop
    _fallen := array(
      select distinct d.task_id
      from taskq.dependencies d join taskq.tasks p on p.id = d.depends_on join taskq.tasks t on t.id = d.task_id
      where d.task_id = any(_ids) and d.on_failure = 'fail' and p.status = _as and t.status = 'blocked');
    if cardinality(_fallen) > 0 then
      perform taskq.take_down(_fallen, _as, session_user);
      _roles := _roles || taskq.cascade(_fallen, _as, session_user);
    end if;
  end loop;

  -- a worker's last claim may have skipped a queued parent while we held its lock
  return _roles || array(select distinct p.role from taskq.tasks p where p.id = any(_parents) and p.status = 'queued');
end $$;
comment on function taskq.connect(uuid[]) is 'Makes the edges of these new tasks from depends_on, and sets what they wait for.  Returns the roles to ring.';
