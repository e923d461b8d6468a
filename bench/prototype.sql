-- The bare SQL: what the idea costs without a product around it; the yardstick of bench/drain.
-- One table, one exchange: what is finished is handed in, what is next is taken, in one round trip and one commit.
create schema bare;

create type bare.status as enum ('blocked', 'queued', 'in_progress', 'completed', 'failed', 'cancelled');
create sequence bare.leases;

create table bare.tasks (
  id uuid primary key,
  role text not null,
  name text,
  payload jsonb not null default '{}',
  status bare.status not null default 'queued',
  priority smallint not null default 0,
  run_at timestamptz not null default now(),
  depends_on uuid[] not null default '{}',
  waiting_on int not null default 0,
  dependents int not null default 0,
  attempt int not null default 0,
  max_attempts int not null default 4,
  timeout interval not null default '30 min',
  lease bigint,
  worker uuid,
  lease_until timestamptz,
  result jsonb,
  error text,
  parent_id uuid,
  mission_id uuid,
  created_by text not null default current_user,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  constraint running_has_a_lease check ((status = 'in_progress') = (lease_until is not null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- version 7 ids lie together in the index; before PostgreSQL 18 they are not built in
do $$
begin
  execute 'alter table bare.tasks alter id set default '
    || case when current_setting('server_version_num')::int >= 180000 then 'uuidv7()' else 'gen_random_uuid()' end;
end $$;

create index ready on bare.tasks (role, priority desc, run_at, id) where status = 'queued';
create index running on bare.tasks (id) where status = 'in_progress';

create table bare.dependencies (
  task_id uuid not null references bare.tasks on delete cascade,
  depends_on uuid not null references bare.tasks on delete cascade,
  primary key (task_id, depends_on)
);
create index dependents on bare.dependencies (depends_on);

create function bare.exchange(_worker uuid, _role text, _want int, _lease interval, _ids uuid[], _leases bigint[], _results jsonb[])
returns table (id uuid, role text, payload jsonb, attempt int, lease bigint)
language plpgsql as $$
#variable_conflict use_column
declare
  _parents uuid[];
begin
  if cardinality(_ids) > 0 then
    with done as (
      update bare.tasks t
      set status = 'completed', result = d.result, finished_at = now(), lease = null, lease_until = null
      from unnest(_ids, _leases, _results) d (id, lease, result)
      where t.id = d.id and t.lease = d.lease
      returning t.id, t.dependents)
    select array_agg(done.id) filter (where done.dependents > 0) into _parents from done;
    if _parents is not null then
      update bare.tasks t
      set waiting_on = t.waiting_on - e.met,
          status = case when t.waiting_on = e.met and t.status = 'blocked' then 'queued'::bare.status else t.status end
      from (select task_id, count(*)::int as met from bare.dependencies where depends_on = any(_parents) group by 1) e
      where t.id = e.task_id;
    end if;
  end if;
  return query
    update bare.tasks t
    set status = 'in_progress', attempt = t.attempt + 1, lease = nextval('bare.leases'), worker = _worker,
        lease_until = now() + _lease, started_at = now()
    where t.id = any(array(
      select q.id from bare.tasks q
      where q.role = _role and q.status = 'queued' and q.run_at <= now()
      order by q.priority desc, q.run_at, q.id limit _want
      for update skip locked))
    returning t.id, t.role, t.payload, t.attempt, t.lease;
end $$;
