-- Enqueue: a row comes in.  Any INSERT does it; taskq.enqueue is for those who want dedup_key to return the first.

-- admit: what the client left out is filled in, what is not his to set is refused.
create function taskq.admit() returns trigger
language plpgsql as $$
declare
  _held boolean;
begin
  if new.status <> 'queued' or new.lease is not null or new.attempt <> 0 or new.waiting_on <> 0
     or new.worker_id is not null or new.result is not null or new.finished_at is not null then
    raise exception 'status, lease, attempt, waiting_on, worker_id, result and finished_at are not for clients to set'
      using errcode = 'TQ001', hint = 'insert role, payload and what the task depends on; the status follows from them';
  end if;
  if new.concurrency_key is not null then
    raise exception 'concurrency_key is not supported yet' using errcode = 'TQ001', column = 'concurrency_key', hint = 'leave it out';
  end if;
  if new.max_attempts is null or new.timeout is null then
    select coalesce(new.max_attempts, r.max_attempts, 4), coalesce(new.timeout, r.timeout, interval '30 min')
    into new.max_attempts, new.timeout
    from (values (new.role)) v (name) left join taskq.roles r using (name);
  end if;
  if new.mission_id is null then
    new.mission_id := new.id;
    if new.parent_id is not null then
      select t.mission_id into new.mission_id from taskq.tasks t where t.id = new.parent_id;
      new.mission_id := coalesce(new.mission_id, new.parent_id);   -- a parent further down in the same statement
    end if;
  end if;
  if new.depends_on <> '{}' then
    if new.id = any(new.depends_on) then
      raise exception 'task % depends on itself', new.id
        using errcode = 'TQ001', column = 'depends_on', hint = 'remove its own id from depends_on';
    end if;
    new.status := 'blocked';
    new.waiting_on := (select count(distinct p) from unnest(new.depends_on) p);
  elsif new.requires_approval then
    new.status := 'awaiting_approval';
  else
    _held := taskq.keep_up(new.role);   -- arrive looks for sleepers
  end if;
  return new;
end $$;
comment on function taskq.admit() is 'Trigger: completes an inserted task, and refuses what a client may not set.';

create trigger admit before insert on taskq.tasks for each row execute function taskq.admit();

-- arrive: the whole statement is in; edges are made and the bell is rung once.
create function taskq.arrive() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  _related boolean;
  _heard boolean;
  _waiting uuid[];
  _children uuid[];
  _roles text[];
begin
  -- two flags and no aggregate: with one a lone insert costs 4 % more
  select exists (select from arrived n where n.parent_id is not null or n.depends_on <> '{}'),
         exists (select from arrived n join taskq.sleepers s on s.role = n.role where n.status = 'queued')
  into _related, _heard;
  if _related then
    _children := array(select n.id from arrived n where n.parent_id is not null);
    -- a descendant further up in the statement than its ancestors took one of them for the root
    loop
      update taskq.tasks t set mission_id = p.mission_id
      from taskq.tasks p
      where t.id = any(_children) and p.id = t.mission_id and p.mission_id <> p.id;
      exit when not found;
    end loop;
    _waiting := array(select n.id from arrived n where n.depends_on <> '{}');
    if _waiting <> '{}' then
      _roles := taskq.connect(_waiting);
    end if;
  end if;
  if _heard then
    _roles := _roles || array(select distinct n.role::text from arrived n where n.status = 'queued');
  end if;
  if _roles <> '{}' then
    perform taskq.ring(_roles);
  end if;
  return null;
end $$;
comment on function taskq.arrive() is 'Trigger: connects the inserted tasks with what they depend on and rings for those that can run.';

create trigger arrive after insert on taskq.tasks referencing new table as arrived
for each statement execute function taskq.arrive();

-- insertable: the columns that clients may set.
create function taskq.insertable() returns text[] language sql immutable parallel safe
return array['id', 'role', 'name', 'payload', 'priority', 'run_at', 'depends_on', 'on_dependency_failure',
             'requires_approval', 'max_attempts', 'timeout', 'dedup_key', 'concurrency_key', 'mission_id',
             'parent_id', 'created_by', 'traceparent'];
comment on function taskq.insertable() is 'The columns of taskq.tasks that clients may set.';

-- enqueue: a graph of tasks as JSON, one INSERT.  A live task with the same dedup_key stands for the one given.
create function taskq.enqueue(_tasks jsonb) returns uuid[]
language plpgsql set search_path = '' as $$
declare
  _rows jsonb := taskq.with_ids(_tasks);
  _given uuid[] := array(select (t ->> 'id')::uuid from jsonb_array_elements(_rows) with ordinality u (t, n) order by n);
  _insert text := taskq.insert_statement(_rows);
  _stand_ins jsonb := '{}';
  _constraint text;
begin
  if cardinality(_given) = 0 then
    return '{}';
  end if;
  if not exists (select from jsonb_array_elements(_rows) t where t ->> 'dedup_key' is not null) then
    execute _insert using _rows, _stand_ins;   -- no block for exceptions: each would be a subtransaction of the caller's
    return _given;
  end if;
  for _round in 1 .. 10 loop
    select coalesce(jsonb_object_agg(g ->> 'id', t.id), '{}') into _stand_ins
    from jsonb_array_elements(_rows) g join taskq.tasks t on t.dedup_key = g ->> 'dedup_key'
    where t.status in ('blocked', 'awaiting_approval', 'queued', 'in_progress');
    begin
      execute _insert using _rows, _stand_ins;
      return array(select coalesce((_stand_ins ->> g::text)::uuid, g) from unnest(_given) with ordinality u (g, n) order by n);
    exception when unique_violation then
      get stacked diagnostics _constraint = constraint_name;
      if _constraint <> 'one_live_task_per_dedup_key' then
        raise;
      end if;   -- somebody else's came in between; it stands for ours, unless it ends first
    end;
  end loop;
  raise exception 'two of these tasks have the same dedup_key'
    using errcode = 'TQ001', column = 'dedup_key', hint = 'give each its own, or one of them none';
end $$;
comment on function taskq.enqueue(jsonb) is 'Inserts an array of tasks in one statement and returns their ids in order; where a live task has the same dedup_key, its id.';

-- with_ids: the tasks as they were given, each with an id, and with run_at for delay.
create function taskq.with_ids(_tasks jsonb) returns jsonb
language plpgsql set search_path = '' as $$
declare
  _unknown text;
begin
  select k into _unknown from jsonb_array_elements(_tasks) t, jsonb_object_keys(t) k
  where k <> all (taskq.insertable() || '{delay}'::text[]) limit 1;
  if found then
    raise exception 'unknown column "%"', _unknown
      using errcode = 'TQ001', hint = 'a task has: ' || array_to_string(taskq.insertable(), ', ') || '; and delay, an interval';
  end if;
  return (
    select jsonb_agg(case when t ? 'delay' then t - 'delay' || jsonb_build_object('run_at', now() + (t ->> 'delay')::interval) else t end
                     || jsonb_build_object('id', coalesce(t ->> 'id', taskq.uuid7()::text)) order by n)
    from jsonb_array_elements(_tasks) with ordinality u (t, n));
end $$;
comment on function taskq.with_ids(jsonb) is 'Tasks as JSON, each with an id; raises TQ001 for an unknown column.';

-- insert_statement: the INSERT for these columns.  A column that one task leaves out gets its own default, read from
-- the catalogue, so that defaults stand only in the table.  $1 are the tasks, $2 the ids of those that stand for some.
create function taskq.insert_statement(_tasks jsonb) returns text
language sql stable set search_path = '' as $$
  select format('insert into taskq.tasks (%s) select %s from jsonb_populate_recordset(null::taskq.tasks, $1) x where not $2 ? x.id::text',
    string_agg(format('%I', a.attname), ', '),
    string_agg(case
      when a.attname = 'depends_on' then 'array(select coalesce(($2 ->> d::text)::uuid, d) from unnest(x.depends_on) d)'
      when a.attname = 'parent_id' then 'coalesce(($2 ->> x.parent_id::text)::uuid, x.parent_id)'
      when d.adbin is null then format('x.%I', a.attname)
      else format('coalesce(x.%I, %s)', a.attname, pg_get_expr(d.adbin, d.adrelid)) end, ', '))
  from pg_catalog.pg_attribute a left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = 'taskq.tasks'::regclass
    and a.attname = any(array(select distinct k from jsonb_array_elements(_tasks) t, jsonb_object_keys(t) k))
$$;
comment on function taskq.insert_statement(jsonb) is 'The INSERT statement for the columns that these tasks name.';
