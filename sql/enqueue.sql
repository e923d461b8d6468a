-- Enqueue: a row comes in.  Any INSERT does it; taskq.enqueue is for those who want dedup_key to return the first.

-- admit: what the client left out is filled in, what is not his to set is refused.
create function taskq.admit() returns trigger
language plpgsql as $$
begin
  if new.status <> 'queued' or new.lease is not null or new.attempt <> 0 or new.waiting_on <> 0
     or new.worker_id is not null or new.result is not null or new.finished_at is not null then
    raise exception 'status, lease, attempt, waiting_on, worker_id, result and finished_at are not for clients to set'
      using errcode = 'TQ001', hint = 'insert role, payload and what the task depends on; the status follows from them';
  end if;
  if new.concurrency_key is not null then
    raise exception 'concurrency_key is not supported yet' using errcode = 'TQ001', hint = 'leave it out';
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
      raise exception 'task % depends on itself', new.id using errcode = 'TQ001', hint = 'remove its own id from depends_on';
    end if;
    new.status := 'blocked';
    new.waiting_on := (select count(distinct p) from unnest(new.depends_on) p);
  elsif new.requires_approval then
    new.status := 'awaiting_approval';
  end if;
  return new;
end $$;
comment on function taskq.admit() is 'Trigger: completes an inserted task, and refuses what a client may not set.';

create trigger admit before insert on taskq.tasks for each row execute function taskq.admit();

-- arrive: the whole statement is in; edges are made and the bell is rung once.
create function taskq.arrive() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  _roles text[];
  _waiting uuid[];
begin
  select array_agg(distinct n.role) filter (where n.status = 'queued'), array_agg(n.id) filter (where n.depends_on <> '{}')
  into _roles, _waiting
  from arrived n;
  if _waiting is not null then
    _roles := _roles || taskq.connect(_waiting);
  end if;
  if _roles is not null then
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
-- A key that a task leaves out gets the column's own default, read from the catalogue, so that it stands only there.
create function taskq.enqueue(_tasks jsonb) returns uuid[]
language plpgsql set search_path = '' as $$
declare
  _rows jsonb;
  _columns text[];
  _unknown text;
  _list text;
  _values text;
  _given uuid[];
  _keys text[];
  _ids uuid[];
begin
  _columns := array(select distinct k from jsonb_array_elements(_tasks) t, jsonb_object_keys(t) k);
  select c into _unknown from unnest(_columns) c where c <> all (taskq.insertable() || '{delay}'::text[]) limit 1;
  if found then
    raise exception 'unknown column "%"', _unknown
      using errcode = 'TQ001', hint = 'a task has: ' || array_to_string(taskq.insertable(), ', ') || '; and delay, an interval';
  end if;

  select jsonb_agg(case when t ? 'delay' then t - 'delay' || jsonb_build_object('run_at', now() + (t ->> 'delay')::interval) else t end
                   || jsonb_build_object('id', coalesce(t ->> 'id', taskq.uuid7()::text)) order by n),
         array_agg(t ->> 'dedup_key' order by n)
  into _rows, _keys
  from jsonb_array_elements(_tasks) with ordinality u (t, n);
  _given := array(select (t ->> 'id')::uuid from jsonb_array_elements(_rows) with ordinality u (t, n) order by n);
  _columns := array(select distinct replace(c, 'delay', 'run_at') from unnest(_columns || 'id'::text) c);

  select string_agg(format('%I', a.attname), ', '),
         string_agg(case when d.adbin is null then format('x.%I', a.attname)
                         else format('coalesce(x.%I, %s)', a.attname, pg_get_expr(d.adbin, d.adrelid)) end, ', ')
  into _list, _values
  from pg_catalog.pg_attribute a left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = 'taskq.tasks'::regclass and a.attname = any(_columns);

  for _round in 1 .. 10 loop
    execute format('with i as (insert into taskq.tasks (%s) select %s from jsonb_populate_recordset(null::taskq.tasks, $1) x '
                   'where x.id <> all ($2) '
                   'on conflict (dedup_key) where dedup_key is not null and status in '
                   '(''blocked'', ''awaiting_approval'', ''queued'', ''in_progress'') do nothing returning id) '
                   'select $2 || array_agg(id) from i', _list, _values)
    into _ids using _rows, coalesce(_ids, '{}');
    -- the live task that stands for one that was not inserted may have ended since: then it is our turn again
    _ids := coalesce(_ids, '{}');
    exit when not exists (
      select from unnest(_given, _keys) g (id, key)
      where g.id <> all (_ids) and not exists (
        select from taskq.tasks t where t.dedup_key = g.key
        and t.status in ('blocked', 'awaiting_approval', 'queued', 'in_progress')));
  end loop;

  return array(
    select case when g.id = any(_ids) then g.id else (
      select t.id from taskq.tasks t where t.dedup_key = g.key
      and t.status in ('blocked', 'awaiting_approval', 'queued', 'in_progress')) end
    from unnest(_given, _keys) with ordinality g (id, key, n) order by g.n);
end $$;
comment on function taskq.enqueue(jsonb) is 'Inserts an array of tasks in one statement and returns their ids in order; where a live task has the same dedup_key, its id.';
